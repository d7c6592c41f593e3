import assert from 'node:assert/strict';
import request from 'supertest';
import { ACME, LOGIN } from '../../support/directory/acme.ts';
import { createMemoryIssuer } from '../../support/federation/issuer.ts';
import { writeFederation } from '../../support/federation/settings.ts';
import { readMetrics } from '../../support/metrics.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const HOUR_MS = 3_600_000;
const SCOPE = 'repository:acme/app:pull';

describe('a server whose clock is an hour ahead of the database’s', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({
      machineClock: {
        machine: 'a',
        wallMs: () => Date.now() + HOUR_MS,
        monotonicMs: () => performance.now(),
      },
    });
    await server.apply(ACME);
  });
  after(() => server.close());

  const asks: [who: string, as: readonly [string, string] | undefined][] = [
    ['right', LOGIN.api],
    ['wrong', ['alice', 'guessed']],
    ['no', undefined],
  ];
  for (const [who, as] of asks) {
    it(`answers 503 with Retry-After for ${who} credentials, never 401`, async () => {
      const response = await server.ask({ ...(as && { as }), scope: SCOPE });
      assert.equal(response.status, 503);
      assert.ok(Number(response.get('Retry-After')) > 0);
      assert.match(response.text, /the clock of this server is 3600 s ahead of the database's/);
    });
  }

  it('exchanges no ID token, which could have ended', async () => {
    const issuer = await createMemoryIssuer();
    const file = writeFederation([issuer]);
    const federated = await startTestServer({
      environment: file.environment,
      fetchKeys: (entry) => issuer.fetchKeys(entry),
      machineClock: {
        machine: 'a',
        wallMs: () => Date.now() - HOUR_MS,
        monotonicMs: () => performance.now(),
      },
    });
    try {
      const { status, body } = await request(federated.app)
        .post('/jwt/auth')
        .type('form')
        .send({
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
          subject_token: await issuer.sign({ sub: 'anybody' }),
        });
      assert.deepEqual([status, body.error], [503, 'temporarily_unavailable']);
      assert.equal(federated.log.at(-1)?.['reason'], 'clock_wrong');
    } finally {
      await federated.close();
      file.remove();
    }
  });

  it('is alive, not ready, and still publishes its keys', async () => {
    assert.equal((await request(server.app).get('/healthz')).status, 200);
    assert.equal((await request(server.app).get('/readyz')).status, 503);
    assert.equal((await request(server.app).get('/jwt/jwks').redirects(1)).status < 500, true);
  });

  it('says so in the log and in the metrics', async () => {
    const line = server.log.find(({ level }) => level === 'error');
    assert.match(String(line?.['message']), /^the clock of this server differs from the database's/);
    assert.equal(Math.round(Number(line?.['ahead_of_database_seconds'])), 3600);
    const samples = await readMetrics(server.admin);
    assert.equal(Math.round(samples.get('cellpass_clock_ahead_seconds')!), 3600);
    assert.equal(samples.get('cellpass_clock_wrong{whose="server"}'), 1);
    assert.equal(samples.get('cellpass_clock_wrong{whose="database"}'), 0);
  });
});

describe('a server that saw the database’s clock being set', () => {
  it('goes on answering, and says in the log and in the metrics whose clock is wrong', async () => {
    // A clock and a monotonic clock that move together: the server's was not set.
    let elapsedMs = 0;
    const server = await startTestServer({
      machineClock: {
        machine: 'a',
        wallMs: () => Date.now() + elapsedMs,
        monotonicMs: () => performance.now() + elapsedMs,
      },
    });
    try {
      await server.apply(ACME);
      elapsedMs = HOUR_MS;
      await until(() => server.log.some(({ level }) => level === 'error'));
      assert.equal((await server.ask({ as: LOGIN.api, scope: SCOPE })).status, 200);
      assert.equal((await request(server.app).get('/readyz')).status, 200);
      const samples = await readMetrics(server.admin);
      assert.equal(samples.get('cellpass_clock_wrong{whose="database"}'), 1);
      assert.match(
        String(server.log.find(({ level }) => level === 'error')?.['message']),
        /^the database's clock differs/,
      );
    } finally {
      await server.close();
    }
  });
});

/** The next comparison is within two seconds. */
async function until(condition: () => boolean): Promise<void> {
  const endMs = performance.now() + 5000;
  while (!condition()) {
    assert.ok(performance.now() < endMs, 'not within five seconds');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
