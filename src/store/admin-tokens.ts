import type { AdminRole } from '../authn/admin-role.ts';
import type { Database, Sql, Statement } from './database/drivers.ts';

/** An admin token without its secret, of which only the digest is stored. */
export interface AdminToken {
  readonly id: number;
  readonly name: string;
  readonly role: AdminRole;
  readonly createdAt: Date;
  /** The actor, as in audit events. */
  readonly createdBy: string;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
  /** Updated at most once a minute. */
  readonly lastUsedAt: Date | null;
}

export interface NewAdminToken
  extends Pick<AdminToken, 'name' | 'role' | 'createdAt' | 'createdBy' | 'expiresAt'> {
  /** SHA-256 of the secret. */
  readonly digest: Uint8Array;
}

type AdminTokenRow = {
  readonly id: number;
  readonly name: string;
  readonly role: AdminRole;
  readonly created_at: Date;
  readonly created_by: string;
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
  readonly last_used_at: Date | null;
};

const COLUMNS = 'id, name, role, created_at, created_by, expires_at, revoked_at, last_used_at';

const INSERT = `
INSERT INTO admin_tokens (name, token_sha256, created_at, created_by, expires_at, role) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING ${COLUMNS}`;

const LIST = `SELECT ${COLUMNS} FROM admin_tokens ORDER BY id`;

const REVOKE = `UPDATE admin_tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING ${COLUMNS}, token_sha256`;

const FIND = `SELECT ${COLUMNS}, token_sha256 FROM admin_tokens WHERE id = $1`;

const FIND_SECRET = `SELECT ${COLUMNS} FROM admin_tokens WHERE token_sha256 = $1`;

/** One round trip. Writes `last_used_at` at most once a minute. */
const RECOGNISE: Statement = {
  name: 'recognise_admin_token',
  text: `
WITH found AS (
  SELECT id, name, role, last_used_at FROM admin_tokens
  WHERE token_sha256 = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
), used AS (
  UPDATE admin_tokens SET last_used_at = $2
  WHERE id IN (SELECT id FROM found WHERE last_used_at IS NULL OR last_used_at < $2::timestamptz - interval '1 minute')
)
SELECT id, name, role FROM found`,
};

const INSERT_EVENT = `
INSERT INTO audit_events (happened_at, actor, area, action, subject) VALUES ($1, $2, 'admin_tokens', $3, $4)`;

/** Finds a token by its digest. Undefined if it is unknown, revoked, or expired at `now`. */
export async function recogniseAdminToken(
  sql: Sql,
  digest: Uint8Array,
  now: Date,
): Promise<Pick<AdminToken, 'id' | 'name' | 'role'> | undefined> {
  const [row] = await sql.query<{ id: number; name: string; role: AdminRole }>(RECOGNISE, [digest, now]);
  return row;
}

/**
 * Finds a token by its digest, also a revoked or expired one, for an admin who asks whose secret it
 * is: this is no use of the token.
 */
export async function findAdminSecret(
  sql: Pick<Sql, 'query'>,
  digest: Uint8Array,
): Promise<AdminToken | undefined> {
  const rows = await sql.query<AdminTokenRow>(FIND_SECRET, [digest]);
  return rows.map(toAdminToken)[0];
}

export async function createAdminToken(database: Database, token: NewAdminToken): Promise<AdminToken> {
  const { name, role, digest, createdAt, createdBy, expiresAt } = token;
  return database.transaction(async (sql) => {
    const rows = await sql.query<AdminTokenRow>(INSERT, [
      name,
      digest,
      createdAt,
      createdBy,
      expiresAt,
      role,
    ]);
    const [created] = rows.map(toAdminToken);
    if (created === undefined) throw new Error('the new admin token was not returned');
    await sql.query(INSERT_EVENT, [createdAt, createdBy, 'create', subjectOf(created)]);
    return created;
  });
}

/** Oldest first, with revoked and expired tokens. */
export async function listAdminTokens(sql: Sql): Promise<readonly AdminToken[]> {
  return (await sql.query<AdminTokenRow>(LIST)).map(toAdminToken);
}

/**
 * Revokes a token permanently. Revoking it again changes nothing. Undefined when there is no such
 * token.
 */
export async function revokeAdminToken(
  database: Database,
  id: number,
  { actor, now }: { readonly actor: string; readonly now: Date },
): Promise<RevokedAdminToken | undefined> {
  return database.transaction(async (sql) => {
    const [revoked] = (await sql.query<RevokedRow>(REVOKE, [id, now])).map(toRevoked);
    if (revoked !== undefined) {
      await sql.query(INSERT_EVENT, [now, actor, 'revoke', subjectOf(revoked)]);
      return revoked;
    }
    return (await sql.query<RevokedRow>(FIND, [id])).map(toRevoked)[0];
  });
}

/** With the SHA-256 of its secret. */
export interface RevokedAdminToken extends AdminToken {
  readonly digest: Uint8Array;
}

type RevokedRow = AdminTokenRow & { readonly token_sha256: Uint8Array };

function toRevoked(row: RevokedRow): RevokedAdminToken {
  return { ...toAdminToken(row), digest: row.token_sha256 };
}

/**
 * Revokes the tokens with these secrets.
 * @param digests SHA-256 of each secret, in hex.
 * @returns how many were not revoked before.
 */
export async function revokeAdminSecrets(sql: Sql, digests: readonly string[], now: Date): Promise<number> {
  const rows = await sql.query(
    `UPDATE admin_tokens SET revoked_at = $2
     WHERE encode(token_sha256, 'hex') = ANY ($1::text[]) AND revoked_at IS NULL RETURNING id`,
    [[...digests], now],
  );
  return rows.length;
}

function subjectOf({ id, name }: AdminToken): string {
  return `${name} (${id})`;
}

function toAdminToken(row: AdminTokenRow): AdminToken {
  return {
    id: row.id,
    name: row.name,
    role: row.role,
    createdAt: row.created_at,
    createdBy: row.created_by,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    lastUsedAt: row.last_used_at,
  };
}
