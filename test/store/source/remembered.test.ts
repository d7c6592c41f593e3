import assert from 'node:assert/strict';
import type { Credentials } from '../../../src/authn/basic.ts';
import { questionOf } from '../../../src/authn/credential-kinds.ts';
import type { DirectorySource } from '../../../src/authn/source.ts';
import { applyDirectory } from '../../../src/directory/apply.ts';
import type { Database, Sql, Statement } from '../../../src/store/database/drivers.ts';
import { migrate } from '../../../src/store/database/migrate.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { createOwnSource } from '../../../src/store/source/own/source.ts';
import { type RememberingSource, remembering } from '../../../src/store/source/remembered.ts';
import { openTestPglite } from '../../support/database/pglite.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';
import { oneRequest } from './one-request.ts';

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
/** No more is asked for what is remembered. */
const RECALLED = ['read-versions'];

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
        who: 'a test',
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
      const learned = await oneRequest(from, { credentials, paths, isGranted });
      return { ...learned, sent: sent.splice(0) };
    };
    const asked: [what: string, credentials: Credentials | null, path: string][] = [
      ['a token', byToken(ALICE), 'acme/app'],
      ['a token that looks like a password', byToken(OLD, 'alice'), 'acme/app'],
      ['a deploy token', byToken(DEPLOY), 'acme/app'],
      ['an anonymous request', null, 'acme/open'],
      ['a job', byToken(JOB, 'gitlab-ci-token'), 'acme/app'],
      ['a token behind the user name of jobs', byToken(ALICE, 'gitlab-ci-token'), 'acme/app'],
    ];

    for (const [what, question, path] of asked) {
      it(`${what}: is asked for once, and then the versions alone, until the project changes`, async () => {
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

    it('a change elsewhere leaves an answer in the cache', async () => {
      await ask(byToken(ALICE), ['acme/app']);
      await database.execute("UPDATE members SET role = 'reporter' WHERE source_id = 21");
      await database.execute('UPDATE namespaces SET archived = NOT archived WHERE id = 21');
      assert.deepEqual((await ask(byToken(ALICE), ['acme/app'])).sent, RECALLED);
    });

    it('the end of a job counts from the next request on', async () => {
      await ask(byToken(JOB, 'gitlab-ci-token'), ['acme/app']);
      await database.execute('UPDATE job_tokens SET running = false WHERE id = 4');
      try {
        const ended = await ask(byToken(JOB, 'gitlab-ci-token'), ['acme/app']);
        assert.deepEqual([ended.credentials.job?.running, ended.facts], [false, null]);
      } finally {
        await database.execute('UPDATE job_tokens SET running = true WHERE id = 4');
      }
    });

    it('requests that wait together are checked by one question', async () => {
      const logins = [byToken(ALICE), byToken(BOB), byToken(DEPLOY), byToken(JOB, 'gitlab-ci-token')];
      for (const login of logins) await ask(login, ['acme/app']);
      await Promise.all(logins.map((login) => source.ask(questionOf(login), ['acme/app'])));
      assert.deepEqual(sent.splice(0), RECALLED);
    });

    it('a deploy token is known again by its user name and secret together', async () => {
      await ask(byToken(DEPLOY), ['acme/app']);
      const other = await ask(byToken(DEPLOY, 'other'), ['acme/app']);
      assert.deepEqual([other.facts, other.sent], [null, ['ask-token']]);
    });

    const forgotten: [what: string, credentials: Credentials, isGranted: boolean][] = [
      ['an answer that granted nothing', byToken(ALICE), false],
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
        assert.deepEqual(source.stats(), { hits: 0, misses: 2, questions: 0, entries: 0, bytes: 0 });
      });
    }

    it('an answer without versions is not remembered', async () => {
      const question = questionOf(byToken(ALICE));
      const { versions: _, ...answer } = await source.ask(question, []);
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
        const { sent: _, ...learned } = await ask(question, paths);
        const { sent: __, ...expected } = await ask(question, paths, { from: fresh });
        assert.deepEqual(learned, expected);
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
  });
}

function nameOf(statement: string | Statement): string {
  return typeof statement === 'string' ? statement : statement.name;
}
