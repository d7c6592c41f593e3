import type { Sql } from '../../database/drivers.ts';
import { WRITES } from './columns.ts';
import type { Shape } from './shape.ts';

/** What `gitlab check` looks at beside what answers need. Never a secret, and no name of a user. */

/** How this server of PostgreSQL stands to others. */
export interface Replication {
  readonly isStandby: boolean;
  /** How far it is behind; 0 for a primary, null where a standby can't tell. */
  readonly lagSeconds: number | null;
}

/** One round trip. */
export async function readReplication(sql: Sql): Promise<Replication> {
  const [row] = await sql.query<{ is_standby: boolean; lag: number | null }>(`
    SELECT pg_is_in_recovery() AS is_standby, CASE
      WHEN NOT pg_is_in_recovery() OR pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
      ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END::float8 AS lag`);
  return { isStandby: row?.is_standby === true, lagSeconds: row?.lag ?? null };
}

/** What of this GitLab cellpass does not judge, or judges by something that may be missing. */
export interface Unjudged {
  readonly externalAuthorization: boolean;
  /** Minutes; null: GitLab has no such setting. */
  readonly tokenMinutes: number | null;
  readonly hasLdapUsers: boolean;
  readonly hasGranularTokens: boolean;
  readonly hasCompositeIdentities: boolean;
  /** How hashes of passwords begin that cellpass can't check. */
  readonly unknownPasswordSchemes: readonly string[];
}

/** One round trip. */
export async function readUnjudged(sql: Sql, shape: Shape): Promise<Unjudged> {
  const exists = (isKnown: boolean, query: string): string => (isKnown ? `EXISTS (${query})` : 'false');
  const setting = (column: string): string =>
    shape.has('application_settings', column)
      ? `(SELECT ${column} FROM application_settings ORDER BY id DESC LIMIT 1)`
      : 'NULL';
  const schemes = shape.has('users', 'encrypted_password')
    ? `(SELECT json_agg(DISTINCT scheme) FROM (
        SELECT split_part(encrypted_password, '$', 2) AS scheme FROM users
        WHERE encrypted_password <> '' ORDER BY id DESC LIMIT 1000) AS newest
        WHERE scheme NOT IN ('2a', '2b', '2y', 'pbkdf2-sha512'))`
    : 'NULL';
  const [row] = await sql.query<{
    external: boolean | null;
    minutes: number | null;
    ldap: boolean;
    granular: boolean;
    composite: boolean;
    schemes: readonly string[] | null;
  }>(`
    SELECT ${setting('external_authorization_service_enabled')} AS external,
      ${setting('container_registry_token_expire_delay')}::integer AS minutes,
      ${exists(shape.hasTable('identities'), "SELECT FROM identities WHERE provider LIKE 'ldap%'")} AS ldap,
      ${exists(shape.has('personal_access_tokens', 'granular'), 'SELECT FROM personal_access_tokens WHERE granular AND revoked IS NOT TRUE')} AS granular,
      ${exists(shape.has('users', 'composite_identity_enforced'), 'SELECT FROM users WHERE composite_identity_enforced')} AS composite,
      ${schemes} AS schemes`);
  return {
    externalAuthorization: row?.external === true,
    tokenMinutes: row?.minutes ?? null,
    hasLdapUsers: row?.ldap === true,
    hasGranularTokens: row?.granular === true,
    hasCompositeIdentities: row?.composite === true,
    unknownPasswordSchemes: (row?.schemes ?? []).map((scheme) =>
      /^[\w-]{1,20}$/.test(scheme) ? scheme : '(no scheme)',
    ),
  };
}

const READ_WRITE_RIGHTS = `
  SELECT right_name.name, CASE
    WHEN to_regclass('public.' || right_name.target) IS NULL THEN NULL
    WHEN right_name.kind = 'SEQUENCE' THEN has_sequence_privilege(to_regclass('public.' || right_name.target), 'USAGE')
    WHEN right_name.kind = 'DELETE' THEN has_table_privilege(to_regclass('public.' || right_name.target), 'DELETE')
    ELSE has_column_privilege(to_regclass('public.' || right_name.target), right_name.column_name, right_name.kind) END AS has_it
  FROM json_to_recordset($1::json) AS right_name (name text, kind text, target text, column_name text)`;

/** Rights that the role for writing lacks, such as `INSERT (name) ON container_repositories`. */
export async function missingWriteRights(sql: Sql): Promise<readonly string[]> {
  const wanted = Object.entries(WRITES).flatMap(([table, rights]) => [
    ...(['select', 'insert', 'update'] as const).flatMap((kind) =>
      (rights[kind] ?? []).map((column) => ({
        name: `${kind.toUpperCase()} (${column}) ON ${table}`,
        kind: kind.toUpperCase(),
        target: table,
        column_name: column,
      })),
    ),
    ...(rights.delete === true
      ? [{ name: `DELETE ON ${table}`, kind: 'DELETE', target: table, column_name: '' }]
      : []),
    ...(rights.sequence === undefined
      ? []
      : [
          { name: `USAGE ON ${rights.sequence}`, kind: 'SEQUENCE', target: rights.sequence, column_name: '' },
        ]),
  ]);
  const rows = await sql.query<{ name: string; has_it: boolean | null }>(READ_WRITE_RIGHTS, [
    JSON.stringify(wanted),
  ]);
  return rows.filter(({ has_it }) => has_it === false).map(({ name }) => name);
}

/** GitLab's levels of visibility and of features. */
const PUBLIC = 20;
const ENABLED = 20;

/** Paths of a few projects from which everybody may pull, if their groups are not archived. */
export async function readPublicProjects(sql: Sql): Promise<readonly string[]> {
  const rows = await sql.query<{ path: string }>(
    `SELECT lower(route.path) AS path FROM projects AS p
     JOIN project_features AS feature ON feature.project_id = p.id AND feature.container_registry_access_level >= $1
     JOIN routes AS route ON route.source_type = 'Project' AND route.source_id = p.id
     WHERE p.visibility_level = $2 AND NOT p.archived ORDER BY p.id LIMIT 20`,
    [ENABLED, PUBLIC],
  );
  return rows.map(({ path }) => path);
}
