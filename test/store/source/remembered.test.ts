import assert from 'node:assert/strict';
import fc from 'fast-check';
import { authenticate } from '../../../src/authn/authenticate.ts';
import type { Credentials } from '../../../src/authn/basic.ts';
import { questionOf } from '../../../src/authn/credential-kinds.ts';
import { type DirectorySource, isAbout } from '../../../src/authn/source.ts';
import { applyDirectory } from '../../../src/directory/apply.ts';
import type { Database, Sql, Statement } from '../../../src/store/database/drivers.ts';
import { migrate } from '../../../src/store/database/migrate.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { TABLES } from '../../../src/store/directory/tables.ts';
import { saveTokenUses } from '../../../src/store/directory/tokens.ts';
import { createCurrentVersion } from '../../../src/store/source/current-version.ts';
import { createOwnSource } from '../../../src/store/source/own/source.ts';
import { type RememberingSource, remembering } from '../../../src/store/source/remembered.ts';
import { openTestPglite } from '../../support/database/pglite.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';
import { TAKING_ANYTHING } from '../../support/directory/asked.ts';

const ALICE = 'glpat-example-of-alice-1';
const BOB = 'glpat-example-of-bob-0001';
const OLD = 'of-alice-without-the-form-of-a-token';
const DEPLOY = 'gldt-example-deploy-1';
const JOB = 'glcbt-example-job-token-1';
const DIRECTORY = {
  version: 1,
  users: [
    { username: 'alice', id: 11, email: 'alice@example.com' },
    { username: 'bob', id: 12 },
  ],
  groups: [
    { path: 'acme', id: 20, members: [{ user: 'alice', role: 'developer' }] },
    { path: 'friends', id: 21, members: [{ user: 'bob', role: 'developer' }] },
  ],
  projects: [
    {
      path: 'acme/app',
      id: 101,
      protected_repositories: [{ pattern: 'acme/app/x', minimum_role_for_push: 'owner' }],
    },
    { path: 'acme/open', id: 102, visibility: 'public' },
  ],
  access_tokens: [
    { id: 1, name: 'a', kind: 'personal', user: 'alice', scopes: ['api'], token: ALICE },
    { id: 2, name: 'b', kind: 'personal', user: 'bob', scopes: ['api'], token: BOB },
    { id: 5, name: 'old', kind: 'personal', user: 'alice', scopes: ['api'], token: OLD },
  ],
  deploy_tokens: [
    { id: 3, username: 'puller', scopes: ['read_registry'], projects: ['acme/app'], token: DEPLOY },
  ],
  job_tokens: [{ id: 4, project: 'acme/app', user: 'alice', token: JOB }],
};
const byToken = (password: string, username = 'puller'): Credentials => ({ username, password });
const VERSION = 'SELECT version FROM directory_version';
/** No more is asked for what is remembered. */
const RECALLED = ['read-directory-version'];

const DRIVERS: [name: string, open: () => Promise<Database>][] = [
  ['PostgreSQL', async () => openPostgres(await (await sharedPostgres()).createMigratedDatabase())],
  ['PGlite', openTestPglite],
];

