import assert from 'node:assert/strict';
import request, { type Response } from 'supertest';
import { loadConfig } from '../../src/config/load.ts';
import { openGitlab } from '../../src/server/open-gitlab.ts';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { readReplication } from '../../src/store/source/gitlab/inspection.ts';
import { type PgBouncer, startPgBouncer } from '../support/database/pgbouncer.ts';
import {
  sharedPostgres,
  startPostgres,
  startPostgresPair,
  type TestPostgres,
  type TestPostgresPair,
} from '../support/database/postgres.ts';
import { ACME, LOGIN, type Login } from '../support/directory/acme.ts';
import { debianTool, INSTALL_MS } from '../support/e2e/tools.ts';
import { createGitlab } from '../support/gitlab/company.ts';
import { grantTo } from '../support/gitlab/roles.ts';
import { type GitlabTestServer, gitlabEnvironment, startGitlabServer } from '../support/gitlab/server.ts';
import { until } from '../support/processes/child.ts';
import { startTestServer } from '../support/server.ts';

const SCOPE = 'repository:acme/site:pull';
/** A client must have its answer within this time, whatever happens to GitLab's database. */
const BOUND_MS = 2000;
const HEALED_MS = 5000;
const VISITORS: readonly (Login | null)[] = [LOGIN.api, LOGIN.deployer, LOGIN.job, null];

const ask = (server: GitlabTestServer, as: Login | null): Promise<Response> =>
  Promise.resolve(server.ask({ ...(as && { as }), scope: SCOPE }));

/** Every kind of client gets this status, and in time. */
async function expectAll(server: GitlabTestServer, status: number): Promise<void> {
  for (const as of VISITORS) {
    const startedAt = performance.now();
    const answer = await ask(server, as);
    assert.equal(answer.status, status, JSON.stringify([as, answer.body]));
    const took = performance.now() - startedAt;
    assert.ok(took < BOUND_MS, `${took} ms`);
    if (status === 503) assert.ok(Number(answer.headers['retry-after']) > 0);
  }
}

/** Waits until `check` is true. */
async function becomes(what: string, check: () => Promise<boolean>): Promise<void> {
  await until(
    async () => ((await check()) ? true : undefined),
    () => `not in time: ${what}`,
    HEALED_MS,
  );
}

async function healed(server: GitlabTestServer): Promise<void> {
  await becomes('it answers again', async () => (await ask(server, LOGIN.api)).status === 200);
  await expectAll(server, 200);
}

