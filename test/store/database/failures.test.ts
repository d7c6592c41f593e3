import assert from 'node:assert/strict';
import pg from 'pg';
import request from 'supertest';
import { CellpassError } from '../../../src/errors.ts';
import type { Database } from '../../../src/store/database/drivers.ts';
import { unavailableIfTemporary } from '../../../src/store/database/failures.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';
import { ACME, LOGIN } from '../../support/directory/acme.ts';
import { assertError } from '../../support/reading.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const AWAY = { code: 'unavailable' };

describe('a SQLSTATE', () => {
  const states: [state: string, what: string, isTemporary: boolean][] = [
    ['08006', 'connection failure', true],
    ['08P01', 'protocol violation, as a pooler says that its server is away', true],
    ['0A000', 'a standby has no unlogged tables; a prepared statement is outdated', true],
    ['22012', 'division by zero', false],
    ['22P02', 'invalid text', false],
    ['23505', 'unique violation', false],
    ['25006', 'read-only transaction', true],
    ['25P02', 'statement in a failed transaction', false],
    ['25P03', 'idle in transaction too long', true],
    ['26000', 'unknown prepared statement, as behind a pooler', true],
    ['28000', 'the role may not log in', true],
    ['28P01', 'wrong password', true],
    ['3D000', 'no such database', true],
    ['40001', 'serialization failure, conflict with recovery', true],
    ['40P01', 'deadlock', true],
    ['42501', 'insufficient privilege', false],
    ['42601', 'syntax error', false],
    ['42P01', 'undefined table', false],
    ['42P05', 'the prepared statement exists, as behind a pooler', true],
    ['53100', 'disk full', true],
    ['53300', 'too many connections', true],
    ['55P03', 'lock not available', true],
    ['57014', 'statement timeout', true],
    ['57P01', 'admin shutdown', true],
    ['57P03', 'cannot connect now', true],
    ['58030', 'I/O error', true],
    ['P0001', 'raised by a function', false],
    ['XX000', 'internal error', false],
  ];
  for (const [state, what, isTemporary] of states) {
    it(`${state} (${what}) ${isTemporary ? 'means "not now"' : 'is an error of cellpass'}`, () => {
      const cause = new Error(what);
      const error = unavailableIfTemporary(cause, state);
      if (!isTemporary) assert.equal(error, cause);
      else assert.ok(error instanceof CellpassError && error.code === 'unavailable');
    });
  }
});

describe('a PostgreSQL that can’t be connected', () => {
  let admin: pg.Client;
  let url: string;
  before(async () => {
    url = await (await sharedPostgres()).createMigratedDatabase();
    admin = new pg.Client(url);
    await admin.connect();
    await admin.query('CREATE ROLE barred NOLOGIN; CREATE ROLE crowded LOGIN CONNECTION LIMIT 0');
  });
  after(async () => {
    await admin.query('DROP ROLE barred; DROP ROLE crowded');
    await admin.end();
  });

  const changed = (change: (url: URL) => void) => (): string => {
    const other = new URL(url);
    change(other);
    return other.href;
  };
  const causes: [what: string, url: () => string][] = [
    ['the role may not log in', changed((to) => (to.username = 'barred'))],
    ['the role is unknown', changed((to) => (to.username = 'nobody'))],
    ['the role has all its connections', changed((to) => (to.username = 'crowded'))],
    ['the database is unknown', changed((to) => (to.pathname = '/renamed'))],
    ['nothing listens', changed((to) => (to.port = '9'))],
    ['the host is unknown', changed((to) => (to.hostname = 'nowhere.invalid'))],
    ['the server has no TLS', changed((to) => (to.search = '?sslmode=verify-full'))],
    [
      'sessions are read-only',
      changed((to) => (to.search = '?options=-c%20default_transaction_read_only%3Don')),
    ],
  ];
  for (const [what, urlOf] of causes) {
    it(`is unavailable on every path: ${what}`, async () => {
      const database = openPostgres(urlOf());
      try {
        const paths: readonly ((database: Database) => Promise<unknown>)[] = [
          (to) => to.query({ name: 'hot', text: 'SELECT 1', isHot: true }),
          (to) => to.query({ name: 'cold', text: 'SELECT 1' }),
          (to) => to.query('SELECT 1'),
          (to) => to.execute('SELECT 1'),
          (to) => to.transaction(async () => undefined),
          (to) => to.tryExclusively(1, async () => undefined),
        ];
        for (const ask of paths) await assert.rejects(ask(database), AWAY);
        const stop = await database.listen('channel', () => undefined);
        await stop();
      } finally {
        await database.close();
      }
    });
  }
});

describe('a server whose role may no longer log in', () => {
  let admin: pg.Client;
  let server: TestServer;
  before(async () => {
    const url = await (await sharedPostgres()).createMigratedDatabase();
    admin = new pg.Client(url);
    await admin.connect();
    await admin.query('CREATE ROLE app LOGIN SUPERUSER');
    const asApp = new URL(url);
    asApp.username = 'app';
    server = await startTestServer({ openDatabase: async () => openPostgres(asApp.href) });
    await server.apply(ACME);
  });
  after(async () => {
    await server.close();
    await admin.query('REASSIGN OWNED BY app TO postgres; DROP ROLE app');
    await admin.end();
  });

  it('answers 503 to every client and admin, and tokens again when the role may', async () => {
    await admin.query('ALTER ROLE app NOLOGIN');
    await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
    const clients = [{}, { as: LOGIN.alice }, { as: LOGIN.api }, { as: LOGIN.deployer }, { as: LOGIN.job }];
    for (const as of [...clients, { as: ['alice', 'guessed'] as const }]) {
      for (let tries = 0; tries < 3; tries++)
        assertError(await server.ask({ ...as, scope: 'repository:acme/site:pull' }), 503, 'UNAVAILABLE');
    }
    assertError(await request(server.app).get('/readyz'), 503, 'UNAVAILABLE');
    assertError(await request(server.admin).get('/admin/v1/tokens'), 503, 'UNAVAILABLE');
    assertError(await request(server.admin).delete('/admin/v1/job-tokens/1'), 503, 'UNAVAILABLE');
    await admin.query('ALTER ROLE app LOGIN');
    assert.equal((await server.ask({ as: LOGIN.api, scope: 'repository:acme/site:pull' })).status, 200);
    await request(server.app).get('/readyz').expect(200);
  });
});