for (const [driver, open] of DRIVERS) {
  describe(`what a remembering source keeps of the directory, on ${driver}`, () => {
    let database: Database;
    const sent: string[] = [];
    const recording: Sql = {
      query: (statement, params) => {
        sent.push(nameOf(statement));
        return database.query(statement, params);
      },
      execute: (text) => database.execute(text),
    };
    let source: RememberingSource;

    before(async () => {
      database = await open();
      await migrate(database);
      const passwords = { hash: async () => '', verify: async () => false };
      await applyDirectory({ database, passwords, now: () => new Date() }, JSON.stringify(DIRECTORY), {
        prune: false,
      });
    });
    beforeEach(() => {
      source = remembering(createOwnSource(recording), { maxBytes: 1_000_000 });
    });
    after(() => database.close());

    /** One request, to its end: what it was told, and what it sent for. */
    const ask = async (
      credentials: Credentials | null,
      paths: readonly string[],
      { from = source, isGranted = true }: { from?: DirectorySource; isGranted?: boolean } = {},
    ) => {
      const question = questionOf(credentials);
      const answer = await from.ask(question, paths);
      const subject = await authenticate(TAKING_ANYTHING, credentials, answer.credentials, {
        now: new Date(),
        network: '127.0.0.1',
        clientGone: () => new AbortController().signal,
      }).catch(() => null);
      const facts = subject && (isAbout(answer, subject) ? answer.facts : await from.facts(subject, paths));
      if (isGranted) from.keep?.(question, paths, answer);
      return { credentials: answer.credentials, facts, sent: sent.splice(0) };
    };
    const asked: [what: string, credentials: Credentials | null, path: string][] = [
      ['a token', byToken(ALICE), 'acme/app'],
      ['a token that looks like a password', byToken(OLD, 'alice'), 'acme/app'],
      ['a deploy token', byToken(DEPLOY), 'acme/app'],
      ['an anonymous request', null, 'acme/open'],
    ];

    for (const [what, question, path] of asked) {
      it(`${what}: is asked for once, and then the version alone, until the directory changes`, async () => {
        const first = await ask(question, [path]);
        const second = await ask(question, [path]);
        assert.deepEqual(second, { ...first, sent: RECALLED });
        await database.execute(`UPDATE projects SET archived = true WHERE path_key = '${path}'`);
        try {
          const third = await ask(question, [path]);
          assert.deepEqual(third.facts?.projects[0]?.archivedBy, path);
          assert.deepEqual(third.sent, [...RECALLED, ...first.sent]);
          assert.deepEqual((await ask(question, [path])).sent, RECALLED);
        } finally {
          await database.execute(`UPDATE projects SET archived = false WHERE path_key = '${path}'`);
        }
      });
    }

    it('a deploy token is known again by its user name and secret together', async () => {
      await ask(byToken(DEPLOY), ['acme/app']);
      const other = await ask(byToken(DEPLOY, 'other'), ['acme/app']);
      assert.deepEqual([other.facts, other.sent], [null, ['ask-token']]);
    });

    const forgotten: [what: string, credentials: Credentials, isGranted: boolean][] = [
      ['an answer that granted nothing', byToken(ALICE), false],
      ['a job, whose end makes no new version', byToken(JOB, 'gitlab-ci-token'), true],
      [
        'a token behind the user name of jobs, which could become a job',
        byToken(ALICE, 'gitlab-ci-token'),
        true,
      ],
      ['a password', { username: 'alice', password: 'a password' }, true],
      [
        'a password behind the user name of jobs',
        { username: 'gitlab-ci-token', password: 'a password' },
        true,
      ],
    ];
    for (const [what, credentials, isGranted] of forgotten) {
      it(`${what} is asked about each time`, async () => {
        const first = await ask(credentials, ['acme/app'], { isGranted });
        assert.deepEqual((await ask(credentials, ['acme/app'], { isGranted })).sent, first.sent);
        assert.deepEqual(source.stats(), { hits: 0, misses: 2, entries: 0, bytes: 0 });
      });
    }

    it('an answer without a version is not remembered', async () => {
      const question = questionOf(byToken(ALICE));
      const { version: _, ...answer } = await source.ask(question, []);
      source.keep(question, [], answer);
      assert.equal(source.stats().entries, 0);
      sent.splice(0);
    });

    it('nothing is remembered where there is no room', async () => {
      const from = remembering(createOwnSource(recording), { maxBytes: 0 });
      const first = await ask(byToken(ALICE), ['acme/app'], { from });
      assert.deepEqual(await ask(byToken(ALICE), ['acme/app'], { from }), first);
    });

    it('no answer is taken for that of another question', async () => {
      const questions: [Credentials | null, string[]][] = [
        [null, ['acme/app']],
        [null, ['acme/app', 'acme/open']],
        [byToken(ALICE), ['acme/app']],
        [byToken(ALICE, 'acme/app'), ['acme/app']],
        [byToken(ALICE), ['acme/open', 'acme/app']],
        [byToken(ALICE, '\nacme/app'), ['acme/app']],
        [byToken(BOB), ['acme/app']],
        [byToken(ALICE, 'x\nacme/app'), ['acme/app']],
        [byToken(OLD), ['acme/app']],
        [byToken(OLD, 'alice'), ['acme/app']],
      ];
      const fresh = createOwnSource(recording);
      for (const [question, paths] of questions) {
        const { sent: first } = await ask(question, paths);
        assert.notDeepEqual(first, RECALLED, JSON.stringify([question, paths]));
      }
      for (const [question, paths] of questions) {
        const { credentials, facts } = await ask(question, paths);
        const expected = await ask(question, paths, { from: fresh });
        assert.deepEqual(
          { credentials, facts },
          { credentials: expected.credentials, facts: expected.facts },
        );
      }
    });

    it('the cache is bounded: what was not asked for the longest time goes first', async () => {
      const { bytes: one } = await ask(byToken(ALICE), ['acme/app']).then(() => source.stats());
      const small = remembering(createOwnSource(recording), { maxBytes: Math.ceil(2.5 * one) });
      for (const login of ['a', 'b', 'a', 'c'])
        await ask(byToken(ALICE, login), ['acme/app'], { from: small });
      assert.equal(small.stats().entries, 2);
      assert.deepEqual((await ask(byToken(ALICE, 'a'), ['acme/app'], { from: small })).sent, RECALLED);
      assert.deepEqual((await ask(byToken(ALICE, 'b'), ['acme/app'], { from: small })).sent, ['ask-token']);
    });

    it('each transaction that changes what an answer rests on makes one new version, once it is done', async () => {
      const [before] = await database.query(VERSION);
      await assert.rejects(
        database.transaction(async (sql) => {
          await sql.execute("UPDATE members SET role = 'guest'");
          throw new Error('no');
        }),
      );
      assert.deepEqual(await database.query(VERSION), [before]);
      await database.execute('UPDATE members SET role = role');
      assert.notDeepEqual(await database.query(VERSION), [before]);
    });

    const unwatched: [what: string, change: (sql: Sql) => Promise<unknown>][] = [
      [
        'last uses',
        (sql) => saveTokenUses(sql, [{ key: { table: 'access', number: 1 }, at: new Date() }], 0),
      ],
      ['job tokens', (sql) => sql.execute('UPDATE job_tokens SET running = running')],
      ['the cell', (sql) => sql.execute('UPDATE settings SET cell_id = cell_id')],
    ];
    for (const [what, change] of unwatched) {
      it(`${what} come and go without a new version`, async () => {
        const before = await database.query(VERSION);
        await change(database);
        assert.deepEqual(await database.query(VERSION), before);
      });
    }

    for (const table of Object.keys(TABLES).filter(
      (name) => !['job_tokens', 'revoked_secrets'].includes(name),
    )) {
      it(`${table}: whatever column changes, it is another version`, async () => {
        const columns = await database.query<{ column: string; watched: boolean }>(
          `SELECT attname AS column, attnum = ANY (coalesce(tgattr::int2[], '{}')) AS watched
           FROM pg_attribute LEFT JOIN pg_trigger ON tgrelid = attrelid AND tgname = 'change_directory_version'
           WHERE attrelid = '${table}'::regclass AND attnum > 0 AND NOT attisdropped`,
        );
        const missed = columns.filter(({ watched }) => !watched).map(({ column }) => column);
        assert.deepEqual(missed, UNWATCHED_COLUMNS[table] ?? []);
        for (const change of [`DELETE FROM ${table} WHERE false`, `TRUNCATE ${table} CASCADE`]) {
          const [before] = await database.query(VERSION);
          await rolledBack(database, async (sql) => {
            await sql.execute(change);
            assert.notDeepEqual(await sql.query(VERSION), [before], change);
          });
        }
      });
    }

    it('whatever changes and whatever is asked, it is answered as if nothing were remembered', async function () {
      this.timeout(60_000);
      const fresh = createOwnSource(recording);
      const question = fc.constantFrom(byToken(ALICE), byToken(BOB), byToken(DEPLOY, 'puller'), null);
      const paths = fc.constantFrom(['acme/app'], ['acme/open'], ['acme/app', 'acme/open'], ['acme/none']);
      const step = fc.oneof(
        { weight: 3, arbitrary: fc.record({ question, paths }) },
        { weight: 1, arbitrary: fc.constantFrom(...CHANGES) },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
          for (const one of steps) {
            if (typeof one === 'string') {
              await database.execute(one);
              continue;
            }
            await ask(one.question, one.paths);
            const { credentials, facts } = await ask(one.question, one.paths);
            const expected = await ask(one.question, one.paths, { from: fresh });
            assert.deepEqual(credentials, expected.credentials);
            assert.deepEqual(facts, expected.facts);
          }
        }),
        { numRuns: 8 },
      );
      assert.ok(source.stats().hits > 10, `${source.stats().hits} requests were answered from the cache`);
    });
  });
}

