import { accessTokenRelation, deployTokenRelation, jobProjectColumn, jobRelation } from './credentials.ts';
import { personColumn } from './people.ts';
import { type About, projectsRelation } from './projects.ts';
import { settingsRelation } from './settings.ts';
import type { Shape } from './shape.ts';
import { buildStatement, GIVEN, type GitlabStatement, type Refer } from './statement.ts';

/** Which look-ups a question needs beside those for access tokens and deploy tokens. */
interface Lookups {
  /** `found`: CI's own database has found the job. */
  readonly job: 'no' | 'look' | 'found';
  readonly password: boolean;
}

/** The statements for one shape of the main database. Each is built when it is needed first. */
export interface Statements {
  /** Who has the secret, and the facts about these projects for its owner. */
  ask(lookups: Lookups): GitlabStatement;
  facts(): GitlabStatement;
  /** The facts about each of several users and deploy tokens, one row each. */
  factsOfEach(): GitlabStatement;
  findToken(): GitlabStatement;
  findDeployToken(): GitlabStatement;
  findUser(): GitlabStatement;
  /** Where CI has a database of its own, it takes what that one has about the job. */
  findJob(): GitlabStatement;
  /** The ids of the projects among the paths. */
  projectIds(): GitlabStatement;
}

const ABOUT: About = {
  userId: 'asked.user_id',
  deployTokenId: 'asked.deploy_token_id',
  jobProjectId: 'asked.job_project_id',
};

/**
 * OFFSET 0 hides the values from the planner, so that it keeps one plan for a prepared statement;
 * see `projectFacts` of the own source.
 */
const asked = (refer: Refer, { userId, deployTokenId, jobProjectId }: About): string => `
  CROSS JOIN LATERAL (SELECT ${refer('paths')} AS paths, (${userId})::bigint AS user_id,
    (${deployTokenId})::bigint AS deploy_token_id, (${jobProjectId})::bigint AS job_project_id OFFSET 0) AS asked`;

const COLUMNS = 'setting.*, asked.user_id, asked.deploy_token_id, asked.job_project_id, found.projects';

/** @param ciIsHere whether this database has the tables of CI. */
export function createStatements(shape: Shape, ciIsHere: boolean): Statements {
  const built = new Map<string, GitlabStatement>();
  const once = (name: string, text: (refer: Refer) => string): GitlabStatement => {
    const known = built.get(name) ?? buildStatement(name, text);
    built.set(name, known);
    return known;
  };
  const setting = settingsRelation(shape);
  const projects = (hasJob: boolean): string => projectsRelation(shape, { about: ABOUT, hasJob, ciIsHere });
  return {
    ask: (lookups) =>
      once(`ask-${lookups.job}-job${lookups.password ? '-or-password' : ''}`, (refer) =>
        askText(shape, refer, lookups, `FROM ${GIVEN} CROSS JOIN ${setting}`, projects(lookups.job !== 'no')),
      ),
    facts: () =>
      once(
        'facts',
        (refer) => `
          SELECT ${COLUMNS}, ${jobProjectColumn(shape, 'asked.job_project_id')} AS job_project
          FROM ${GIVEN} CROSS JOIN ${setting}
          ${asked(refer, {
            userId: refer('userId'),
            deployTokenId: refer('deployTokenId'),
            jobProjectId: refer('jobProjectId'),
          })}
          ${projects(true)}`,
      ),
    factsOfEach: () =>
      once(
        'facts-of-each',
        (refer) => `
          SELECT ${COLUMNS}
          FROM ${GIVEN} CROSS JOIN ${setting}
          CROSS JOIN unnest(${refer('userIds')}, ${refer('deployTokenIds')}) WITH ORDINALITY AS one (user_id, deploy_token_id, position)
          ${asked(refer, { userId: 'one.user_id', deployTokenId: 'one.deploy_token_id', jobProjectId: 'NULL' })}
          ${projects(false)}
          ORDER BY one.position`,
      ),
    findToken: () =>
      once(
        'find-token',
        (refer) => `
          SELECT setting.*, pat.record AS access_token, ${personColumn(shape, 'pat.user_id', false)} AS owner
          FROM ${GIVEN} CROSS JOIN ${setting} ${accessTokenRelation(shape, `t.id = ${refer('tokenId')}`)}`,
      ),
    findDeployToken: () =>
      once('find-deploy-token', (refer) => {
        const named = `coalesce(username, 'gitlab+deploy-token-' || id) = ${refer('deployTokenName')}`;
        const name = `t.id = (SELECT min(id) FROM deploy_tokens WHERE ${named} OR id = ${refer('deployTokenId')})`;
        return `SELECT setting.*, deploy.record AS deploy_token FROM ${GIVEN} CROSS JOIN ${setting} ${deployTokenRelation(name)}`;
      }),
    findUser: () =>
      once(
        'find-user',
        (refer) => `
          SELECT setting.*, ${personColumn(shape, 'login.id', false)} AS account
          FROM ${GIVEN} CROSS JOIN ${setting} ${loginRelation(refer)}`,
      ),
    findJob: () =>
      once('find-job', (refer) => {
        const job = ciIsHere ? jobRelation(shape, refer) : givenJob(refer);
        const record = ciIsHere ? 'job.record AS job, ' : '';
        return `
          SELECT setting.*, ${record}${jobProjectColumn(shape, 'job.project_id')} AS job_project,
            ${personColumn(shape, 'job.user_id', false)} AS owner
          FROM ${GIVEN} CROSS JOIN ${setting} ${job}`;
      }),
    projectIds: () =>
      once(
        'project-ids',
        (refer) => `
          SELECT source_id::bigint AS id FROM ${GIVEN} CROSS JOIN routes
          WHERE source_type = 'Project' AND lower(path) = ANY (${refer('paths')}) LIMIT 1000`,
      ),
  };
}

