import assert from 'node:assert/strict';
import request from 'supertest';
import type { Database, Statement } from '../../src/store/database/drivers.ts';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { sharedPostgres } from '../support/database/postgres.ts';
import { type Relay, startRelay } from '../support/database/relay.ts';
import { ACME, LOGIN } from '../support/directory/acme.ts';
import { clockAt } from '../support/keys.ts';
import { assertError } from '../support/reading.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const PUBLIC = 'repository:acme/site:pull';

describe('health', () => {
  it('is alive but not ready while it drains, and still issues tokens', async () => {
    const server = await startTestServer({ isDraining: () => true });
    try {
      await server.apply(ACME);
      await request(server.app).get('/healthz').expect(200, { status: 'ok' });
      const response = await request(server.app).get('/readyz');
      assert.equal(assertError(response, 503, 'UNAVAILABLE'), 'shutting down');
      assert.equal(response.headers['retry-after'], '1');
      assert.equal((await server.ask({ scope: PUBLIC })).status, 200);
    } finally {
      await server.close();
    }
  });

  describe('of a server whose database comes and goes', () => {
    let relay: Relay;
    let server: TestServer;
    before(async () => {
      relay = await startRelay(await (await sharedPostgres()).createMigratedDatabase());
      server = await startTestServer({ openDatabase: async () => openPostgres(relay.url) });
      await server.apply(ACME);
    });
    beforeEach(() => relay.mend());
    after(async () => {
      await server.close();
      await relay.close();
    });

    it('is alive and ready while it is there', async () => {
      for (const path of ['/healthz', '/readyz']) {
        await request(server.app).get(path).expect(200, { status: 'ok' });
        await request(server.admin).get(path).expect(200, { status: 'ok' });
      }
    });

    it('is alive but not ready while it is away, and ready again when it is back', async () => {
      await relay.cut();
      await request(server.app).get('/healthz').expect(200);
      const response = await request(server.app).get('/readyz');
      assertError(response, 503, 'UNAVAILABLE');
      assert.match(response.headers['retry-after'] ?? '', /^[1-9]\d*$/);
      await relay.mend();
      await request(server.app).get('/readyz').expect(200);
    });

    it('says within 2 s that it is not ready while the database says nothing', async () => {
      await request(server.app).get('/readyz').expect(200);
      relay.silence();
      const startedAt = performance.now();
      assertError(await request(server.app).get('/readyz'), 503, 'UNAVAILABLE');
      assert.ok(performance.now() - startedAt < 2000, `${performance.now() - startedAt} ms`);
      await request(server.app).get('/healthz').expect(200);
    });

    const asked = [
      ['nobody', {}],
      ['a password', { as: LOGIN.alice }],
      ['a token', { as: LOGIN.api }],
      ['a wrong password', { as: ['alice', 'guessed'] }],
      ['a deploy token', { as: LOGIN.deployer }],
      ['a job', { as: LOGIN.job }],
    ] as const;
    it('answers 503 to every kind of credential, and never with a token, until it is back', async () => {
      await relay.cut();
      for (const [who, as] of asked) {
        const response = await server.ask({ ...as, scope: PUBLIC });
        assertError(response, 503, 'UNAVAILABLE');
        assert.match(response.headers['retry-after'] ?? '', /^[1-9]\d*$/, who);
      }
      await relay.mend();
      assert.equal((await server.ask({ scope: PUBLIC })).status, 200);
    });

    it('answers 503 to admins', async () => {
      await relay.cut();
      assertError(await request(server.admin).get('/admin/v1/keys'), 503, 'UNAVAILABLE');
      assertError(await request(server.admin).get('/admin/v1/directory'), 503, 'UNAVAILABLE');
      assertError(await request(server.admin).delete('/admin/v1/job-tokens/1'), 503, 'UNAVAILABLE');
    });

    it('still shows registries its keys', async () => {
      await relay.cut();
      await request(server.app).get('/.well-known/jwks.json').expect(200);
      await request(server.app).get('/.well-known/token-ca.pem').expect(200);
    });
  });

  it('is not ready, and issues no token, with a key set that is older than 10 s', async () => {
    const clock = clockAt('2026-11-24T12:00:00Z');
    const url = await (await sharedPostgres()).createMigratedDatabase();
    const keys = { areAway: false };
    const server = await startTestServer({
      now: clock.now,
      monotonicMs: clock.monotonicMs,
      openDatabase: async () => withoutKeys(openPostgres(url), () => keys.areAway),
    });
    try {
      await server.apply(ACME);
      await server.keyring.refresh();
      keys.areAway = true;
      clock.advance(10_000);
      assert.equal((await server.ask({ scope: PUBLIC })).status, 200);
      await request(server.app).get('/readyz').expect(200);
      clock.advance(1000);
      const response = await server.ask({ scope: PUBLIC });
      assert.match(assertError(response, 503, 'UNAVAILABLE'), /key set/);
      assert.match(response.headers['retry-after'] ?? '', /^[1-9]\d*$/);
      assertError(await request(server.app).get('/readyz'), 503, 'UNAVAILABLE');
      await request(server.app).get('/healthz').expect(200);
    } finally {
      keys.areAway = false;
      await server.close();
    }
  });
});

/**
 * A database that loses nothing but its keys, so that everything else a token takes is still there.
 */
function withoutKeys(database: Database, areAway: () => boolean): Database {
  return {
    ...database,
    query: (statement: string | Statement, params?: readonly unknown[]) =>
      areAway() && /signing_keys|authorities/.test(typeof statement === 'string' ? statement : statement.text)
        ? Promise.reject(new Error('the keys are away'))
        : database.query(statement, params),
  };
}
