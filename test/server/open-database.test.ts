import assert from 'node:assert/strict';
import { readDatabaseUrl } from '../../src/config/database-url.ts';
import { loadConfig } from '../../src/config/load.ts';
import {
  connectionsOf,
  openDatabase,
  type ProcessRole,
  unreachable,
} from '../../src/server/open-database.ts';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { sharedPostgres } from '../support/database/postgres.ts';

const SILENT = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
const configOf = (workers: number, bound: number, url = 'postgresql://127.0.0.1/x') => {
  const config = loadConfig({ CELLPASS_DATABASE_URL: url, CELLPASS_WORKERS: `${workers}` });
  return { ...config, limits: { ...config.limits, databaseConnections: bound } };
};

describe('the connections of a process to PostgreSQL', () => {
  const rows: [role: ProcessRole, workers: number, bound: number, pool: number, pipelined: number][] = [
    ['server', 1, 13, 10, 2],
    ['primary', 4, 13, 12, 0],
    ['worker', 4, 13, 4, 2],
    ['worker', 64, 13, 2, 2],
    ['server', 1, 4, 2, 1],
    ['server', 1, 5, 3, 1],
    ['server', 1, 6, 3, 2],
    ['worker', 4, 6, 2, 2],
    ['primary', 4, 4, 3, 0],
    ['server', 1, 50, 47, 2],
    ['worker', 4, 50, 19, 2],
  ];
  for (const [role, workers, bound, pool, pipelined] of rows) {
    it(`${role}, of ${workers} workers, database_connections ${bound}: ${pool} in the pool, ${pipelined} for token requests`, () => {
      assert.deepEqual(connectionsOf(configOf(workers, bound), role), { pool, pipelined });
      assert.ok(pool + pipelined + 1 <= bound, 'with that for LISTEN');
    });
  }

  it('are no more than limits.database_connections, whatever the process does at once', async () => {
    const url = await (await sharedPostgres()).createMigratedDatabase();
    const observer = openPostgres(url, { maxConnections: 1 });
    const database = await openDatabase(configOf(1, 5, url), SILENT);
    const stop = await database.listen('channel', () => undefined);
    const hot = { name: 'hot', text: 'SELECT pg_sleep(0.02)', isHot: true } as const;
    try {
      const work = [
        ...Array.from({ length: 20 }, () => database.query(hot)),
        ...Array.from({ length: 3 }, () => database.query('SELECT pg_sleep(0.2)')),
        database.transaction((sql) => sql.query('SELECT pg_sleep(0.2)')),
      ];
      const settled = Promise.allSettled(work);
      let most = 0;
      for (let n = 0; n < 20; n++) {
        const [row] = await observer.query<{ readonly count: number }>(
          "SELECT count(*) AS count FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
        );
        most = Math.max(most, row?.count ?? 0);
      }
      await settled;
      assert.ok(most >= 4 && most <= 5, `${most}`);
    } finally {
      await stop();
      await database.close();
      await observer.close();
    }
  });
});

describe("a PostgreSQL that can't be used", () => {
  const rows: [code: string, remedy: RegExp][] = [
    ['3D000', /: create the database, as with createdb, or correct its name in the URL$/],
    ['28P01', /: correct the user or the password in the URL$/],
    ['28000', /: correct the user in the URL, or let the user in, in pg_hba\.conf$/],
    ['57P03', /: wait until PostgreSQL has started$/],
    ['53300', /: end other connections, or raise max_connections$/],
    ['ENOTFOUND', /: correct the host name in the URL$/],
    ['ECONNREFUSED', /: start it, or correct the URL$/],
  ];
  for (const [code, remedy] of rows) {
    it(`says what to do about ${code}`, () => {
      const cause = Object.assign(new Error('no'), { code });
      const url = readDatabaseUrl('postgresql://user:secret@db.example.com/cellpass');
      assert.ok(!('problem' in url));
      const { message } = unreachable(url, cause);
      assert.match(message, /^CELLPASS_DATABASE_URL: PostgreSQL at db\.example\.com.*\(no\)/);
      assert.match(message, remedy);
      assert.doesNotMatch(message, /secret/);
    });
  }

  it('says so for a database that PostgreSQL does not have', async () => {
    const url = new URL(await (await sharedPostgres()).createMigratedDatabase());
    url.pathname = '/none';
    await assert.rejects(openDatabase(configOf(1, 13, url.href), SILENT), /create the database/);
  });
});