describe("a server whose GitLab's database", () => {
  let postgres: TestPostgres;
  let server: GitlabTestServer;
  before(async function () {
    this.timeout(60_000);
    postgres = await startPostgres();
    server = await startGitlabServer({ postgres });
    await server.apply(ACME);
  });
  after(async () => {
    postgres.thaw();
    await server.close();
    await postgres.stop();
  });

  it('answers serves', async () => {
    await expectAll(server, 200);
  });

  it('crashes answers 503, is not ready, and heals', async () => {
    await postgres.crash();
    await expectAll(server, 503);
    assert.equal((await request(server.app).get('/readyz')).status, 503);
    await postgres.start();
    await healed(server);
    assert.equal((await request(server.app).get('/readyz')).status, 200);
  });

  it('hangs answers 503, and heals', async () => {
    postgres.freeze();
    await expectAll(server, 503);
    postgres.thaw();
    await healed(server);
  });

  for (const table of ['users', 'routes', 'p_ci_builds', 'application_settings']) {
    it(`has ${table} locked by a migration answers 503 where it needs it, and heals`, async () => {
      const migration = openPostgres(server.gitlab.mainUrl);
      await migration.transaction(async (sql) => {
        await sql.query(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
        const startedAt = performance.now();
        const { status } = await ask(server, table === 'p_ci_builds' ? LOGIN.job : LOGIN.api);
        assert.equal(status, 503);
        assert.ok(performance.now() - startedAt < BOUND_MS);
      });
      await migration.close();
      await healed(server);
    });
  }

  /** Each with a client whose answer needs the column. */
  const RENAMED: readonly (readonly [table: string, column: string, as: Login | null])[] = [
    ['users', 'state', LOGIN.api],
    ['personal_access_tokens', 'revoked', LOGIN.api],
    ['deploy_tokens', 'revoked', LOGIN.deployer],
    ['projects', 'archived', null],
    ['project_authorizations', 'access_level', LOGIN.api],
    ['p_ci_builds', 'status', LOGIN.job],
  ];
  for (const [table, column, as] of RENAMED) {
    it(`loses ${table}.${column} in an upgrade answers 503, says which, and heals`, async () => {
      await server.gitlab.main.execute(`ALTER TABLE ${table} RENAME COLUMN ${column} TO gone`);
      try {
        for (let n = 0; n < 3; n++) {
          const { status, body } = await ask(server, as);
          assert.equal(status, 503);
          assert.match(body.errors[0].message, new RegExp(`${table}\\.${column}`));
        }
      } finally {
        await server.gitlab.main.execute(`ALTER TABLE ${table} RENAME COLUMN gone TO ${column}`);
      }
      await healed(server);
    });
  }

  it('takes a right away answers 503, says which, and heals', async () => {
    const role = new URL(server.environment['CELLPASS_GITLAB_DATABASE_URL'] ?? '').username;
    await server.gitlab.main.execute(`REVOKE SELECT (admin) ON users FROM ${role}`);
    try {
      const { status, body } = await ask(server, LOGIN.api);
      assert.equal(status, 503);
      assert.match(body.errors[0].message, /users\.admin/);
    } finally {
      await server.gitlab.main.execute(`GRANT SELECT (admin) ON users TO ${role}`);
    }
    await healed(server);
  });

  /** Results that a prepared statement would hand out in another type. */
  const RETYPED: readonly (readonly [table: string, column: string, type: string, was: string])[] = [
    ['application_settings', 'container_registry_token_expire_delay', 'bigint', 'integer'],
    ['application_settings', 'globally_allowed_ips', 'varchar', 'text'],
    ['personal_access_tokens', 'user_id', 'numeric', 'bigint'],
    ['project_authorizations', 'access_level', 'bigint', 'integer'],
    ['p_ci_builds', 'user_id', 'numeric', 'bigint'],
    ['routes', 'source_id', 'numeric', 'bigint'],
  ];
  for (const [table, column, type, was] of RETYPED) {
    it(`gets ${table}.${column} as ${type} goes on`, async () => {
      await expectAll(server, 200);
      await server.gitlab.main.execute(`ALTER TABLE ${table} ALTER ${column} TYPE ${type}`);
      // On each connection.
      for (let n = 0; n < 4; n++) await expectAll(server, 200);
      await server.gitlab.main.execute(`ALTER TABLE ${table} ALTER ${column} TYPE ${was}`);
      for (let n = 0; n < 4; n++) await expectAll(server, 200);
    });
  }

  it('takes no new repository answers 503 to a first push, says why, and heals', async () => {
    const table = 'container_repositories';
    const role = new URL(server.environment['CELLPASS_GITLAB_WRITE_DATABASE_URL'] ?? '').username;
    const changes = [
      [`REVOKE INSERT (name) ON ${table} FROM ${role}`, `GRANT INSERT (name) ON ${table} TO ${role}`],
      [`ALTER TABLE ${table} RENAME COLUMN name TO gone`, `ALTER TABLE ${table} RENAME COLUMN gone TO name`],
    ];
    const push = () =>
      Promise.resolve(server.ask({ as: LOGIN.api, scope: 'repository:acme/guarded/new:push' }));
    for (const [break_ = '', mend = ''] of changes) {
      await server.gitlab.main.execute(break_);
      const { status, body } = await push();
      assert.equal(status, 503, break_);
      assert.match(body.errors[0].message, /container_repositories|gone|name/);
      await server.gitlab.main.execute(mend);
      await becomes('it takes pushes again', async () => (await push()).status === 200);
      await server.gitlab.main.execute(`DELETE FROM ${table}`);
    }
  });

  const LATER = [
    'ALTER TABLE application_settings DROP COLUMN require_admin_two_factor_authentication',
    'ALTER TABLE application_settings DROP COLUMN sign_in_restrictions',
    'ALTER TABLE application_settings DROP COLUMN enforce_ci_inbound_job_token_scope_enabled',
    'DROP TABLE saml_providers',
    'ALTER TABLE users DROP COLUMN locked_at',
    'ALTER TABLE namespaces DROP COLUMN state',
    'ALTER TABLE personal_access_tokens DROP COLUMN granular',
    'ALTER TABLE p_ci_builds DROP COLUMN scoped_user_id',
    'DROP TABLE namespace_bans',
    'DROP TABLE container_registry_protection_tag_rules',
    'DROP TABLE user_details',
    'DROP TABLE feature_gates',
  ];
  for (const sql of LATER) {
    it(`loses what came with a later version goes on: ${sql}`, async () => {
      await server.gitlab.main.execute(sql);
      await healed(server);
    });
  }
});

describe("a server whose GitLab's database is reached through a pgbouncer in transaction mode", function () {
  this.timeout(90_000);
  let pooler: PgBouncer | undefined;
  let server: GitlabTestServer | undefined;
  let program: string;
  before(async function () {
    this.timeout(INSTALL_MS);
    const found = await debianTool('pgbouncer');
    if (found === undefined) this.skip();
    program = found;
  });
  after(async () => {
    await server?.close();
    await pooler?.stop();
  });

  it('prepares nothing, and answers right', async () => {
    server = await startGitlabServer({
      via: async (url) => {
        pooler = await startPgBouncer({ program, url, mode: 'transaction', poolSize: 2 });
        return pooler.url;
      },
    });
    await server.apply(ACME);
    for (let round = 0; round < 10; round++) {
      await expectAll(server, 200);
      assert.equal((await ask(server, ['alice', `guess ${round}`])).status, 401);
    }
  });
});

describe("a server whose GitLab's CI has a database of its own that nobody names", () => {
  it('answers 503 to job tokens, and serves all others', async () => {
    const server = await startGitlabServer({
      hasOwnCi: true,
      environment: { CELLPASS_GITLAB_CI_DATABASE_URL: '' },
    });
    try {
      await server.apply(ACME);
      assert.equal((await ask(server, LOGIN.job)).status, 503);
      for (const as of [LOGIN.api, LOGIN.deployer, null]) assert.equal((await ask(server, as)).status, 200);
      // Another secret behind the same login is no job's.
      assert.equal((await ask(server, ['gitlab-ci-token', LOGIN.api[1]])).status, 200);
    } finally {
      await server.close();
    }
  });
});

describe("a server whose GitLab's CI has a database of its own", () => {
  let server: GitlabTestServer;
  before(async () => {
    server = await startGitlabServer({ hasOwnCi: true });
    await server.apply(ACME);
  });
  after(async () => {
    await server.close();
  });

  /** Nobody gets in, and who is in goes. */
  async function setAway(isAway: boolean): Promise<void> {
    const name = new URL(server.gitlab.ciUrl ?? '').pathname.slice(1);
    await server.gitlab.main.execute(`ALTER DATABASE ${name} ALLOW_CONNECTIONS ${!isAway}`);
    if (!isAway) return;
    await server.gitlab.main.execute(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}'`,
    );
  }

  async function expectWithoutJobs(): Promise<void> {
    assert.equal((await ask(server, LOGIN.job)).status, 503);
    for (const as of [LOGIN.api, LOGIN.deployer, null]) assert.equal((await ask(server, as)).status, 200);
    assert.equal((await request(server.app).get('/readyz')).status, 200);
  }

  it('goes on without it, but for jobs', async () => {
    await setAway(true);
    for (let n = 0; n < 3; n++) await expectWithoutJobs();
    await setAway(false);
    await becomes('jobs are served', async () => (await ask(server, LOGIN.job)).status === 200);
  });

  it('starts without it, and finds it later', async () => {
    await setAway(true);
    const settings = loadConfig(server.environment).gitlab;
    assert.ok(settings);
    const lines: string[] = [];
    const note = (_: unknown, text: string): number => lines.push(text);
    const databases = await openGitlab(settings, { ...SILENT, error: note });
    assert.match(lines.join(), /CELLPASS_GITLAB_CI_DATABASE_URL: until it answers, job tokens/);
    const other = await startTestServer({ environment: server.environment, gitlab: databases });
    const askOther = async (as: Login | null): Promise<number> =>
      (await other.ask({ ...(as && { as }), scope: SCOPE })).status;
    assert.deepEqual(await Promise.all(VISITORS.map(askOther)), [200, 200, 503, 200]);
    await setAway(false);
    await becomes('jobs are served', async () => (await askOther(LOGIN.job)) === 200);
    await other.close();
    await databases.close();
  });

  it('looks at it anew where its upgrade takes a column away, and says which', async () => {
    const { ci } = server.gitlab;
    await ci?.execute('ALTER TABLE p_ci_builds RENAME COLUMN status TO gone');
    const { status, body } = await ask(server, LOGIN.job);
    assert.equal(status, 503);
    assert.match(body.errors[0].message, /p_ci_builds\.status/);
    assert.equal((await ask(server, LOGIN.api)).status, 200);
    await ci?.execute('ALTER TABLE p_ci_builds RENAME COLUMN gone TO status');
    await becomes('jobs are served', async () => (await ask(server, LOGIN.job)).status === 200);
  });
});

