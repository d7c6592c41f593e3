import type { Sql, Statement } from '../../database/drivers.ts';
import type { Versions } from '../current-versions.ts';

/**
 * The units of the own tables, and where migration 0014 keeps their versions: `settings`,
 * `user:<id>`, `secret:<SHA-256 in hexadecimal>`, and `group:<path of a top-level group or personal
 * namespace>`. A secret is a unit by its digest and a group by its path, not by the ids of their
 * rows, so that an answer also rests on rows that are missing: a project that does not exist yet
 * would make a new version of the group that its path names.
 */
export interface UnitQueries {
  /** The ids of users, which may be null. */
  readonly users: string;
  /** Digests of secrets. */
  readonly secrets: string;
  /** Paths of top-level groups. */
  readonly groups: string;
}

/**
 * As a column: the text `value`. On a server that takes no changes the statement fails with 25006
 * instead, because nextval refuses there: a connection that was good stays open when its server
 * becomes read-only, or when a pooler moves it to a standby.
 */
export function ifWritable(value: string): string {
  return `CASE WHEN current_setting('transaction_read_only') = 'off' THEN ${value} ELSE nextval('unnamed_ids')::text END`;
}

const VERSION_OF_USER = `
  SELECT 'user:' || named.id, (SELECT version FROM users WHERE users.id = named.id)::text`;

/** The versions of all rows that have the digest, usually one. */
const VERSION_OF_SECRET = `
  SELECT 'secret:' || digest, concat(
    (SELECT version FROM access_tokens WHERE token_digest = decode(digest, 'hex')), ' ',
    (SELECT version FROM deploy_tokens WHERE token_digest = decode(digest, 'hex')), ' ',
    (SELECT version FROM job_tokens WHERE token_digest = decode(digest, 'hex')))`;

const VERSION_OF_GROUP = `
  SELECT 'group:' || named.path, (
    SELECT group_versions.version FROM namespaces JOIN group_versions USING (id)
    WHERE path_key = named.path)::text`;

/**
 * As a column: `Versions` as JSON, of the snapshot that the statement sees.
 * @param queries what to include beside `settings`; each is a query for one column.
 */
export function versionsColumn({ users, secrets, groups }: Partial<UnitQueries>): string {
  const units = [
    `SELECT 'settings' AS unit, ${ifWritable('settings.version::text')} AS version`,
    ...(users === undefined ? [] : [`${VERSION_OF_USER} FROM (${users}) AS named (id) WHERE id IS NOT NULL`]),
    ...(secrets === undefined ? [] : [`${VERSION_OF_SECRET} FROM (${secrets}) AS named (digest)`]),
    ...(groups === undefined ? [] : [`${VERSION_OF_GROUP} FROM (${groups}) AS named (path)`]),
  ];
  return `(SELECT json_object_agg(unit, version) FROM (${units.join(' UNION ALL ')}) AS versions) AS versions`;
}

/** The first component of each path, from a query for paths. */
export const topLevel = (paths: string): string =>
  `SELECT DISTINCT split_part(path, '/', 1) FROM (${paths}) AS asked_path (path)`;

/** OFFSET 0 hides the parameters from the planner, so that it keeps one plan; see `projectFacts`. */
const READ_VERSIONS: Statement = {
  name: 'read-versions',
  isHot: true,
  text: `
    SELECT ${versionsColumn({
      users: 'SELECT unnest(asked.users)',
      secrets: 'SELECT unnest(asked.secrets)',
      groups: 'SELECT unnest(asked.groups)',
    })}
    FROM settings
    CROSS JOIN (SELECT $1::bigint[] AS users, $2::text[] AS secrets, $3::text[] AS groups OFFSET 0) AS asked`,
};

/** One round trip. */
export async function readVersions(sql: Sql, units: readonly string[]): Promise<Versions> {
  const named = (kind: string): readonly string[] =>
    units.filter((unit) => unit.startsWith(kind)).map((unit) => unit.slice(kind.length));
  const [row] = await sql.query<{ versions: Versions }>(READ_VERSIONS, [
    named('user:').map(Number),
    named('secret:'),
    named('group:'),
  ]);
  if (row === undefined) throw new Error('the settings row is missing: the database was not migrated');
  return row.versions;
}
