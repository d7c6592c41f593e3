import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import request from 'supertest';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { STANDBY_NAME, startPostgresPair, type TestPostgresPair } from '../support/database/postgres.ts';
import { ACME, LOGIN } from '../support/directory/acme.ts';
import { newSecret } from '../support/directory/town.ts';
import {
  type DatabaseFront,
  startDatabaseFront,
  startDocumentedFront,
} from '../support/e2e/database-front.ts';
import { debianTool, INSTALL_MS } from '../support/e2e/tools.ts';
import { until } from '../support/processes/child.ts';
import { done, fetchToken, makeSite, type Site } from '../support/processes/site.ts';
import { assertError } from '../support/reading.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const SCOPE = 'repository:acme/site:pull';
const HEALED_MS = 5000;
const CLIENTS = [
  {},
  { as: LOGIN.api },
  { as: LOGIN.bob },
  { as: LOGIN.deployer },
  { as: LOGIN.job },
] as const;
const OTHERS = [{ as: ['alice', 'guessed'] as const }];

/** Runs a statement on one server, whatever its defaults are. */
async function runOn(url: string, ...statements: readonly string[]): Promise<void> {
  const client = new pg.Client(`${url}?options=-c%20default_transaction_read_only%3Doff`);
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}

function withPort(url: string, port: number): string {
  const other = new URL(url);
  other.port = String(port);
  return other.href;
}

/** The standby has everything that the primary has committed. */
async function untilReplayed(url: string, { primary, standby }: TestPostgresPair): Promise<void> {
  const on = async (port: number, text: string): Promise<string> => {
    const client = new pg.Client(withPort(url, port));
    await client.connect();
    const { rows } = await client.query({ text, rowMode: 'array' });
    await client.end();
    return String(rows[0]?.[0]);
  };
  const position = await on(primary.port, 'SELECT pg_current_wal_lsn()');
  const reached = `SELECT pg_last_wal_replay_lsn() >= '${position}'::pg_lsn`;
  await until(
    async () => ((await on(standby.port, reached).catch(() => 'false')) === 'true' ? true : undefined),
    () => 'the standby does not follow',
  );
}

/** A server behind HAProxy answers: the standby (`t`) or the primary (`f`). */
async function untilAnswered(port: number, inRecovery: 't' | 'f'): Promise<void> {
  const ask = async (): Promise<true | undefined> => {
    const client = new pg.Client(`postgresql://postgres@127.0.0.1:${port}/postgres`);
    try {
      await client.connect();
      const { rows } = await client.query({ text: 'SELECT pg_is_in_recovery()::text', rowMode: 'array' });
      return String(rows[0]?.[0]).startsWith(inRecovery) ? true : undefined;
    } catch {
      return undefined;
    } finally {
      await client.end().catch(() => undefined);
    }
  };
  await until(ask, () => 'HAProxy leads to the other server');
}

async function assertNoAnswer(server: TestServer): Promise<void> {
  for (const client of [...CLIENTS, ...OTHERS]) {
    assertError(await server.ask({ ...client, scope: SCOPE }), 503, 'UNAVAILABLE');
  }
  assertError(await request(server.app).get('/readyz'), 503, 'UNAVAILABLE');
}

async function untilHealed(server: TestServer): Promise<void> {
  await until(
    async () => {
      for (const client of CLIENTS) {
        const { status } = await server.ask({ ...client, scope: SCOPE });
        assert.ok([200, 503].includes(status), String(status));
        if (status !== 200) return undefined;
      }
      return (await request(server.app).get('/readyz')).status === 200 ? true : undefined;
    },
    () => 'it does not heal',
    HEALED_MS,
  );
}