describe("a standby of GitLab's database", function () {
  this.timeout(60_000);
  let pair: TestPostgresPair;
  let server: GitlabTestServer;
  before(async () => {
    pair = await startPostgresPair();
    server = await startGitlabServer({
      postgres: pair.primary,
      mayWrite: false,
      via: async (url) => {
        const atStandby = new URL(url);
        atStandby.port = String(pair.standby.port);
        const standby = openPostgres(atStandby.href, { onlyReads: true });
        // The roles and tables must have arrived there.
        await becomes('the roles are there', () =>
          standby.query('SELECT id FROM application_settings').then(
            () => true,
            () => false,
          ),
        );
        await standby.close();
        return atStandby.href;
      },
    });
    await server.apply(ACME);
    await becomes('the rows are there', async () => (await ask(server, LOGIN.api)).status === 200);
  });
  after(async () => {
    await server.close();
    await pair.stop();
  });

  it('serves, says how far it is behind, and sees a revocation as late as that', async () => {
    const superuser = openPostgres(standbyUrl(), { onlyReads: true, pipelinedConnections: 0 });
    await superuser.query('SELECT pg_wal_replay_pause()');
    await server.gitlab.main.execute('UPDATE personal_access_tokens SET revoked = true');
    assert.equal((await ask(server, LOGIN.api)).status, 200);
    await becomes('it is behind', async () => ((await readReplication(superuser)).lagSeconds ?? 0) > 0);
    assert.equal((await readReplication(superuser)).isStandby, true);
    await superuser.query('SELECT pg_wal_replay_resume()');
    await becomes('the revocation is there', async () => (await ask(server, LOGIN.api)).status === 401);
    await superuser.close();
  });

  function standbyUrl(): string {
    const url = new URL(server.gitlab.mainUrl);
    url.port = String(pair.standby.port);
    return url.href;
  }
});

