import type { Sql, Statement } from '../../database/drivers.ts';

/**
 * As a column: the text `value`. On a server that takes no changes the statement fails with 25006
 * instead, because nextval refuses there: a connection that was good stays open when its server
 * becomes read-only, or when a pooler moves it to a standby.
 */
export function ifWritable(value: string): string {
  return `CASE WHEN current_setting('transaction_read_only') = 'off' THEN ${value} ELSE nextval('unnamed_ids')::text END`;
}

/**
 * As a column: a random name of the directory's state, as the statement sees both. Every change
 * makes a new one; see migration 0010.
 */
export const DIRECTORY_VERSION = `(SELECT ${ifWritable('version::text')} FROM directory_version)`;

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