const UNWATCHED_COLUMNS: Readonly<Record<string, readonly string[]>> = {
  settings: ['cell_id'],
  access_tokens: ['last_used_at'],
  deploy_tokens: ['last_used_at'],
};

/** Each can be done at any time, and undone by another. */
const CHANGES: readonly string[] = [
  'UPDATE access_tokens SET revoked = NOT revoked WHERE id = 1',
  "UPDATE users SET state = CASE state WHEN 'active' THEN 'blocked' ELSE 'active' END WHERE id = 11",
  'UPDATE users SET admin = NOT admin WHERE id = 12',
  "INSERT INTO members (source_type, source_id, user_id, role) VALUES ('Project', 101, 12, 'guest') ON CONFLICT DO NOTHING",
  "DELETE FROM members WHERE source_type = 'Project'",
  "INSERT INTO group_group_links (shared_group_id, shared_with_group_id, role) VALUES (20, 21, 'reporter') ON CONFLICT DO NOTHING",
  'DELETE FROM group_group_links',
  "UPDATE projects SET visibility = CASE visibility WHEN 'public' THEN 'private' ELSE 'public' END WHERE id = 102",
  "UPDATE projects SET path = 'acme/none', path_key = 'acme/none' WHERE id = 102",
  "UPDATE projects SET path = 'acme/open', path_key = 'acme/open' WHERE id = 102",
  'UPDATE settings SET maintenance_mode = NOT maintenance_mode',
  'DELETE FROM protected_repositories',
  "INSERT INTO protected_repositories (project_id, position, pattern) VALUES (101, 0, 'acme/app') ON CONFLICT DO NOTHING",
  'DELETE FROM project_deploy_tokens',
  'INSERT INTO project_deploy_tokens (deploy_token_id, project_id) VALUES (3, 101) ON CONFLICT DO NOTHING',
  'UPDATE namespaces SET archived = NOT archived WHERE id = 20',
];

