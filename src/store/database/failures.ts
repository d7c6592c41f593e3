import { CellpassError } from '../../errors.ts';

/** Which failures of a database are temporary. */

/**
 * SQLSTATE classes of temporary failures (PostgreSQL, appendix A): connection, resources, operator
 * intervention, system error.
 */
const TEMPORARY_CLASSES: ReadonlySet<string> = new Set(['08', '53', '57', '58']);
const DISK_FULL = '53100';

/**
 * Returns `unavailable` if the failure is temporary, else `error` itself. Without a SQLSTATE the
 * statement didn't reach the server or lost it.
 */
export function unavailableIfTemporary(error: unknown, sqlState: string | undefined): unknown {
  const isTemporary = sqlState === undefined || TEMPORARY_CLASSES.has(sqlState.slice(0, 2));
  return isTemporary ? unavailable(error, sqlState) : error;
}

/** The error `unavailable`, with `cause` for the log. */
export function unavailable(cause: unknown, sqlState?: string): CellpassError {
  const message =
    sqlState === DISK_FULL
      ? 'the disk of the database is full: make room there'
      : 'the database is not available';
  return new CellpassError('unavailable', message, { cause, retryAfterSeconds: 1 });
}
