import { CellpassError } from '../../errors.ts';

/** Which failures of a database are temporary. */

/**
 * SQLSTATE classes of temporary failures (PostgreSQL, appendix A): connection, who may log in,
 * unknown database, rollback by a deadlock or a conflict with recovery, resources, operator
 * intervention, system error. Classes 28 and 3D only occur while connecting, but a pooler connects
 * when a statement comes.
 */
const TEMPORARY_CLASSES: ReadonlySet<string> = new Set(['08', '28', '3D', '40', '53', '57', '58']);
/**
 * 0A000 comes from a standby that is asked for an unlogged table, and from a prepared statement
 * whose tables a migration has changed; both end with a new connection. 25P03 and 25P04 end an idle
 * or long transaction, 55P03 is a lock that the server doesn't wait for.
 */
const TEMPORARY_STATES: ReadonlySet<string> = new Set(['0A000', '25P03', '25P04', '55P03']);
const READ_ONLY = '25006';
/** A prepared statement is unknown, or exists already, on the connection that prepared it. */
const LOST_STATEMENTS: ReadonlySet<string> = new Set(['26000', '42P05']);
const DISK_FULL = '53100';

/**
 * Returns `unavailable` if the failure is temporary, else `error` itself. Without a SQLSTATE the
 * statement didn't reach the server or lost it.
 */
export function unavailableIfTemporary(error: unknown, sqlState: string | undefined): unknown {
  return sqlState === undefined || isTemporary(sqlState) ? unavailable(error, sqlState) : error;
}

function isTemporary(sqlState: string): boolean {
  return (
    TEMPORARY_CLASSES.has(sqlState.slice(0, 2)) ||
    TEMPORARY_STATES.has(sqlState) ||
    sqlState === READ_ONLY ||
    LOST_STATEMENTS.has(sqlState)
  );
}

/** The error `unavailable`, with `cause` for the log. */
export function unavailable(cause: unknown, sqlState?: string): CellpassError {
  return new CellpassError('unavailable', messageFor(sqlState), { cause, retryAfterSeconds: 1 });
}

function messageFor(sqlState: string | undefined): string {
  if (sqlState === DISK_FULL) return 'the disk of the database is full: make room there';
  if (sqlState === READ_ONLY) return 'the database takes no changes: it is a standby, or read-only';
  if (sqlState !== undefined && LOST_STATEMENTS.has(sqlState)) {
    return 'a pooler mixes up the connections to the database: set CELLPASS_DATABASE_PREPARED_STATEMENTS=false, or use its session mode';
  }
  return 'the database is not available';
}

/**
 * The error of a COMMIT without an answer. PostgreSQL commits in its own log first, so a lost
 * connection, or a synchronous standby that is away, leaves the outcome open.
 */
export function uncertainCommit(cause: unknown, waitedMs: number): CellpassError {
  const message = `the database did not confirm the change (waited ${Math.round(waitedMs / 1000)} s), so it may have happened: look whether it did, or repeat it; if this goes on, a synchronous standby may be away`;
  return new CellpassError('unavailable', message, { cause, retryAfterSeconds: 1 });
}
