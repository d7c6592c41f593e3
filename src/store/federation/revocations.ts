import { idTokenKey } from '../../authn/federation/id-token.ts';
import { TOLERANCE_MS } from '../../keys/clock-check.ts';
import type { Database, Row, Sql } from '../database/drivers.ts';

/**
 * The deny lists: identities by name, and single ID tokens. They are in cellpass's own database,
 * also where GitLab's is the directory, and no directory document changes them.
 */

/** One ID token, as its issuer names it. */
export interface IdTokenName {
  /** The name of the issuer in the settings. */
  readonly issuer: string;
  readonly jti: string;
}

/**
 * Refuses all ID tokens of an identity of the directory's own tables from now on, and the access
 * tokens that they were exchanged for. Revoking it again changes nothing.
 * @returns how many access tokens ended with it; null: there is no such identity.
 */
export function revokeIdentity(
  database: Pick<Database, 'transaction'>,
  name: string,
  now: Date,
): Promise<number | null> {
  return database.transaction(async (sql) => {
    // An exchange holds the row until its token is stored: it is either seen here, or sees this.
    const [identity] = await sql.query<Row & { readonly id: number }>(
      'SELECT id FROM federated_identities WHERE name = $1 FOR UPDATE',
      [name],
    );
    if (identity === undefined) return null;
    await recordRevocation(sql, { name, identityId: identity.id, now });
    return revokeExchanged(sql, 'identity_id = $1', [identity.id], now);
  });
}

/** Refuses all ID tokens of an identity of the settings from now on. */
export function revokeConfiguredIdentity(sql: Sql, name: string, now: Date): Promise<void> {
  return recordRevocation(sql, { name, identityId: null, now });
}

interface IdentityRevocation {
  readonly name: string;
  /** By which a revocation follows an identity that is renamed; null: it is in the settings. */
  readonly identityId: number | null;
  readonly now: Date;
}

async function recordRevocation(sql: Sql, { name, identityId, now }: IdentityRevocation): Promise<void> {
  await sql.query(
    'INSERT INTO revoked_identities (name, identity_id, revoked_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
    [name, identityId, now],
  );
}

/**
 * Accepts the ID tokens of an identity again. Access tokens that were revoked with it stay so.
 * @returns false when it was not revoked.
 */
export async function restoreIdentity(sql: Sql, name: string): Promise<boolean> {
  const rows = await sql.query('DELETE FROM revoked_identities WHERE name = $1 RETURNING name', [name]);
  return rows.length > 0;
}

/**
 * Refuses one ID token from now on, and the access token that it was exchanged for.
 * @param keptUntil when the record may go, because the ID token has ended by itself.
 * @returns how many access tokens ended with it.
 */
export function revokeIdToken(
  database: Pick<Database, 'transaction'>,
  { issuer, jti }: IdTokenName,
  { now, keptUntil }: { readonly now: Date; readonly keptUntil: Date },
): Promise<number> {
  const key = idTokenKey(issuer, jti);
  return database.transaction(async (sql) => {
    await sql.query(
      `INSERT INTO revoked_id_tokens (token_key, issuer, jti, revoked_at, kept_until) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (token_key) DO UPDATE SET kept_until = greatest(revoked_id_tokens.kept_until, excluded.kept_until)`,
      [key, issuer, jti, now, keptUntil],
    );
    // As used up, so that an exchange that runs now ends before this, or fails.
    await markExchanged(sql, key, keptUntil);
    return revokeExchanged(sql, 'identity_issuer = $1 AND identity_jti = $2', [issuer, jti], now);
  });
}

/**
 * Marks an ID token as exchanged. False: it was before.
 * @param key of `idTokenKey`.
 */
export async function markExchanged(sql: Sql, key: string, keptUntil: Date): Promise<boolean> {
  const rows = await sql.query(
    'INSERT INTO exchanged_id_tokens (token_key, kept_until) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING token_key',
    [key, keptUntil],
  );
  return rows.length > 0;
}

/** @param condition on columns of `access_tokens`, with parameters from $1. */
async function revokeExchanged(
  sql: Sql,
  condition: string,
  parameters: readonly (string | number)[],
  now: Date,
): Promise<number> {
  const rows = await sql.query(
    `WITH ended AS (
       UPDATE access_tokens SET revoked = true
       WHERE identity_id IS NOT NULL AND NOT revoked AND ${condition} RETURNING token_digest),
     remembered AS (
       INSERT INTO revoked_secrets (token_digest, revoked_at)
       SELECT token_digest, $${parameters.length + 1}::timestamptz FROM ended ON CONFLICT DO NOTHING)
     SELECT FROM ended`,
    [...parameters, now],
  );
  return rows.length;
}

export interface Revocations {
  /** Names of identities, among those that were asked for. */
  readonly identities: ReadonlySet<string>;
  readonly idToken: boolean;
}

const READ = {
  name: 'read-federation-revocations',
  text: `
    SELECT coalesce((SELECT json_agg(name) FROM revoked_identities WHERE name = ANY ($1::text[])), '[]'::json) AS identities,
      EXISTS (SELECT FROM revoked_id_tokens WHERE token_key = $2) AS id_token`,
};

interface RevocationsRow extends Row {
  readonly identities: readonly string[];
  readonly id_token: boolean;
}

/** @param tokenKey of `idTokenKey`; null: the token has none, and can't be revoked by itself. */
export async function readRevocations(
  sql: Sql,
  names: readonly string[],
  tokenKey: string | null,
): Promise<Revocations> {
  const [row] = await sql.query<RevocationsRow>(READ, [[...names], tokenKey]);
  return { identities: new Set(row?.identities ?? []), idToken: row?.id_token ?? true };
}

/**
 * How long a record is kept after its end. The replica that wrote it, the one that deletes it and the
 * one that verifies the ID token may each have a clock that is 30 s wrong, and so may the issuer:
 * where the clock is slow, the ID token must not be taken again because its record is gone.
 */
const SPARE_MS = 4 * TOLERANCE_MS;

/**
 * Deletes what no ID token needs any more, and exchanged access tokens, two minutes after their end.
 * Resolves with the number of rows.
 */
export function forgetFederation(database: Pick<Database, 'transaction'>, now: Date): Promise<number> {
  const endedBefore = new Date(now.getTime() - SPARE_MS);
  return database.transaction(async (sql) => {
    let deleted = 0;
    for (const rows of [
      'revoked_id_tokens WHERE kept_until',
      'exchanged_id_tokens WHERE kept_until',
      'access_tokens WHERE ends_at',
    ]) {
      const gone = await sql.query(`DELETE FROM ${rows} <= $1 RETURNING true`, [endedBefore]);
      deleted += gone.length;
    }
    return deleted;
  });
}
