import type { Account } from '../../authn/account.ts';
import type { Role } from '../../policy/role.ts';
import type { Database, Row, Sql } from '../database/drivers.ts';
import { changeDirectory } from './directory.ts';
import type { TokenKey } from './token-id.ts';

/**
 * Access tokens and deploy tokens for administrators: list, find and revoke them, record their last
 * use.
 */

export type TokenKind = 'personal' | 'project' | 'group' | 'deploy';

/** A token without its secret and digest. */
export interface ListedToken {
  readonly key: TokenKey;
  readonly kind: TokenKind;
  readonly name: string | null;
  /**
   * The subject of registry tokens issued for it: a user, a bot, or the user name of a deploy
   * token.
   */
  readonly username: string;
  /** Paths of the project of a project token, or of the projects of a deploy token. */
  readonly projects: readonly string[];
  readonly group: string | null;
  /** The role of the bot of a project or group token. */
  readonly role: Role | null;
  readonly scopes: readonly string[];
  /**
   * Access token: the first day, `yyyy-mm-dd` in UTC, on which it is expired. Deploy token: ISO
   * 8601. Null: never.
   */
  readonly expiresAt: string | null;
  readonly revoked: boolean;
  readonly minted: boolean;
  /** Such as `glpat-`; null for a secret without prefix, or of which only the digest is known. */
  readonly prefix: string | null;
  /** Such as `c:2,o:1,p:101`. */
  readonly routing: string | null;
  readonly lastUsedAt: Date | null;
  /** The federated identity whose ID token it was exchanged for; missing: none. */
  readonly identity?: string;
  /** Null: before cellpass recorded it, or GitLab may not be asked. */
  readonly createdAt: Date | null;
  /** Such as `admin token ci (3)`; null: not known. */
  readonly createdBy: string | null;
  /** Of the user, service account or bot; null for a deploy token, which has no account. */
  readonly ownerState: OwnerState | null;
}

/** `internal`: an account that GitLab made for its own use. */
export type OwnerState = Account['state'];

/** Which tokens to list. A token must match all that are given. */
export interface TokenQuestion {
  /** The name of a user. */
  readonly user?: string;
  /** A path, as in `group`. */
  readonly project?: string;
  readonly group?: string;
  readonly kind?: TokenKind;
  /** The name of a user, service account or bot. */
  readonly owner?: string;
  readonly ownerState?: OwnerState;
  readonly scope?: string;
  /** The token ends before this time, or has ended. */
  readonly expiresBefore?: Date;
  /** True: only tokens that never expire. */
  readonly neverExpires?: boolean;
  /**
   * The token was not used at this time or later. A token that was never used counts as used when
   * it was created, and as used long ago where that is not known.
   */
  readonly unusedSince?: Date;
  /** The last token of the previous page; null for the first page. */
  readonly after: TokenKey | null;
  readonly limit: number;
}

export interface TokenPage {
  readonly tokens: readonly ListedToken[];
  /** Whether there is a next page. */
  readonly hasMore: boolean;
}

/** The tokens of one table, by id, from the first one above `above`. */
type ListTable = (table: TokenKey['table'], above: number, count: number) => Promise<readonly ListedToken[]>;

/** Access tokens by id, then deploy tokens by id: at most `limit` of those after `after`. */
export async function listInTurn(
  list: ListTable,
  { after, limit }: Pick<TokenQuestion, 'after' | 'limit'>,
): Promise<readonly ListedToken[]> {
  if (after?.table === 'deploy') return list('deploy', after.number, limit);
  const access = await list('access', after?.number ?? 0, limit);
  const left = limit - access.length;
  return left === 0 ? access : [...access, ...(await list('deploy', 0, left))];
}

/** @param find lists as many tokens as it is asked for: one more tells whether there is a next page. */
export async function readPage(
  limit: number,
  find: (limit: number) => Promise<readonly ListedToken[]>,
): Promise<TokenPage> {
  const found = await find(limit + 1);
  return { tokens: found.slice(0, limit), hasMore: found.length > limit };
}

/** A token must match all that are given. */
export interface TokenFilter
  extends Pick<
    TokenQuestion,
    'kind' | 'ownerState' | 'scope' | 'expiresBefore' | 'neverExpires' | 'unusedSince'
  > {
  /** The user of a personal token. */
  readonly userId?: number;
  /** The user, service account or bot of a token of any kind. */
  readonly ownerId?: number;
  readonly projectId?: number;
  readonly groupId?: number;
}

interface TokenRow extends Row {
  readonly id: number;
  readonly kind: TokenKind;
  readonly name: string | null;
  readonly username: string;
  readonly projects: readonly string[];
  readonly group: string | null;
  readonly role: Role | null;
  readonly scopes: readonly string[];
  readonly expires_at: string | Date | null;
  readonly revoked: boolean;
  readonly minted: boolean;
  readonly token_prefix: string | null;
  readonly token_routing: string | null;
  readonly last_used_at: Date | null;
  readonly ends_at?: Date | null;
  readonly identity_name?: string | null;
  readonly created_at: Date | null;
  readonly created_by: string | null;
  readonly owner_state: OwnerState | null;
}

