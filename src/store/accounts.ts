import type {
  AccessTokenRecord,
  Account,
  CredentialAnswer,
  CredentialQuestion,
  DeployTokenRecord,
  JobRecord,
  SubjectQuestion,
} from '../authn/account.ts';
import type { Sql, Statement } from './drivers.ts';

/**
 * One row: each kind of credential that this secret, or this name, belongs to.
 *
 * For an unknown secret the record of some access token is read and left out, so that the time of an answer doesn't tell a token that
 * has expired or was revoked from none.
 */
const FIND_CREDENTIALS = {
  name: 'find-credentials',
  text: `
    SELECT settings.password_authentication,
      (SELECT record FROM job_token_records WHERE $2 = 'job' AND token_digest = $1) AS job,
      (SELECT id FROM access_tokens WHERE $2 <> 'job' AND token_digest = $1) AS access_token_id,
      (SELECT record FROM access_token_records WHERE id = coalesce(
        (SELECT id FROM access_tokens WHERE $2 <> 'job' AND token_digest = $1),
        (SELECT id FROM access_tokens WHERE $2 <> 'job' ORDER BY id LIMIT 1))) AS access_token,
      (SELECT record FROM deploy_token_records WHERE $2 <> 'job' AND token_digest = $1) AS deploy_token,
      (SELECT account FROM accounts WHERE $2 = 'token_or_password' AND (username_key = $3 OR email_key = $3) LIMIT 1) AS account
    FROM settings`,
};

/** The same by name or id, for whoever may ask about somebody without having the secret. */
const FIND_SUBJECT = {
  name: 'find-subject',
  text: `
    SELECT settings.password_authentication,
      (SELECT record FROM job_token_records WHERE $1 = 'job' AND id = $2) AS job,
      $2::bigint AS access_token_id,
      (SELECT record FROM access_token_records WHERE $1 = 'token' AND id = $2) AS access_token,
      (SELECT record FROM deploy_token_records WHERE $1 = 'deploy_token' AND username = $3 ORDER BY id LIMIT 1) AS deploy_token,
      (SELECT account FROM accounts WHERE $1 = 'user' AND username_key = $3) AS account
    FROM settings`,
};

type Json<T> = Omit<T, 'expiresAt'> & { readonly expiresAt: string | null };

interface CredentialRow {
  readonly password_authentication: boolean;
  readonly job: Json<JobRecord> | null;
  /** Of the one that was asked for; null: `access_token` is another. */
  readonly access_token_id: number | null;
  readonly access_token: AccessTokenRecord | null;
  readonly deploy_token: Json<DeployTokenRecord> | null;
  readonly account: Account | null;
  readonly [column: string]: unknown;
}

export function findCredentials(
  sql: Sql,
  { digest, kind, loginKey }: CredentialQuestion,
): Promise<CredentialAnswer> {
  return find(sql, FIND_CREDENTIALS, [digest, kind, loginKey]);
}

export function findSubject(sql: Sql, question: SubjectQuestion): Promise<CredentialAnswer> {
  const id = 'id' in question ? question.id : null;
  const name = 'name' in question ? question.name : null;
  return find(sql, FIND_SUBJECT, [question.kind, id, name]);
}

async function find(sql: Sql, statement: Statement, params: readonly unknown[]): Promise<CredentialAnswer> {
  const [row] = await sql.query<CredentialRow>(statement, params);
  if (row === undefined) throw new Error('the settings row is missing: the database was not migrated');
  return {
    passwordAuthentication: row.password_authentication,
    job: row.job && withDate(row.job),
    accessToken: row.access_token?.id === row.access_token_id ? row.access_token : null,
    deployToken: row.deploy_token && withDate(row.deploy_token),
    account: row.account,
  };
}

function withDate<T extends { readonly expiresAt: string | null }>(
  record: T,
): Omit<T, 'expiresAt'> & { expiresAt: Date | null } {
  return { ...record, expiresAt: record.expiresAt === null ? null : new Date(record.expiresAt) };
}
