import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import request from 'supertest';
import { parseAllDocuments } from 'yaml';
import { EXAMPLE_SECRETS } from '../../src/authn/example-secrets.ts';
import { isTrial } from '../../src/config/trial.ts';
import { createMasterKey } from '../../src/keys/master-key.ts';
import { warnOfExamples } from '../../src/server/example-credentials.ts';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { sharedPostgres } from '../support/database/postgres.ts';
import { assertError } from '../support/reading.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const example = (): string => readFileSync('examples/acme.yaml', 'utf8');

/** Every value of a field that holds a secret, wherever it stands. */
function secretsIn(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap(secretsIn);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    (name === 'password' || name === 'token') && typeof inner === 'string' ? [inner] : secretsIn(inner),
  );
}

describe('the credentials of the examples', () => {
  let trial: TestServer;
  let server: TestServer;
  before(async () => {
    const url = await (await sharedPostgres()).createMigratedDatabase();
    const openDatabase = async () => openPostgres(url);
    const masterKey = await createMasterKey(randomBytes(32), 'the key of both');
    trial = await startTestServer({ openDatabase, masterKey });
    await trial.apply(example());
    const environment = { CELLPASS_PUBLIC_URL: 'https://registry.example.com' };
    server = await startTestServer({ openDatabase, environment, masterKey });
  });
  after(async () => {
    await server.close();
    await trial.close();
  });

  it('are known by their digests, all of them', () => {
    const names = readdirSync('examples', { recursive: true, encoding: 'utf8' });
    const files = names
      .filter((name) => /\.ya?ml$/.test(name))
      .flatMap((name) => parseAllDocuments(readFileSync(`examples/${name}`, 'utf8')))
      .map((file) => file.toJS());
    const digests = files.flatMap(secretsIn).map(sha256);
    assert.ok(digests.length > 10);
    assert.deepEqual(new Set(digests), EXAMPLE_SECRETS);
  });

  const logins: [what: string, username: string, secret: string][] = [
    ['a password', 'alice', 'correct horse'],
    ['an access token', 'anybody', 'glpat-example-alice-laptop-0001'],
    ['a job token', 'gitlab-ci-token', 'glcbt-example-api-job-0001'],
  ];
  for (const [what, username, secret] of logins) {
    it(`${what} works in a trial, and is 401 where other machines find the server, whatever is stored`, async () => {
      assert.equal((await trial.ask({ as: [username, secret] })).status, 200);
      assertError(await server.ask({ as: [username, secret] }), 401, 'UNAUTHORIZED');
      assert.equal(server.log.at(-1)?.['reason'], 'example_secret');
    });
  }

  it('are named as problems where a document has them, by their digests, too', async () => {
    const apply = (document: object | string) =>
      request(server.admin)
        .post('/admin/v1/directory')
        .type('application/yaml')
        .send(typeof document === 'string' ? document : JSON.stringify({ version: 1, ...document }));
    const { status, body } = await apply(example());
    assert.equal(status, 422);
    assert.equal(body.problems.length, EXAMPLE_SECRETS.size);
    const token_sha256 = sha256('glcbt-example-web-job-0001');
    const { body: byDigest } = await apply({ job_tokens: [{ project: 'acme/web', token_sha256 }] });
    assert.deepEqual(
      byDigest.problems.map(({ path }: { path: string }) => path),
      ['job_tokens[0].token_sha256'],
    );
    assert.equal((await apply({ users: [{ username: 'alice', password: 'not an example' }] })).status, 200);
  });

  it('are counted where they are stored', async () => {
    assert.match((await warnOfExamples(server.database)) ?? '', /^9 stored tokens/);
  });

  const addresses: [publicUrl: string | null, host: string, isTrialThere: boolean][] = [
    [null, '127.0.0.1', true],
    [null, '::1', true],
    [null, '0.0.0.0', false],
    ['http://127.0.0.1:8080', '0.0.0.0', true],
    ['http://localhost:8080', '0.0.0.0', true],
    ['http://[::1]:8080', '0.0.0.0', true],
    ['https://registry.example.com', '127.0.0.1', false],
    ['https://localhost.example.com', '127.0.0.1', false],
    ['http://10.0.0.1', '127.0.0.1', false],
  ];
  for (const [publicUrl, host, isTrialThere] of addresses) {
    it(`${publicUrl ?? `the listener ${host}`} is ${isTrialThere ? '' : 'not '}a trial`, () =>
      assert.equal(isTrial({ publicUrl, listen: { host } }), isTrialThere));
  }
});