describe('a start', () => {
  const refused = async (work: () => Promise<unknown>): Promise<string> => {
    try {
      await work();
    } catch (error) {
      return String(error instanceof Error ? error.message : error);
    }
    return 'it started';
  };

  for (const proof of ['the key for job tokens', 'a deploy token']) {
    it(`is refused with another db_key_base than GitLab's, as ${proof} shows`, async () => {
      const server = await startGitlabServer({ fixture: { hasJobKey: proof !== 'a deploy token' } });
      await server.apply(ACME);
      const { gitlab } = server;
      const roles = await grantTo(gitlab);
      const environment = await gitlabEnvironment(
        { dbKeyBase: 'f'.repeat(128) },
        { ...roles, edition: 'ce', mayWrite: false },
      );
      const settings = loadConfig(environment).gitlab;
      assert.ok(settings);
      const databases = await openGitlab(settings, SILENT);
      const message = await refused(() => startTestServer({ environment, gitlab: databases }));
      assert.match(message, /db_key_base is not this GitLab's/);
      assert.doesNotMatch(message, /ffff/);
      await databases.close();
      await server.close();
    });
  }

  it("is refused with cellpass's own tables in GitLab's database, which stays as it is", async () => {
    const url = await (await sharedPostgres()).createDatabase();
    const gitlab = await createGitlab(url);
    const { prepareDatabase } = await import('../../src/server/prepare.ts');
    const own = openPostgres(url);
    const message = await refused(() => prepareDatabase(loadConfig({}), own, { log: SILENT }));
    assert.match(message, /a database of its own/);
    const [row] = await own.query<{ there: boolean }>(
      "SELECT to_regclass('access_tokens') IS NOT NULL AS there",
    );
    assert.equal(row?.there, false);
    await own.close();
    await gitlab.close();
  });

  it('is refused while GitLab is away, and says which setting', async () => {
    const environment = await gitlabEnvironment(
      { dbKeyBase: 'x' },
      {
        readUrl: 'postgresql://nobody@127.0.0.1:1/gitlab',
        ciReadUrl: null,
        writeUrl: '',
        edition: 'ce',
        mayWrite: false,
      },
    );
    const settings = loadConfig(environment).gitlab;
    assert.ok(settings);
    assert.match(await refused(() => openGitlab(settings, SILENT)), /^CELLPASS_GITLAB_DATABASE_URL: /);
  });
});

const SILENT = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