/** The end of a token is the expression `end`. $7 to $10: see `valuesOf`. */
const lifeFilters = (end: string): string => `
    AND ($7::timestamptz IS NULL OR ${end} < $7)
    AND ($8::timestamptz IS NULL OR coalesce(token.last_used_at, token.created_at, '-infinity') < $8)
    AND (NOT $9::boolean OR ${end} IS NULL)
    AND ($10::text IS NULL OR $10 = ANY (token.scopes))`;

const FIRST_EXPIRED_MOMENT = `coalesce(token.ends_at, token.expires_at::timestamp AT TIME ZONE 'UTC')`;

/**
 * $1 is the id before the first token, $2 to $4 are the user, project and group, $5 the kind, $6
 * the limit, $11 the owner, $12 the state of the owner.
 */
const LIST_ACCESS_TOKENS = `
  SELECT token.id, token.kind, token.name, owner.username,
    CASE WHEN token.project_id IS NULL THEN '[]'::jsonb ELSE jsonb_build_array(project.path) END AS projects,
    namespace.path AS group, member.role, to_jsonb(token.scopes) AS scopes, token.expires_at, token.revoked, token.minted,
    token.token_prefix, token.token_routing, token.last_used_at, token.ends_at, token.identity_name,
    token.created_at, token.created_by, owner.state AS owner_state
  FROM access_tokens AS token
  JOIN users AS owner ON owner.id = token.user_id
  LEFT JOIN projects AS project ON project.id = token.project_id
  LEFT JOIN namespaces AS namespace ON namespace.id = token.group_id
  LEFT JOIN members AS member ON token.kind <> 'personal' AND member.user_id = token.user_id
    AND member.source_type = CASE token.kind WHEN 'project' THEN 'Project' ELSE 'Namespace' END
    AND member.source_id = coalesce(token.project_id, token.group_id)
  WHERE token.id > $1
    AND ($2::bigint IS NULL OR (token.user_id = $2 AND token.kind = 'personal'))
    AND ($3::bigint IS NULL OR token.project_id = $3)
    AND ($4::bigint IS NULL OR token.group_id = $4)
    AND ($5::text IS NULL OR token.kind = $5)${lifeFilters(FIRST_EXPIRED_MOMENT)}
    AND ($11::bigint IS NULL OR token.user_id = $11)
    AND ($12::text IS NULL OR owner.state = $12)
  ORDER BY token.id LIMIT $6`;

/** The same parameters. Deploy tokens have no user, so a filter by a user finds none. */
const LIST_DEPLOY_TOKENS = `
  SELECT token.id, 'deploy' AS kind, token.name, token.username,
    (SELECT coalesce(jsonb_agg(project.path ORDER BY project.path_key), '[]'::jsonb)
      FROM project_deploy_tokens AS link JOIN projects AS project ON project.id = link.project_id
      WHERE link.deploy_token_id = token.id) AS projects,
    namespace.path AS group, NULL AS role, to_jsonb(token.scopes) AS scopes, token.expires_at, token.revoked, token.minted,
    token.token_prefix, token.token_routing, token.last_used_at,
    token.created_at, token.created_by, NULL AS owner_state
  FROM deploy_tokens AS token
  LEFT JOIN namespaces AS namespace ON namespace.id = token.group_id
  WHERE token.id > $1 AND $2::bigint IS NULL AND $11::bigint IS NULL AND $12::text IS NULL
    AND ($3::bigint IS NULL
      OR token.id IN (SELECT deploy_token_id FROM project_deploy_tokens WHERE project_id = $3))
    AND ($4::bigint IS NULL OR token.group_id = $4)
    AND ($5::text IS NULL OR $5 = 'deploy')${lifeFilters('token.expires_at')}
  ORDER BY token.id LIMIT $6`;

/** Access tokens by id, then deploy tokens by id: at most `limit` of those after `after`. */
export async function listTokens(
  sql: Sql,
  filter: TokenFilter,
  page: Pick<TokenQuestion, 'after' | 'limit'>,
): Promise<readonly ListedToken[]> {
  const list = async (table: TokenKey['table'], above: number, count: number) => {
    const statement = table === 'access' ? LIST_ACCESS_TOKENS : LIST_DEPLOY_TOKENS;
    const rows = await sql.query<TokenRow>(statement, valuesOf(filter, above, count));
    return rows.map((row) => toListed(table, row));
  };
  return listInTurn(list, page);
}

/** In the order of the parameters of `LIST_ACCESS_TOKENS`. */
function valuesOf(filter: TokenFilter, above: number, count: number): readonly unknown[] {
  const { userId, projectId, groupId, kind, ownerId, ownerState } = filter;
  const { expiresBefore, unusedSince, neverExpires = false, scope } = filter;
  const owners = [userId, projectId, groupId, kind].map((value) => value ?? null);
  const life = [expiresBefore ?? null, unusedSince ?? null, neverExpires, scope ?? null];
  return [above, ...owners, count, ...life, ownerId ?? null, ownerState ?? null];
}