describe('the current version of the directory', () => {
  /** A database that answers when it is told to. */
  const slow = () => {
    const waiting: { answer(version: string): void; fail(error: Error): void }[] = [];
    const read = () =>
      new Promise<string>((resolve, reject) => {
        waiting.push({ answer: resolve, fail: reject });
      });
    return { waiting, current: createCurrentVersion(read) };
  };
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  /** Turns of the event loop in which a question that could be sent would have been. */
  const SOME_TURNS = 5;
  const turns = async () => {
    for (let n = 0; n < SOME_TURNS; n++) await turn();
  };

  it('is asked once for all who come until then, and never by a question that was sent before they came', async () => {
    const { waiting, current } = slow();
    const first = [current(), current()];
    await turns();
    assert.equal(waiting.length, 1);
    const late = [current(), current(), current()];
    await turns();
    assert.equal(waiting.length, 1);
    waiting[0]?.answer('old');
    assert.deepEqual(await Promise.all(first), ['old', 'old']);
    await turns();
    assert.equal(waiting.length, 2);
    const later = current();
    waiting[1]?.answer('new');
    assert.deepEqual(await Promise.all(late), ['new', 'new', 'new']);
    await turns();
    waiting[2]?.answer('newest');
    assert.equal(await later, 'newest');
    assert.equal(waiting.length, 3);
  });

  it('is asked anew after a failure, which those alone are told who were waiting for it', async () => {
    const { waiting, current } = slow();
    const first = current();
    await turns();
    const second = current();
    waiting[0]?.fail(new Error('away'));
    await assert.rejects(first, /away/);
    await turns();
    waiting[1]?.answer('back');
    assert.equal(await second, 'back');
  });
});

async function rolledBack(database: Database, work: (sql: Sql) => Promise<void>): Promise<void> {
  const done = new Error('rolled back');
  await assert.rejects(
    database.transaction(async (sql) => {
      await work(sql);
      throw done;
    }),
    done,
  );
}

function nameOf(statement: string | Statement): string {
  return typeof statement === 'string' ? statement : statement.name;
}
