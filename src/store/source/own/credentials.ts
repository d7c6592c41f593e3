import type {
  AccessTokenRecord,
  Account,
  CredentialRecords,
  DeployTokenRecord,
  JobRecord,
} from '../../../authn/account.ts';
import type { IdTokenQuestion, SubjectQuestion } from '../../../authn/source.ts';
import type { Sql, Statement } from '../../database/drivers.ts';
import { type IdentityRecordsColumn, identityRecords } from '../../federation/identities.ts';

/** Nothing was shown, so nothing was looked up. */
export const NO_CREDENTIALS: CredentialRecords = {
  passwordAuthentication: false,
  job: null,
  accessToken: null,
  deployToken: null,
  account: null,
};

/** `$2`: the secret's SHA-256. */
export const JOB = `
  LEFT JOIN (SELECT id, user_id, project_id, record FROM job_token_records WHERE token_digest = $2 OFFSET 0) AS job ON true`;

/**
 * For an unknown secret it reads the record of some other access token, which the reader drops
 * (`known` is false), so that the time of an answer does not tell an expired or revoked token from
 * an unknown one.
 * @param condition skips the look-up where it is false.
 */
export const accessToken = (condition: string): string => `
  LEFT JOIN LATERAL (
    SELECT user_id, token_digest = $2 AS known, record FROM access_token_records
    WHERE id = coalesce((SELECT id FROM access_tokens WHERE token_digest = $2), (SELECT id FROM access_tokens ORDER BY id LIMIT 1))
      AND ${condition}
    OFFSET 0
  ) AS access_token ON true`;

export const deployToken = (condition: string): string => `
  LEFT JOIN LATERAL (
    SELECT id, record FROM deploy_token_records WHERE token_digest = $2 AND ${condition} OFFSET 0
  ) AS deploy_token ON true`;

/** `$3`: user name or e-mail in lower case. */
export const ACCOUNT = `
  LEFT JOIN (SELECT id, account FROM accounts WHERE username_key = $3 OR email_key = $3 LIMIT 1) AS account ON true`;

/** By name or id, for an admin, who does not have the secret. */
const FIND_SUBJECT = {
  name: 'find-subject',
  text: `
    SELECT settings.password_authentication,
      (SELECT record FROM job_token_records WHERE $1 = 'job' AND id = $2) AS job,
      true AS known,
      (SELECT record FROM access_token_records WHERE $1 = 'token' AND id = $2) AS access_token,
      (SELECT record FROM deploy_token_records WHERE ($1 = 'deploy_token' AND username = $3) OR ($1 = 'deploy_token_id' AND id = $2) ORDER BY id LIMIT 1) AS deploy_token,
      (SELECT account FROM accounts WHERE $1 = 'user' AND username_key = $3) AS account,
      ${identityRecords(`$1 = 'identity' AND identity.name = $3`)} AS identities
    FROM settings`,
};

type Json<T> = Omit<T, 'expiresAt'> & { readonly expiresAt: string | null };

/** A column is missing where the statement did not ask for it. */
export interface CredentialRow {
  readonly password_authentication: boolean;
  readonly job?: Json<JobRecord> | null;
  /** False: `access_token` is not the token that was asked for. */
  readonly known?: boolean | null;
  readonly access_token?: AccessTokenRecord | null;
  readonly deploy_token?: Json<DeployTokenRecord> | null;
  readonly account?: Account | null;
  readonly identities?: IdentityRecordsColumn;
  readonly [column: string]: unknown;
}

/** One round trip. */
export async function findSubject(sql: Sql, question: SubjectQuestion): Promise<CredentialRecords> {
  const id = 'id' in question ? question.id : null;
  const name = 'name' in question ? question.name : null;
  const [row] = await sql.query<CredentialRow>(FIND_SUBJECT, [question.kind, id, name]);
  const records = toCredentialRecords(row);
  if (question.kind !== 'identity') return records;
  return { ...records, idToken: { identities: row?.identities ?? [], revoked: false } };
}

/** `$1` the issuer, `$2` look-up keys, `$3` the key of the ID token, or null. */
const FIND_IDENTITIES: Statement = {
  name: 'find-identities',
  isHot: true,
  text: `
    SELECT settings.password_authentication,
      ${identityRecords('identity.issuer = $1 AND identity.lookup_keys && $2::text[]')} AS identities,
      EXISTS (SELECT FROM revoked_id_tokens WHERE token_key = $3) AS id_token_revoked
    FROM settings`,
};

/** All identities that an ID token may prove. One round trip. */
export async function findIdentities(
  sql: Sql,
  { issuer, lookupKeys, tokenKey }: IdTokenQuestion,
): Promise<CredentialRecords> {
  const [row] = await sql.query<CredentialRow & { readonly id_token_revoked: boolean }>(FIND_IDENTITIES, [
    issuer,
    [...lookupKeys],
    tokenKey,
  ]);
  const records = toCredentialRecords(row);
  const revoked = row?.id_token_revoked ?? true;
  return { ...records, idToken: { identities: row?.identities ?? [], revoked } };
}

export function toCredentialRecords(row: CredentialRow | undefined): CredentialRecords {
  if (row === undefined) throw new Error('the settings row is missing: the database was not migrated');
  return {
    passwordAuthentication: row.password_authentication,
    job: row.job ? withDate(row.job) : null,
    accessToken: row.known === true ? (row.access_token ?? null) : null,
    deployToken: toDeployToken(row),
    account: row.account ?? null,
  };
}

export function toDeployToken({
  deploy_token,
}: Pick<CredentialRow, 'deploy_token'>): DeployTokenRecord | null {
  return deploy_token ? withDate(deploy_token) : null;
}

function withDate<T extends { readonly expiresAt: string | null }>(
  record: T,
): Omit<T, 'expiresAt'> & { expiresAt: Date | null } {
  return { ...record, expiresAt: record.expiresAt === null ? null : new Date(record.expiresAt) };
}
