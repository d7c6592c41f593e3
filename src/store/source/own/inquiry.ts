import type { CredentialAnswer, CredentialQuestion } from '../../../authn/account.ts';
import type { SecretKind } from '../../../authn/secret-kind.ts';
import type { Sql, Statement } from '../../database/drivers.ts';
import {
  ACCESS_TOKEN,
  ACCOUNT,
  type CredentialRow,
  DEPLOY_TOKEN,
  JOB,
  toCredentialAnswer,
} from './accounts.ts';
import { FACTS, type FactsRow, type FoundFacts, projectFacts, type Relation, toFoundFacts } from './facts.ts';

/**
 * What one token request asks the database: who has this secret, and what about these projects for whoever that is. Both come in one
 * round trip, because the way there and back costs more than the answer.
 */
export interface Found extends FoundFacts {
  readonly credentials: CredentialAnswer;
}

interface InquiryParts {
  readonly columns: string;
  readonly joins: string;
  /** `user_id`, `deploy_token_id` and `job_project_id` of whoever has the secret. */
  readonly ids: string;
  readonly relations: readonly Relation[];
}

/** `$1` paths, `$2` digest, `$3` login. */
function inquireBy(name: string, { columns, joins, ids, relations }: InquiryParts): Statement {
  return {
    name,
    isHot: true,
    text: `
      SELECT settings.password_authentication, ${columns}, ${FACTS}
      FROM settings ${joins}
      CROSS JOIN LATERAL (SELECT $1::text[] AS paths, ${ids} OFFSET 0) AS asked
      ${projectFacts(relations)}`,
  };
}

const BY_TOKEN = {
  columns: 'access_token.known, access_token.record AS access_token, deploy_token.record AS deploy_token',
  joins: `${ACCESS_TOKEN} ${DEPLOY_TOKEN}`,
  relations: ['memberships', 'deployToken'],
} as const;

/** A token that is there by its secret comes before an account that has the name. */
const INQUIRE: Readonly<Record<SecretKind, Statement>> = {
  job: inquireBy('inquire-job', {
    columns: 'job.record AS job',
    joins: JOB,
    ids: 'job.user_id, NULL::bigint AS deploy_token_id, job.project_id AS job_project_id',
    relations: ['memberships', 'job'],
  }),
  token: inquireBy('inquire-token', {
    ...BY_TOKEN,
    ids: `CASE WHEN deploy_token.id IS NULL THEN access_token.user_id END AS user_id,
      deploy_token.id AS deploy_token_id, NULL::bigint AS job_project_id`,
  }),
  token_or_password: inquireBy('inquire-token-or-password', {
    ...BY_TOKEN,
    columns: `${BY_TOKEN.columns}, account.account`,
    joins: `${BY_TOKEN.joins} ${ACCOUNT}`,
    ids: `CASE WHEN access_token.known THEN access_token.user_id WHEN deploy_token.id IS NULL THEN account.id END AS user_id,
      deploy_token.id AS deploy_token_id, NULL::bigint AS job_project_id`,
  }),
};

type InquiryRow = FactsRow & CredentialRow;

/** @param paths of the projects that could own what is asked, in lower case. */
export async function inquire(
  sql: Sql,
  { digest, kind, loginKey }: CredentialQuestion,
  paths: readonly string[],
): Promise<Found> {
  const params = [[...paths], digest, ...(kind === 'token_or_password' ? [loginKey] : [])];
  const [row] = await sql.query<InquiryRow>(INQUIRE[kind], params);
  return { ...toFoundFacts(row), credentials: toCredentialAnswer(row) };
}
