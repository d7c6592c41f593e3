import { CellpassError } from '../../errors.ts';
import type { Database, Sql } from '../database/drivers.ts';

/** The longest that a search of records may take. */
const LONGEST_SEARCH_MS = 5000;
const QUERY_CANCELED = '57014';

/**
 * Runs a search of records, which may have to read all of them.
 * @throws {CellpassError} `unavailable`, also when the search takes too long.
 */
export async function searchInTime<T>(
  database: Pick<Database, 'transaction'>,
  search: (sql: Sql) => Promise<T>,
  timeoutMs: number = LONGEST_SEARCH_MS,
): Promise<T> {
  try {
    return await database.transaction(async (sql) => {
      await sql.query(`SET LOCAL statement_timeout = ${timeoutMs}`);
      return search(sql);
    });
  } catch (error) {
    throw wasStopped(error) ? tooMuch(error) : error;
  }
}

/** The statement timeout ended the search; the database is not away. */
function wasStopped(error: unknown): boolean {
  const cause = error instanceof CellpassError ? error.details.cause : undefined;
  return cause instanceof Error && 'code' in cause && cause.code === QUERY_CANCELED;
}

function tooMuch(cause: unknown): CellpassError {
  const message = 'this takes too long: ask for a shorter time, or for a subject';
  return new CellpassError('unavailable', message, { cause });
}
