import assert from 'node:assert/strict';
import pg from 'pg';
import request from 'supertest';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { type PgBouncer, startPgBouncer } from '../support/database/pgbouncer.ts';
import { sharedPostgres } from '../support/database/postgres.ts';
import { ACME, LOGIN } from '../support/directory/acme.ts';
import { debianTool, INSTALL_MS } from '../support/e2e/tools.ts';
import { until } from '../support/processes/child.ts';
import { assertRefused, makeSite, type Site } from '../support/processes/site.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const SCOPE = 'repository:acme/site:pull';
const CLIENTS = [
  {},
  { as: LOGIN.api },
  { as: LOGIN.bob },
  { as: LOGIN.deployer },
  { as: LOGIN.job },
] as const;
const ROUNDS = 20;

describe('a pgbouncer', function () {
  this.timeout(90_000);
  let program: string;
  let direct: string;
  let pooler: PgBouncer | undefined;
  before(async function () {
    this.timeout(INSTALL_MS);
    const found = await debianTool('pgbouncer');
    if (found === undefined) this.skip();
    program = found;
  });
  beforeEach(async () => {
    direct = await (await sharedPostgres()).createMigratedDatabase();
  });
  afterEach(() => pooler?.stop());

  const crowd = async (server: TestServer): Promise<void> => {
    for (let round = 0; round < ROUNDS; round++) {
      const answers = await Promise.all(CLIENTS.map((client) => server.ask({ ...client, scope: SCOPE })));
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
      assert.equal((await server.ask({ as: ['alice', `guess ${round}`], scope: SCOPE })).status, 401);
    }
  };

  describe('in transaction mode', () => {
    // Fewer sessions than cellpass has connections, so that they change hands.
    beforeEach(async () => {
      pooler = await startPgBouncer({ program, url: direct, mode: 'transaction', poolSize: 3 });
    });

    it('works with CELLPASS_DATABASE_PREPARED_STATEMENTS=false, and its sessions stay as they were', async () => {
      const url = pooler!.url;
      const server = await startTestServer({
        openDatabase: async () => openPostgres(url, { preparedStatements: false }),
      });
      try {
        await server.apply(ACME);
        await Promise.all([crowd(server), crowd(server)]);
        await server.apply(ACME);
        await request(server.admin).post('/admin/v1/keys/stage').send({}).expect(200);
        await request(server.app).get('/readyz').expect(200);
        assert.deepEqual(await leftBehind(url), []);
      } finally {
        await server.close();
      }
    });

    it('hears a NOTIFY by way of another URL', async () => {
      const database = openPostgres(pooler!.url, { preparedStatements: false, listenUrl: direct });
      let heard = 0;
      const stop = await database.listen('a channel', () => {
        heard += 1;
      });
      try {
        await database.query("SELECT pg_notify('a channel', '')");
        await until(
          () => (heard > 0 ? true : undefined),
          () => 'nothing was heard',
        );
      } finally {
        await stop();
        await database.close();
      }
    });

    it('ends a statement that nothing waits for any more', async () => {
      const database = openPostgres(pooler!.url, { preparedStatements: false });
      try {
        await assert.rejects(database.query('SELECT pg_sleep(60)'), { code: 'unavailable' });
        const running =
          "SELECT count(*) AS n FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'";
        const watcher = openPostgres(direct);
        await until(
          async () => ((await watcher.query(running))[0]?.['n'] === 0 ? true : undefined),
          () => 'it goes on',
          5000,
        );
        await watcher.close();
      } finally {
        await database.close();
      }
    });

    it('is named at a start, and by doctor, without the setting', async () => {
      const site: Site = await makeSite('embedded');
      const env = { CELLPASS_DATABASE_URL: pooler!.url };
      try {
        assertRefused(
          await site.run(['serve'], { env }),
          'pooler in transaction mode',
          'CELLPASS_DATABASE_PREPARED_STATEMENTS=false',
        );
        const { code, stdout } = await site.run(['doctor'], { env });
        assert.equal(code, 1);
        assert.match(stdout, /pooler in transaction mode.*CELLPASS_DATABASE_PREPARED_STATEMENTS=false/);
        const server = await site.serve({ ...env, CELLPASS_DATABASE_PREPARED_STATEMENTS: 'false' });
        assert.equal(await server.stop(), 0);
      } finally {
        await site.remove();
      }
    });
  });

  it('in session mode works as PostgreSQL itself does', async () => {
    pooler = await startPgBouncer({ program, url: direct, mode: 'session' });
    const site: Site = await makeSite('embedded');
    const { url } = pooler;
    const server = await startTestServer({ openDatabase: async () => openPostgres(url) });
    try {
      await server.apply(ACME);
      await crowd(server);
      const { code, stdout } = await site.run(['doctor'], { env: { CELLPASS_DATABASE_URL: url } });
      assert.doesNotMatch(stdout, /transaction mode/, String(code));
    } finally {
      await server.close();
      await site.remove();
    }
  });
});

/** What the pooler's sessions have that a new session does not. */
async function leftBehind(url: string): Promise<readonly unknown[]> {
  const clients = Array.from({ length: 3 }, () => new pg.Client(url));
  const found: unknown[] = [];
  for (const client of clients) {
    await client.connect();
    // Open transactions keep the sessions apart.
    await client.query('BEGIN');
    const { rows } = await client.query(`
      SELECT 'setting' AS kind, name FROM pg_settings WHERE source = 'session' AND name LIKE '%timeout'
      UNION ALL SELECT 'prepared statement', name FROM pg_prepared_statements
      UNION ALL SELECT 'channel', pg_listening_channels()
      UNION ALL SELECT 'lock', objid::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()`);
    found.push(...rows);
  }
  await Promise.all(clients.map((client) => client.end()));
  return found;
}