describe("Debian's PostgreSQL, a primary and a standby behind HAProxy", function () {
  this.timeout(INSTALL_MS);
  let pair: TestPostgresPair;
  let front: DatabaseFront;
  let server: TestServer;
  let url: string;
  before(async function () {
    const postgres = await debianTool('postgres');
    const haproxy = await debianTool('haproxy');
    if (postgres === undefined || haproxy === undefined) return this.skip();
    pair = await startPostgresPair(postgres);
    front = await startDatabaseFront(haproxy, pair);
    url = await pair.primary.createDatabase();
    const shared = withPort(url, front.port);
    server = await startTestServer({ openDatabase: async () => openPostgres(shared) });
    await server.apply(ACME);
    await untilReplayed(url, pair);
  });
  after(async () => {
    await server?.close();
    await front?.stop();
    await pair?.stop();
  });

  it('answer no client from the standby, and heal with the primary, whose changes count at once', async () => {
    await untilHealed(server);
    await runOn(withPort(url, pair.standby.port), 'SELECT pg_wal_replay_pause()');
    await pair.primary.crash();
    await untilAnswered(front.port, 't');
    for (let round = 0; round < 3; round++) await assertNoAnswer(server);
    await pair.primary.start();
    await untilHealed(server);
    // The standby would not know of this.
    await runOn(url, "UPDATE users SET state = 'blocked' WHERE username = 'bob'");
    for (let round = 0; round < 10; round++) {
      assert.equal((await server.ask({ as: LOGIN.bob, scope: SCOPE })).status, 401);
    }
    await runOn(url, "UPDATE users SET state = 'active' WHERE username = 'bob'");
    await runOn(withPort(url, pair.standby.port), 'SELECT pg_wal_replay_resume()');
  });

  it('keep records for later while the standby answers', async () => {
    await untilHealed(server);
    // A grant to push always has a row of its own.
    const asked = await server.ask({ as: LOGIN.api, scope: 'repository:acme/platform/api:push' });
    const { jti } = await server.verify(asked.body.token);
    await pair.primary.crash();
    await untilAnswered(front.port, 't');
    await assertNoAnswer(server);
    await pair.primary.start();
    const find = async (): Promise<true | undefined> => {
      const rows = await server.database
        .query('SELECT 1 FROM issued_tokens WHERE jti = $1', [jti])
        .catch(() => []);
      return rows.length === 1 ? true : undefined;
    };
    await until(find, () => 'the record of the token is lost', 15_000);
  });

  it('whose primary becomes read-only under open connections answer 503, never 500', async () => {
    await untilHealed(server);
    const admin = url;
    await runOn(admin, 'ALTER SYSTEM SET default_transaction_read_only = on', 'SELECT pg_reload_conf()');
    try {
      await until(
        async () => ((await server.ask({ scope: SCOPE })).status === 503 ? true : undefined),
        () => 'it goes on',
      );
      await assertNoAnswer(server);
      assertError(await request(server.admin).delete('/admin/v1/job-tokens/1'), 503, 'UNAVAILABLE');
      // A document that changes nothing would need no server that takes changes.
      const change = { users: [{ username: `late-${Date.now()}` }] };
      await assert.rejects(server.apply(change), { code: 'unavailable' });
    } finally {
      await runOn(admin, 'ALTER SYSTEM RESET default_transaction_read_only', 'SELECT pg_reload_conf()');
    }
    await untilHealed(server);
    await server.apply(ACME);
  });
});

describe("Debian's PostgreSQL behind HAProxy as docs/deployment.md shows it", function () {
  this.timeout(INSTALL_MS);
  it('leads to the promoted standby, and answers nothing between', async function () {
    const postgres = await debianTool('postgres');
    const haproxy = await debianTool('haproxy');
    if (postgres === undefined || haproxy === undefined) return this.skip();
    const pair = await startPostgresPair(postgres);
    const roles = [await startRole(pair.primary.port), await startRole(pair.standby.port)] as const;
    const ports = { primary: roles[0].port, standby: roles[1].port };
    const front = await startDocumentedFront(haproxy, pair, ports);
    const url = await pair.primary.createDatabase();
    await untilReplayed(url, pair);
    await untilAnswered(front.port, 'f');
    const server = await startTestServer({
      openDatabase: async () => openPostgres(withPort(url, front.port)),
    });
    try {
      await server.apply(ACME);
      await untilHealed(server);
      await untilReplayed(url, pair);
      await pair.primary.crash();
      await assertNoAnswer(server);
      await runOn(withPort(url, pair.standby.port), 'SELECT pg_promote()');
      await untilAnswered(front.port, 'f');
      await untilHealed(server);
      await server.apply(ACME);
    } finally {
      await server.close();
      await front.stop();
      for (const role of roles) role.close();
      await pair.stop();
    }
  });
});

