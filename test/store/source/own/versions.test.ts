import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Database, Sql } from '../../../../src/store/database/drivers.ts';
import { openPostgres } from '../../../../src/store/database/postgres.ts';
import { TABLES } from '../../../../src/store/directory/tables.ts';
import { saveTokenUses } from '../../../../src/store/directory/tokens.ts';
import { createOwnSource } from '../../../../src/store/source/own/source.ts';
import { openTestPglite } from '../../../support/database/pglite.ts';
import { sharedPostgres } from '../../../support/database/postgres.ts';
import { assertNeverStale } from './always-fresh.ts';
import { fillDirectory, moveGroup, moveProject, renameGroup, SECRETS } from './changing-directory.ts';

const DRIVERS: [name: string, open: () => Promise<Database>][] = [
  ['PostgreSQL', async () => openPostgres(await (await sharedPostgres()).createMigratedDatabase())],
  ['PGlite', openTestPglite],
];

const ofSecret = (secret: string): string => `secret:${createHash('sha256').update(secret).digest('hex')}`;
const ALICE = ofSecret(SECRETS.alice);
const DEPLOY = ofSecret(SECRETS.deploy);
const JOB = ofSecret(SECRETS.job);
const UNITS = [
  ...['settings', 'user:11', 'user:12', ALICE, DEPLOY, JOB],
  ...['group:acme', 'group:friends', 'group:other', 'group:new', 'group:alice'],
];

/** What changes, and the units that get another version. */
const ROWS: [change: string, statement: string, units: readonly string[]][] = [
  ['a setting', 'UPDATE settings SET maintenance_mode = true', ['settings']],
  ['an organization', 'UPDATE organizations SET maintenance = true', ['settings']],
  ['an owner of an organization', 'DELETE FROM organization_users', ['user:12']],
  ["a user's state", "UPDATE users SET state = 'blocked' WHERE id = 11", ['user:11']],
  [
    'a user, with the personal namespace and the credentials',
    'DELETE FROM users WHERE id = 11',
    ['user:11', ALICE, JOB, 'group:alice'],
  ],
  ['a membership', "UPDATE members SET role = 'owner' WHERE source_id = 21", ['user:12']],
  [
    'the user of a membership',
    'UPDATE members SET user_id = 11 WHERE source_id = 21',
    ['user:11', 'user:12'],
  ],
  ['an access token', 'UPDATE access_tokens SET revoked = true WHERE id = 1', [ALICE]],
  ['a deploy token', 'UPDATE deploy_tokens SET group_id = 20', [DEPLOY]],
  ['the projects of a deploy token', 'DELETE FROM project_deploy_tokens', [DEPLOY]],
  ['the end of a job', 'UPDATE job_tokens SET running = false WHERE id = 4', [JOB]],
  ['a job that is deleted', 'DELETE FROM job_tokens WHERE id = 4', [JOB]],
  ['a project', 'UPDATE projects SET archived = true WHERE id = 105', ['group:acme']],
  [
    'a new project',
    "INSERT INTO projects (id, namespace_id, path, path_key) VALUES (110, 21, 'friends/x', 'friends/x')",
    ['group:friends'],
  ],
  ['a deleted project', 'DELETE FROM projects WHERE id = 102', ['group:acme']],
  ['a project that moves', moveProject(101, 23), ['group:acme', 'group:other']],
  ['a subgroup', 'UPDATE namespaces SET archived = true WHERE id = 25', ['group:acme']],
  ['a deleted subgroup', 'DELETE FROM namespaces WHERE id = 25', ['group:acme']],
  [
    'a new top-level group',
    `INSERT INTO namespaces (id, type, organization_id, path, path_key, traversal_ids)
       SELECT 40, 'Group', id, 'new', 'new', '{40}' FROM organizations`,
    ['group:new'],
  ],
  [
    'a group that moves, and a project that invited it',
    moveGroup(22, 21),
    ['group:acme', 'group:friends', 'group:other'],
  ],
  [
    'a group that is renamed, and the groups that invited it',
    renameGroup(21, 'new'),
    ['group:acme', 'group:friends', 'group:new'],
  ],
  [
    'a deleted group, and the groups that invited it',
    'DELETE FROM namespaces WHERE id = 21',
    ['group:acme', 'group:friends'],
  ],
  ['an invitation to a group', "UPDATE group_group_links SET role = 'guest'", ['group:acme']],
  ['an invitation to a project', "UPDATE project_group_links SET role = 'guest'", ['group:other']],
  ['an allowed project of jobs', 'DELETE FROM job_token_project_links', ['group:other']],
  ['an allowed group of jobs', 'DELETE FROM job_token_group_links', ['group:other']],
  ['a protected repository', 'DELETE FROM protected_repositories', ['group:acme']],
  ['a protected tag', "UPDATE protected_tags SET pattern = 'w.*'", ['group:acme']],
];

