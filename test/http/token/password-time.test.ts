import assert from 'node:assert/strict';
import { type PasswordHashing, passwordHashing } from '../../../src/authn/password-schemes.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { ACME, LOGIN } from '../../support/directory/acme.ts';
import { until } from '../../support/processes/child.ts';
import { assertError } from '../../support/reading.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

/** How long every other token request may take. */
const TOKEN_MS = 1800;

describe('a password on a busy machine', function () {
  this.timeout(20_000);
  /** Ends the hashes that are under way. */
  let finish: (() => void)[] = [];
  const slow: PasswordHashing = {
    hash: passwordHashing.hash,
    verify: async (hash, password) => {
      await new Promise<void>((resolve) => finish.push(resolve));
      return passwordHashing.verify(hash, password);
    },
  };
  let server: TestServer;
  before(async () => {
    const { limits } = loadConfig({});
    assert.equal(limits.passwordSeconds, 6);
    server = await startTestServer({ argon2id: slow, limits: { passwordSeconds: 2.5 } });
    await server.apply(ACME);
  });
  after(() => server.close());
  beforeEach(() => {
    finish = [];
  });

  const logIn = () => Promise.resolve(server.ask({ as: LOGIN.alice }));
  const hashing = () =>
    until(
      () => finish.length > 0 || undefined,
      () => 'no password is hashed',
    );

  it('may take longer than a token', async () => {
    const startedAtMs = performance.now();
    const login = logIn();
    await hashing();
    setTimeout(() => finish.shift()?.(), TOKEN_MS + 200);
    assert.equal((await login).status, 200);
    assert.ok(performance.now() - startedAtMs > TOKEN_MS);
  });

  it('gets 503 after limits.password_seconds, waiting for its turn or being hashed', async () => {
    const startedAtMs = performance.now();
    const logins = [logIn(), logIn()];
    for (const login of logins) assertError(await login, 503, 'UNAVAILABLE');
    const tookMs = performance.now() - startedAtMs;
    assert.ok(tookMs > 2400 && tookMs < 5000, `${tookMs}`);
    assert.equal(finish.length, 1, 'the second gave its place back');
    finish.shift()?.();
  });
});
