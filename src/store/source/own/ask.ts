import { lowerCaseAscii } from '../../../ascii.ts';
import type { SourceQuestion } from '../../../authn/source.ts';
import type { Sql, Statement } from '../../database/drivers.ts';
import type { VersionedAnswer } from '../remembered.ts';
import {
  ACCOUNT,
  accessToken,
  type CredentialRow,
  deployToken,
  JOB,
  toCredentialRecords,
} from './credentials.ts';
import {
  type AnsweredFacts,
  ASKED_GROUPS,
  FACTS,
  type FactsRow,
  projectFacts,
  type Relation,
  toAnsweredFacts,
} from './facts.ts';
import { topLevel, type UnitQueries, versionsColumn } from './versions.ts';

/** Which look-ups a statement has beside those for access tokens and deploy tokens. */
interface Lookups {
  readonly job: boolean;
  readonly password: boolean;
}

/**
 * Who has the secret, and everything that a decision about these projects needs, in one round trip,
 * because the way there and back costs more than the answer. `$1` paths, `$2` SHA-256 of the
 * secret, `$3` login name in lower case (only with `password`).
 */
function askStatement({ job, password }: Lookups): Statement {
  // A job that is found leaves the other look-ups out, as an unknown secret leaves the job's record
  // out: one record is read either way.
  const unlessJob = job ? 'job.id IS NULL' : 'true';
  const columns = [
    'access_token.known, access_token.record AS access_token, deploy_token.record AS deploy_token',
    ...(job ? ['job.record AS job'] : []),
    ...(password ? ['account.account'] : []),
  ];
  const joins = [
    ...(job ? [JOB] : []),
    accessToken(unlessJob),
    deployToken(unlessJob),
    ...(password ? [ACCOUNT] : []),
  ];
  const relations: readonly Relation[] = ['memberships', 'deployToken', ...(job ? ['job' as const] : [])];
  return {
    name: `ask${job ? '-job-or' : ''}-token${password ? '-or-password' : ''}`,
    isHot: true,
    text: `
      SELECT settings.password_authentication, ${columns.join(', ')}, ${FACTS},
        ${versionsColumn(restsOn({ job, password }))}
      FROM settings ${joins.join('')}
      CROSS JOIN LATERAL (SELECT $1::text[] AS paths, ${ownerIds({ job, password })} OFFSET 0) AS asked
      ${projectFacts(relations)}`,
  };
}

/**
 * The ids of the subject to which the secret belongs. A record that the secret finds comes before
 * an account that the login name finds. Without a password to try, an unknown secret asks about the
 * owner of the other token that was read, so that it takes as long as a known one.
 */
function ownerIds({ job, password }: Lookups): string {
  const userId = [
    ...(job ? ['WHEN job.id IS NOT NULL THEN job.user_id'] : []),
    ...(password ? ['WHEN access_token.known THEN access_token.user_id'] : []),
    `WHEN deploy_token.id IS NULL THEN ${password ? 'account.id' : 'access_token.user_id'}`,
  ];
  return `CASE ${userId.join(' ')} END AS user_id, deploy_token.id AS deploy_token_id,
    ${job ? 'job.project_id' : 'NULL::bigint'} AS job_project_id`;
}

/** Migration 0014 says which changes make a new version of each unit. */
function restsOn({ job, password }: Lookups): UnitQueries {
  const ownPath = 'SELECT path_key FROM projects WHERE id = asked.job_project_id';
  return {
    users: password ? 'SELECT asked.user_id UNION SELECT account.id' : 'SELECT asked.user_id',
    secrets: `SELECT encode($2, 'hex')`,
    groups: job ? topLevel(`SELECT unnest(asked.paths) UNION ALL ${ownPath}`) : ASKED_GROUPS,
  };
}

const STATEMENTS = {
  token: askStatement({ job: false, password: false }),
  tokenOrPassword: askStatement({ job: false, password: true }),
  jobOrToken: askStatement({ job: true, password: false }),
  jobOrTokenOrPassword: askStatement({ job: true, password: true }),
} as const;

function statementFor({ job, password }: Lookups): Statement {
  if (job) return password ? STATEMENTS.jobOrTokenOrPassword : STATEMENTS.jobOrToken;
  return password ? STATEMENTS.tokenOrPassword : STATEMENTS.token;
}

type AskRow = FactsRow & CredentialRow;

/**
 * One round trip.
 * @param paths of the projects that could own what is asked, in lower case.
 */
export async function ask(
  sql: Sql,
  { secret, username, kinds }: SourceQuestion,
  paths: readonly string[],
): Promise<VersionedAnswer> {
  const lookups = { job: kinds.includes('job'), password: kinds.includes('password') };
  const params = [[...paths], secret.sha256(), ...(lookups.password ? [lowerCaseAscii(username)] : [])];
  const [row] = await sql.query<AskRow>(statementFor(lookups), params);
  const answered: AnsweredFacts = toAnsweredFacts(row);
  return { ...answered, credentials: toCredentialRecords(row) };
}