/** Answers 200 to `GET /primary` while the database at this port takes changes. */
async function startRole(databasePort: number) {
  const http = createServer(async (request, response) => {
    const client = new pg.Client(`postgresql://postgres@127.0.0.1:${databasePort}/postgres`);
    const isPrimary = await client
      .connect()
      .then(() => client.query('SELECT pg_is_in_recovery() AS standby'))
      .then(({ rows }) => rows[0].standby === false)
      .catch(() => false);
    await client.end().catch(() => undefined);
    response.writeHead(isPrimary && request.url === '/primary' ? 200 : 503).end();
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const { port } = http.address() as AddressInfo;
  return {
    port,
    close: () => {
      http.closeAllConnections();
      http.close();
    },
  };
}

describe("a URL with the hosts of a primary and its standby, Debian's PostgreSQL", function () {
  this.timeout(INSTALL_MS);
  let postgres: string;
  before(async function () {
    const found = await debianTool('postgres');
    if (found === undefined) return this.skip();
    postgres = found;
  });
  const losses: [what: string, lose: (pair: TestPostgresPair) => Promise<void> | void][] = [
    ['crashed', ({ primary }) => primary.crash()],
    ['hangs', ({ primary }) => primary.freeze()],
  ];
  for (const [what, lose] of losses) {
    it(`leads to the new primary when the old one ${what}`, async () => {
      const pair = await startPostgresPair(postgres);
      const { primary, standby } = pair;
      const url = await primary.createDatabase();
      const { pathname } = new URL(url);
      // The standby comes first, so that order alone doesn't lead to the primary.
      const hosts = `127.0.0.1:${standby.port},127.0.0.1:${primary.port}`;
      const both = `postgresql://postgres@${hosts}${pathname}?target_session_attrs=read-write`;
      // A standby knows a new database only after a moment.
      await untilReplayed(url, pair);
      const server = await startTestServer({ openDatabase: async () => openPostgres(both) });
      try {
        await server.apply(ACME);
        await untilHealed(server);
        await untilReplayed(url, pair);
        await lose(pair);
        assertError(await server.ask({ as: LOGIN.api, scope: SCOPE }), 503, 'UNAVAILABLE');
        await runOn(withPort(url, standby.port), 'SELECT pg_promote()');
        await untilHealed(server);
        await server.apply(ACME);
      } finally {
        await server.close();
        await pair.stop();
      }
    });
  }
});

describe('a synchronous standby that is frozen', function () {
  this.timeout(INSTALL_MS);
  let pair: TestPostgresPair;
  let site: Site;
  let url: string;
  let env: Record<string, string>;
  before(async function () {
    const postgres = await debianTool('postgres');
    if (postgres === undefined) return this.skip();
    pair = await startPostgresPair(postgres);
    url = await pair.primary.createDatabase();
    site = await makeSite('embedded');
    env = { CELLPASS_DATABASE_URL: url };
  });
  after(async () => {
    pair?.standby.thaw();
    await site?.remove();
    await pair?.stop();
  });

  it('keeps no command and no start waiting, and leaves no sessions behind', async () => {
    const first = await site.serve(env);
    const token = newSecret('glpat-');
    const document = {
      version: 1,
      users: [{ username: 'alice' }],
      projects: [{ path: 'alice/app' }],
      access_tokens: [{ name: 'a', kind: 'personal', user: 'alice', scopes: ['api'], token }],
    };
    const applied = await site.run(['directory', 'apply', '-f', '-'], { input: JSON.stringify(document) });
    assert.equal(applied.code, 0, applied.stderr);
    const { tokens } = JSON.parse(await done(site, 'token', 'list', '--json'));
    await fetchToken(first.url, ['x', token], 'repository:alice/app:pull');
    await runOn(
      url,
      `ALTER SYSTEM SET synchronous_standby_names = '${STANDBY_NAME}'`,
      'SELECT pg_reload_conf()',
    );
    pair.standby.freeze();
    // A token is only read.
    await fetchToken(first.url, ['x', token], 'repository:alice/app:pull');
    for (const command of [
      ['token', 'revoke', tokens[0].id],
      ['keys', 'stage'],
    ]) {
      const startedAt = performance.now();
      const { code, stderr } = await site.run(command);
      assert.equal(code, 1);
      assert.match(stderr, /did not confirm the change.*may have happened/);
      assert.ok(performance.now() - startedAt < 13_000, `${performance.now() - startedAt} ms`);
    }
    await assert.rejects(fetchToken(first.url, ['x', token], 'repository:alice/app:pull'), /UNAUTHORIZED/);
    assert.equal(await first.stop(), 0);
    const restartedAt = performance.now();
    const second = await site.serve(env);
    assert.ok(performance.now() - restartedAt < 15_000, `${performance.now() - restartedAt} ms`);
    assert.equal(await second.stop(), 0);
    await until(
      async () => ((await sessionsThatWait(url)) === 0 ? true : undefined),
      () => 'sessions wait for the standby',
    );
    pair.standby.thaw();
  });

  it('is named by doctor, as is any standby', async () => {
    await untilReplayed(url, pair);
    const { code, stdout } = await site.run(['doctor'], {
      env: { CELLPASS_DATABASE_URL: withPort(url, pair.standby.port) },
    });
    assert.equal(code, 1);
    assert.match(stdout, /this is a standby/);
  });
});

async function sessionsThatWait(url: string): Promise<number> {
  const client = new pg.Client(url);
  await client.connect();
  const { rows } = await client.query(
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
  );
  await client.end();
  return rows[0].n;
}
