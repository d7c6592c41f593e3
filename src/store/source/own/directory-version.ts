import type { Sql, Statement } from '../../database/drivers.ts';

/**
 * As a column: a random name of the directory's state, as the statement sees both. Every change
 * makes a new one; see migration 0010.
 */
export const DIRECTORY_VERSION = '(SELECT version FROM directory_version)';

const READ_VERSION: Statement = {
  name: 'read-directory-version',
  isHot: true,
  text: `SELECT ${DIRECTORY_VERSION} AS version`,
};

/** One round trip. */
export async function readVersion(sql: Sql): Promise<string> {
  const [row] = await sql.query<{ version: string }>(READ_VERSION);
  if (row === undefined)
    throw new Error('the version of the directory is missing: the database was not migrated');
  return row.version;
}