export async function findToken(sql: Sql, { table, number }: TokenKey): Promise<ListedToken | undefined> {
  const [next] = await listTokens(sql, {}, { after: { table, number: number - 1 }, limit: 1 });
  return next?.key.table === table && next.key.number === number ? next : undefined;
}

function toListed(table: TokenKey['table'], row: TokenRow): ListedToken {
  const { id, expires_at, token_prefix, token_routing, last_used_at, ends_at, identity_name, ...rest } = row;
  const { created_at, created_by, owner_state, ...same } = rest;
  const end = ends_at ?? expires_at;
  return {
    ...same,
    createdAt: created_at,
    createdBy: created_by,
    ownerState: owner_state,
    key: { table, number: id },
    expiresAt: end instanceof Date ? end.toISOString() : end,
    prefix: token_prefix,
    routing: token_routing,
    lastUsedAt: last_used_at,
    ...(identity_name && { identity: identity_name }),
  };
}

/**
 * Revokes a token permanently: no document can make its secret valid again. Revoking it again
 * changes the time alone, so that no undo of what revoked it before makes it valid. Undefined when
 * there is no such token.
 */
export async function revokeToken(sql: Sql, key: TokenKey, now: Date): Promise<RevokedToken | undefined> {
  const table = key.table === 'access' ? 'access_tokens' : 'deploy_tokens';
  const [revoked] = await sql.query<{ token_digest: Uint8Array }>(
    `WITH revoked AS (UPDATE ${table} SET revoked = true WHERE id = $1 RETURNING token_digest),
     remembered AS (
       INSERT INTO revoked_secrets (token_digest, revoked_at) SELECT token_digest, $2::timestamptz FROM revoked
       ON CONFLICT (token_digest) DO UPDATE SET revoked_at = excluded.revoked_at)
     SELECT token_digest FROM revoked`,
    [key.number, now],
  );
  const token = await findToken(sql, key);
  return token && revoked && { ...token, digest: revoked.token_digest };
}

/** With the SHA-256 of its secret. */
export interface RevokedToken extends ListedToken {
  readonly digest: Uint8Array;
}

/**
 * Revokes the tokens with these secrets, and refuses the secrets for good also where no token has
 * them: a document may bring them later.
 * @param digests SHA-256 of each secret, in hex.
 * @returns how many tokens were valid until now.
 */
export function revokeSecrets(database: Database, digests: readonly string[], now: Date): Promise<number> {
  return changeDirectory(database, async (sql) => {
    const [row] = await sql.query<{ ended: number }>(
      `WITH secrets AS (SELECT decode(hex, 'hex') AS digest FROM unnest($1::text[]) AS hex),
       access AS (UPDATE access_tokens SET revoked = true
         WHERE token_digest IN (SELECT digest FROM secrets) AND NOT revoked RETURNING id),
       deploy AS (UPDATE deploy_tokens SET revoked = true
         WHERE token_digest IN (SELECT digest FROM secrets) AND NOT revoked RETURNING id),
       remembered AS (
         INSERT INTO revoked_secrets (token_digest, revoked_at) SELECT DISTINCT digest, $2::timestamptz FROM secrets
         ON CONFLICT (token_digest) DO UPDATE SET revoked_at = excluded.revoked_at)
       SELECT (SELECT count(*) FROM access) + (SELECT count(*) FROM deploy) AS ended`,
      [[...digests], now],
    );
    return row?.ended ?? 0;
  });
}

export interface TokenUse {
  /** The client's address; cellpass's own tables have no place for it. */
  readonly address?: string;
  readonly key: TokenKey;
  readonly at: Date;
}

/**
 * Stores when tokens were used, if the stored time is older by `granularityMs`, so that replicas
 * don't repeat each other's writes. Skips locked rows instead of waiting, which also rules out
 * deadlocks: the next use of the token is stored instead.
 */
export async function saveTokenUses(
  sql: Sql,
  uses: readonly TokenUse[],
  granularityMs: number,
): Promise<void> {
  for (const table of ['access', 'deploy'] as const) {
    const rows = uses
      .filter(({ key }) => key.table === table)
      .map(({ key, at }) => ({ id: key.number, used_at: at.toISOString() }));
    if (rows.length > 0) await sql.query(SAVE_USES[table], [JSON.stringify(rows), granularityMs]);
  }
}

const SAVE_USES: Record<TokenKey['table'], string> = {
  access: saveUses('access_tokens'),
  deploy: saveUses('deploy_tokens'),
};

function saveUses(table: 'access_tokens' | 'deploy_tokens'): string {
  return `
    UPDATE ${table} AS token SET last_used_at = fresh.used_at
    FROM (
      SELECT stored.id, used.used_at
      FROM jsonb_to_recordset($1::jsonb) AS used (id bigint, used_at timestamptz)
      JOIN ${table} AS stored ON stored.id = used.id
      WHERE stored.last_used_at IS NULL OR stored.last_used_at <= used.used_at - $2 * interval '1 millisecond'
      ORDER BY stored.id
      FOR UPDATE OF stored SKIP LOCKED
    ) AS fresh
    WHERE token.id = fresh.id`;
}
