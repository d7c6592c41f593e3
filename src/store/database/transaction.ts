import type pg from 'pg';
import { borrowPatiently, type Lease } from './connections.ts';
import { LONGEST_STATEMENT_MS, type Row, type Sql, type Statement } from './drivers.ts';
import { uncertainCommit } from './failures.ts';

/**
 * How long a transaction waits for each answer: its statements are short, but may wait for a lock.
 */
export const TRANSACTION_TIMEOUT_MS = 10_000;

interface TransactionLimits {
  readonly timeoutMs: number;
  readonly hasSession: boolean;
  readonly isModest?: boolean;
}

/**
 * PostgreSQL rolls back when the connection is lost, or at the timeouts of `begin` if this process
 * hangs.
 */
export async function postgresTransaction<T>(
  pool: pg.Pool,
  { timeoutMs, hasSession, isModest = false }: TransactionLimits,
  work: (sql: Sql) => Promise<T>,
): Promise<T> {
  const lease = await borrowPatiently(pool);
  const shortMs = Math.min(timeoutMs, TRANSACTION_TIMEOUT_MS);
  try {
    await lease.query({ text: begin(timeoutMs, isModest) }, shortMs);
    const result = await work(transactionSql(lease, { timeoutMs, hasSession }));
    await commit(lease, shortMs);
    return result;
  } catch (error) {
    if (lease.isWhole())
      await lease.query({ text: 'ROLLBACK' }, TRANSACTION_TIMEOUT_MS).catch(() => undefined);
    throw error;
  } finally {
    lease.release();
  }
}

/** @throws {CellpassError} `unavailable` without an answer in time; the outcome is unknown then. */
async function commit(lease: Lease, timeoutMs: number): Promise<void> {
  const startedMs = performance.now();
  try {
    await lease.query({ text: 'COMMIT' }, timeoutMs);
  } catch (error) {
    throw lease.isWhole() ? error : uncertainCommit(error, performance.now() - startedMs);
  }
}

/**
 * The timeouts make a process that is frozen, or whose host is down, lose its locks after 10
 * minutes.
 */
function begin(statementTimeoutMs: number, isModest: boolean): string {
  const modest = '; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off';
  return (
    `BEGIN; SET LOCAL statement_timeout = ${statementTimeoutMs}; ` +
    `SET LOCAL idle_in_transaction_session_timeout = ${LONGEST_STATEMENT_MS}${isModest ? modest : ''}`
  );
}

function transactionSql(lease: Lease, { timeoutMs, hasSession }: TransactionLimits): Sql {
  return {
    query: (statement, params) => runQuery(lease, timeoutMs, toConfig(statement, params, hasSession)),
    execute: async (text) => {
      await lease.query({ text }, timeoutMs);
    },
  };
}

/** A transaction holds the lock, so PostgreSQL frees the lock if the connection breaks. */
export async function postgresExclusively(
  pool: pg.Pool,
  { lock, hasSession }: { readonly lock: number; readonly hasSession: boolean },
  work: () => Promise<void>,
): Promise<boolean> {
  const limits = { timeoutMs: TRANSACTION_TIMEOUT_MS, hasSession };
  return postgresTransaction(pool, limits, async (sql) => {
    const [row] = await sql.query<{ held: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS held', [lock]);
    if (row?.held !== true) return false;
    await work();
    return true;
  });
}

export async function runQuery<R extends Row>(
  connection: Pick<Lease, 'query'>,
  timeoutMs: number,
  config: pg.QueryConfig,
): Promise<readonly R[]> {
  const { rows } = await connection.query<R>(config, timeoutMs);
  return rows;
}

/** A statement without a name isn't prepared beyond its one use. */
export function toConfig(
  statement: string | Statement,
  params: readonly unknown[] = [],
  mayPrepare: boolean,
): pg.QueryConfig {
  const values = [...params];
  if (typeof statement === 'string') return { text: statement, values };
  return { text: statement.text, values, ...(mayPrepare && { name: statement.name }) };
}