/** Some user, in whose place an unknown secret asks, so that it takes as long as a known one. */
const SOMEBODY = '(SELECT id FROM users ORDER BY id LIMIT 1)';

function askText(
  shape: Shape,
  refer: Refer,
  { job, password }: Lookups,
  from: string,
  projects: string,
): string {
  const hasJob = job !== 'no';
  const unlessJob = hasJob ? ' AND job.id IS NULL' : '';
  const mayReadOauth =
    shape.has('oauth_access_tokens', 'token') && shape.has('oauth_access_tokens', 'revoked_at');
  const found = [
    ...(hasJob ? ['WHEN job.id IS NOT NULL THEN job.user_id'] : []),
    'WHEN pat.id IS NOT NULL THEN pat.user_id',
  ].join(' ');
  const other = password ? 'login.id' : SOMEBODY;
  const about: About = {
    userId: `CASE ${found} WHEN deploy.id IS NULL THEN ${other} END`,
    deployTokenId: 'CASE WHEN pat.id IS NULL THEN deploy.id END',
    jobProjectId: hasJob ? 'job.project_id' : 'NULL::bigint',
  };
  const owner = `coalesce(CASE ${found} END, ${SOMEBODY})`;
  const columns = [
    COLUMNS,
    'pat.record AS access_token, deploy.record AS deploy_token',
    `${personColumn(shape, owner, false)} AS owner`,
    ...(job === 'look' ? ['job.record AS job'] : []),
    ...(hasJob ? [`${jobProjectColumn(shape, 'job.project_id')} AS job_project`] : []),
    ...(password ? [`${personColumn(shape, 'login.id', true)} AS account`] : []),
    ...(mayReadOauth ? ['oauth.known AS oauth'] : []),
  ];
  const joins = [
    ...(job === 'look' ? [jobRelation(shape, refer)] : []),
    ...(job === 'found' ? [givenJob(refer)] : []),
    accessTokenRelation(shape, `t.token_digest = ANY (${refer('digests')})${unlessJob}`),
    deployTokenRelation(`t.token_encrypted = ANY (${refer('encrypted')})${unlessJob}`),
    ...(password ? [loginRelation(refer)] : []),
    ...(mayReadOauth ? [oauthRelation(refer)] : []),
  ];
  return `SELECT ${columns.join(', ')} ${from} ${joins.join('')} ${asked(refer, about)} ${projects}`;
}

/** A relation `job` with what another database has found. */
function givenJob(refer: Refer): string {
  return `
    CROSS JOIN LATERAL (
      SELECT ${refer('jobId')} AS id, ${refer('jobProjectId')} AS project_id, ${refer('userId')} AS user_id OFFSET 0) AS job`;
}

/** Only the primary address is a login name (`User.by_login`). */
function loginRelation(refer: Refer): string {
  const login = refer('login');
  return `
    LEFT JOIN LATERAL (
      SELECT u.id FROM users AS u WHERE position('@' in ${login}) = 0 AND lower(u.username) = ${login}
      UNION ALL
      SELECT u.id FROM users AS u WHERE position('@' in ${login}) > 0 AND lower(u.email) = ${login}
      LIMIT 1 OFFSET 0) AS login ON true`;
}

function oauthRelation(refer: Refer): string {
  return `
    LEFT JOIN LATERAL (
      SELECT true AS known FROM oauth_access_tokens AS t
      WHERE t.token = ANY (${refer('oauth')}) AND t.revoked_at IS NULL LIMIT 1 OFFSET 0) AS oauth ON true`;
}