/** No answer that is cached rests on them: those about ID tokens are asked for each time. */
const NEVER_CACHED: ReadonlySet<string> = new Set(['revoked_secrets', 'federated_identities']);
const UNWATCHED_COLUMNS: Readonly<Record<string, readonly string[]>> = {
  settings: ['cell_id'],
  access_tokens: ['last_used_at', 'created_at', 'created_by'],
  deploy_tokens: ['last_used_at', 'created_at', 'created_by'],
};

/** The names of tests are the same in each run. */
const withoutDigest = (unit: string): string =>
  ({ [ALICE]: "alice's token", [DEPLOY]: 'the deploy token', [JOB]: 'the job' })[unit] ?? unit;

for (const [driver, open] of DRIVERS) {
  describe(`the versions of what an answer rests on, on ${driver}`, () => {
    let database: Database;
    before(async () => {
      database = await open();
      await fillDirectory(database);
    });
    after(() => database.close());

    const versionsIn = (sql: Sql) => createOwnSource(sql).versions(UNITS);
    /** The units to which the change gives another version; it is rolled back. */
    const changedBy = async (change: (sql: Sql) => Promise<unknown>): Promise<readonly string[]> => {
      let changed: readonly string[] = [];
      await rolledBack(database, async (sql) => {
        const before = await versionsIn(sql);
        await change(sql);
        const now = await versionsIn(sql);
        changed = UNITS.filter((unit) => before[unit] !== now[unit]);
      });
      return changed;
    };

    it('is asked for many at once, whether they exist or not', async () => {
      const versions = await versionsIn(database);
      assert.deepEqual(Object.keys(versions).sort(), UNITS.toSorted());
      assert.equal(versions['group:new'], null);
    });

    for (const [what, statement, units] of ROWS) {
      it(`${what}: another version of ${units.map(withoutDigest).join(', ')}, and of nothing else`, async () => {
        const changed = await changedBy((sql) => sql.execute(statement));
        assert.deepEqual(
          changed.map(withoutDigest),
          UNITS.filter((unit) => units.includes(unit)).map(withoutDigest),
        );
      });
    }

    for (const table of Object.keys(TABLES).filter((name) => !NEVER_CACHED.has(name))) {
      it(`${table}: whichever column is written, a unit has another version`, async () => {
        const columns = await database.query<{ name: string }>(
          'SELECT column_name AS name FROM information_schema.columns WHERE table_name = $1',
          [table],
        );
        for (const { name } of columns) {
          const changed = await changedBy((sql) => sql.execute(`UPDATE ${table} SET ${name} = ${name}`));
          const isUnwatched = name === 'version' || UNWATCHED_COLUMNS[table]?.includes(name) === true;
          assert.equal(changed.length > 0, !isUnwatched, `${table}.${name}`);
        }
      });

      if (table !== 'settings')
        it(`${table}: deleting or truncating its rows gives a unit another version`, async () => {
          // No organization can be deleted while it has users.
          const deletes = table === 'organizations' ? [] : [`DELETE FROM ${table}`];
          for (const change of [...deletes, `TRUNCATE ${table} CASCADE`])
            assert.notDeepEqual(await changedBy((sql) => sql.execute(change)), [], change);
        });
    }

    it('a change that is rolled back makes no new version', async () => {
      const before = await versionsIn(database);
      await changedBy((sql) => sql.execute('UPDATE projects SET archived = true'));
      assert.deepEqual(await versionsIn(database), before);
    });

    it('a group that is deleted and made again has another version than before', async () => {
      const changed = await changedBy(async (sql) => {
        await sql.execute(`DELETE FROM namespaces WHERE id = 23;
          INSERT INTO namespaces (id, type, organization_id, path, path_key, traversal_ids)
            SELECT 23, 'Group', id, 'other', 'other', '{23}' FROM organizations`);
      });
      assert.deepEqual(changed, ['group:other']);
    });

    it('a last use of a token makes no new version', async () => {
      const uses = [{ key: { table: 'access' as const, number: 1 }, at: new Date() }];
      assert.deepEqual(await changedBy((sql) => saveTokenUses(sql, uses, 0)), []);
    });

    it('whatever changes and whatever is asked, the answer is as if nothing were cached', async function () {
      this.timeout(60_000);
      const { hits, questions } = await assertNeverStale(database, { runs: 5, steps: 30 });
      assert.ok(hits > questions / 5, `${hits} of ${questions} requests were answered from the cache`);
    });
  });
}

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
