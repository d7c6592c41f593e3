import type {
  AccessTokenRecord,
  Account,
  CredentialAnswer,
  CredentialQuestion,
  DeployTokenRecord,
  JobRecord,
} from '../authn/account.ts';
import type { Sql } from './drivers.ts';

/** One row: each kind of credential that this secret, or this name, belongs to. JSON keys are the records' own. */
const FIND_CREDENTIALS = {
  name: 'find-credentials',
  text: `
    SELECT settings.password_authentication,
      (SELECT jsonb_build_object('id', job.id, 'projectId', project.id, 'projectPath', project.path_key,
          'running', job.running, 'expiresAt', job.expires_at, 'ciEnabled', project.ci_enabled,
          'deletionScheduled', project.deletion_scheduled,
          'user', (SELECT account.account FROM accounts AS account WHERE account.id = job.user_id))
        FROM job_tokens AS job JOIN projects AS project ON project.id = job.project_id
        WHERE $2 = 'job' AND job.token_digest = $1) AS job,
      (SELECT jsonb_build_object('id', token.id, 'name', token.name, 'scopes', token.scopes,
          'expiresOn', token.expires_at, 'revoked', token.revoked, 'owner', account.account)
        FROM access_tokens AS token JOIN accounts AS account ON account.id = token.user_id
        WHERE $2 <> 'job' AND token.token_digest = $1) AS access_token,
      (SELECT jsonb_build_object('id', token.id, 'username', token.username, 'scopes', token.scopes,
          'expiresAt', token.expires_at, 'revoked', token.revoked)
        FROM deploy_tokens AS token
        WHERE $2 <> 'job' AND token.token_digest = $1) AS deploy_token,
      (SELECT account.account
        FROM accounts AS account
        WHERE $2 = 'token_or_password' AND (account.username_key = $3 OR account.email_key = $3)
        LIMIT 1) AS account
    FROM settings`,
};

type Json<T> = Omit<T, 'expiresAt'> & { readonly expiresAt: string | null };

interface CredentialRow {
  readonly password_authentication: boolean;
  readonly job: Json<JobRecord> | null;
  readonly access_token: AccessTokenRecord | null;
  readonly deploy_token: Json<DeployTokenRecord> | null;
  readonly account: Account | null;
  readonly [column: string]: unknown;
}

export async function findCredentials(
  sql: Sql,
  { digest, kind, loginKey }: CredentialQuestion,
): Promise<CredentialAnswer> {
  const [row] = await sql.query<CredentialRow>(FIND_CREDENTIALS, [digest, kind, loginKey]);
  if (row === undefined) throw new Error('the settings row is missing: the database was not migrated');
  return {
    passwordAuthentication: row.password_authentication,
    job: row.job && withDate(row.job),
    accessToken: row.access_token,
    deployToken: row.deploy_token && withDate(row.deploy_token),
    account: row.account,
  };
}

function withDate<T extends { readonly expiresAt: string | null }>(
  record: T,
): Omit<T, 'expiresAt'> & { expiresAt: Date | null } {
  return { ...record, expiresAt: record.expiresAt === null ? null : new Date(record.expiresAt) };
}
