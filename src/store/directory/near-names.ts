import type { Row, Sql } from '../database/drivers.ts';

/** What has a name that others refer to. */
export type NamedSection = 'organizations' | 'users' | 'groups' | 'projects';

/** A directory with more is searched in part. */
const MOST_NAMES = 100_000;

const SOURCES: Record<NamedSection, string> = {
  organizations: 'SELECT path AS name FROM organizations WHERE true',
  users: "SELECT username AS name FROM users WHERE kind IN ('human', 'service_account')",
  groups: "SELECT path AS name FROM namespaces WHERE type = 'Group'",
  projects: 'SELECT path AS name FROM projects WHERE true',
};

/** Names of a length within these bounds, in characters; for a search after a mistake. */
export async function readNames(
  sql: Sql,
  section: NamedSection,
  { shortest, longest }: { readonly shortest: number; readonly longest: number },
): Promise<readonly string[]> {
  const column = section === 'users' ? 'username' : 'path';
  // One text: as rows they would take ten times as long.
  const [row] = await sql.query<Row & { readonly names: string | null }>(
    `SELECT string_agg(name, E'\\n') AS names FROM (
       ${SOURCES[section]} AND length(${column}) BETWEEN $1::int AND $2::int LIMIT ${MOST_NAMES}
     ) AS near`,
    [shortest, longest],
  );
  return row?.names == null ? [] : row.names.split('\n');
}
