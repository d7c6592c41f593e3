import type { IdentityRecord } from '../../authn/account.ts';
import type { ClaimPins } from '../../config/federated-claims.ts';
import type { Row, Sql } from '../database/drivers.ts';

/** Lists the identities of the directory's own tables, for administrators. */

export interface ListedIdentity {
  readonly name: string;
  readonly issuer: string;
  /** The user name of the service account, or of the bot. */
  readonly account: string;
  /** The project or group of a bot, by path. */
  readonly project: string | null;
  readonly group: string | null;
  readonly scopes: readonly string[];
  readonly claims: ClaimPins;
  readonly expiresOn: string | null;
  readonly revokedAt: Date | null;
}

interface ListedRow extends Row {
  readonly name: string;
  readonly issuer: string;
  readonly account: string;
  readonly project: string | null;
  readonly group: string | null;
  readonly scopes: readonly string[];
  readonly claims: ClaimPins;
  readonly expires_at: string | null;
  readonly revoked_at: Date | null;
}

const LIST = `
  SELECT identity.name, identity.issuer, users.username AS account, projects.path AS project, namespaces.path AS group,
    to_jsonb(identity.scopes) AS scopes, identity.claims, identity.expires_at,
    (SELECT min(revoked_at) FROM revoked_identities AS revoked WHERE revoked.name = identity.name) AS revoked_at
  FROM federated_identities AS identity
  JOIN users ON users.id = identity.user_id
  LEFT JOIN projects ON projects.id = identity.project_id
  LEFT JOIN namespaces ON namespaces.id = identity.group_id
  WHERE identity.name > $1 ORDER BY identity.name LIMIT $2`;

/** In the order of their names, those after `after`. */
export async function listIdentities(
  sql: Sql,
  after: string,
  limit: number,
): Promise<readonly ListedIdentity[]> {
  const rows = await sql.query<ListedRow>(LIST, [after, limit]);
  return rows.map(({ expires_at, revoked_at, ...same }) => ({
    ...same,
    expiresOn: expires_at,
    revokedAt: revoked_at,
  }));
}

/** The claims that each identity of an issuer pins, by name. */
export async function claimsOfIssuer(sql: Sql, issuer: string): Promise<ReadonlyMap<string, ClaimPins>> {
  const rows = await sql.query<Row & { readonly name: string; readonly claims: ClaimPins }>(
    'SELECT name, claims FROM federated_identities WHERE issuer = $1 ORDER BY name LIMIT 10000',
    [issuer],
  );
  return new Map(rows.map(({ name, claims }) => [name, claims]));
}

/** When each of these identities was revoked; one that was not is missing. */
export async function revokedSince(sql: Sql, names: readonly string[]): Promise<ReadonlyMap<string, Date>> {
  const rows = await sql.query<Row & { readonly name: string; readonly revoked_at: Date }>(
    'SELECT name, min(revoked_at) AS revoked_at FROM revoked_identities WHERE name = ANY ($1::text[]) GROUP BY name',
    [[...names]],
  );
  return new Map(rows.map(({ name, revoked_at }) => [name, revoked_at]));
}

/** A column of records as JSON, of rows that a condition on `identity` selects. */
export function identityRecords(condition: string): string {
  return `(SELECT json_agg(json_build_object('id', identity.id, 'name', identity.name, 'issuer', identity.issuer, 'scopes', identity.scopes,
      'claims', identity.claims, 'expiresOn', identity.expires_at,
      'revoked', EXISTS (SELECT FROM revoked_identities WHERE name = identity.name), 'account', account.account))
    FROM federated_identities AS identity JOIN accounts AS account ON account.id = identity.user_id
    WHERE ${condition})`;
}

export type IdentityRecordsColumn = readonly IdentityRecord[] | null;
