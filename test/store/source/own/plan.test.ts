import assert from 'node:assert/strict';
import type { DirectorySource } from '../../../../src/authn/source.ts';
import type { Database } from '../../../../src/store/database/drivers.ts';
import { migrate } from '../../../../src/store/database/migrate.ts';
import { openPostgres } from '../../../../src/store/database/postgres.ts';
import { ask } from '../../../../src/store/source/own/ask.ts';
import { findFacts } from '../../../../src/store/source/own/facts.ts';
import { createOwnSource } from '../../../../src/store/source/own/source.ts';
import { readVersions } from '../../../../src/store/source/own/versions.ts';
import { planOf, type SentStatement, sentBy } from '../../../support/database/plans.ts';
import { sharedPostgres } from '../../../support/database/postgres.ts';
import { askedBy } from '../../../support/directory/asked.ts';
import {
  CREDENTIALS,
  MOST_PROJECTS,
  seedAskedProjects,
  seedCrowd,
} from '../../../support/directory/large-directory.ts';

const CROWD = { users: 1000, groupTrees: 100, projects: 5000, membershipsPerUser: 10, groupsOfMember: 100 };

/** Tables that hold thousands of rows here; a scan of a smaller one can be right. */
const LARGE_TABLES =
  /Seq Scan on (access_tokens|group_versions|job_token_project_links|members|namespaces|project_group_links|projects|protected_\w+|users)\b/;

const AS_JOB = { ...CREDENTIALS.member, username: CREDENTIALS.job.username };

const REQUESTS: [name: string, credentials: { username: string; password: string }, scopes: number][] = [
  ['a member', CREDENTIALS.member, 1],
  ['a user who owns nothing', CREDENTIALS.outsider, 1],
  ['a password', CREDENTIALS.password, 1],
  ['a deploy token', CREDENTIALS.deployToken, 1],
  ['a job', CREDENTIALS.job, 1],
  ['an access token behind the user name of jobs', AS_JOB, 1],
  ['a member who asks for 64 scopes', CREDENTIALS.member, MOST_PROJECTS],
];

describe('the plans of what a request asks', () => {
  let database: Database;
  let source: DirectorySource;

  before(async () => {
    // One connection: prepared statements are its own.
    database = openPostgres(await (await sharedPostgres()).createMigratedDatabase(), {
      maxConnections: 1,
      pipelinedConnections: 0,
    });
    source = createOwnSource(database);
    await migrate(database);
    await seedAskedProjects(database, MOST_PROJECTS);
    await seedCrowd(database, CROWD);
    await database.execute('ANALYZE');
  });

  after(() => database.close());

  for (const [name, credentials, scopes] of REQUESTS) {
    it(`scan no large table, and never all members of a group or all groups of a user: ${name}`, async () => {
      const { question, subject, paths } = await askedBy(source, { credentials, scopes });
      await assertNarrow(await sentBy(database, (sql) => ask(sql, question, paths)));
      await assertNarrow(await sentBy(database, (sql) => findFacts(sql, subject, paths)));
    });
  }

  it('scan no large table for the versions of cached answers', async () => {
    const units = await unitsOf(CREDENTIALS.member);
    await assertNarrow(await sentBy(database, (sql) => readVersions(sql, units)));
  });

  /** What an answer for one scope rests on. */
  async function unitsOf(credentials: { username: string; password: string }): Promise<readonly string[]> {
    const { question, paths } = await askedBy(source, { credentials, scopes: 1 });
    const { versions } = await ask(database, question, paths);
    return Object.keys(versions);
  }

  async function assertNarrow(sent: SentStatement): Promise<void> {
    for (const mode of ['generic', 'custom'] as const) {
      const lines = await planOf(database, sent, { mode });
      const wide = lines.filter((line) => LARGE_TABLES.test(line) || readsManyMemberships(line));
      assert.deepEqual(wide, [], `${sent.statement.name}, ${mode} plan:\n${lines.join('\n')}`);
    }
  }

  it('are made once for a connection, not for each request', async () => {
    const { question, subject, paths } = await askedBy(source, {
      credentials: CREDENTIALS.member,
      scopes: 1,
    });
    const units = await unitsOf(CREDENTIALS.member);
    for (let count = 0; count < 8; count++) {
      await source.ask(question, paths);
      await readVersions(database, units);
      await source.facts(subject, paths);
    }
    const kept = await database.query(
      "SELECT name FROM pg_prepared_statements WHERE name ~ '^(find|ask|read)-' AND generic_plans > 0 ORDER BY name",
    );
    assert.deepEqual(kept, [{ name: 'ask-token' }, { name: 'find-facts' }, { name: 'read-versions' }]);
  });
});

/** Both a user's groups and a group's users are many: a search of members must name both. */
function readsManyMemberships(line: string): boolean {
  if (!/Index Cond: .*\bsource_type = /.test(line)) return false;
  return !/\buser_id = /.test(line) || !/\bsource_id = /.test(line);
}
