import pg from 'pg';
import {
  borrow,
  borrowPatiently,
  createPipelinedClient,
  createPool,
  type Lease,
  within,
} from './connections.ts';
import {
  type Database,
  LONGEST_STATEMENT_MS,
  type Row,
  type Sql,
  type Statement,
  TYPE_OIDS,
} from './drivers.ts';
import { listenOnPostgres } from './listen.ts';
import { createPipeline } from './pipeline.ts';

export interface PostgresOptions {
  /** Gets errors of connections that break while idle. */
  readonly onIdleError?: (error: Error) => void;
  readonly maxConnections?: number;
  /** How many connections beside the pool run hot statements; 0: the pool runs these, too. */
  readonly pipelinedConnections?: number;
}

/**
 * From asking for a connection to the answer. A refused token request takes two queries, one after
 * the other (whose token it is, and how many attempts failed), and a client must get its answer
 * within 2 s if the database is away.
 */
const ANSWER_TIMEOUT_MS = 900;
/** After this, PostgreSQL ends a statement that nothing here waits for any more. */
const STATEMENT_TIMEOUT_MS = 1000;
/**
 * How long a transaction waits for each answer: its statements are short, but may wait for a lock.
 */
const TRANSACTION_TIMEOUT_MS = 10_000;
const CLOSE_TIMEOUT_MS = 2000;
/**
 * A second connection serves while the first one is busy. More than two only use more processes of
 * PostgreSQL for the same work; see docs/performance.md.
 */
const PIPELINED_CONNECTIONS = 2;

/** Connects to PostgreSQL, lazily: the first query opens the first connection. */

export function openPostgres(url: string, options: PostgresOptions = {}): Database {
  const types = new pg.TypeOverrides();
  types.setTypeParser(TYPE_OIDS.int8, Number);
  types.setTypeParser(TYPE_OIDS.date, String);
  const max = options.maxConnections ?? 10;
  const pool = createPool(url, types, {
    onIdleError: (error) => options.onIdleError?.(error),
    maxConnections: max,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
  const pipelineCount = options.pipelinedConnections ?? PIPELINED_CONNECTIONS;
  const pipeline = createPipeline({
    count: pipelineCount,
    createClient: () => createPipelinedClient(url, types, { statementTimeoutMs: STATEMENT_TIMEOUT_MS }),
    onError: (error) => options.onIdleError?.(error),
  });
  return {
    kind: 'postgres',
    query: (statement, params) =>
      typeof statement !== 'string' && statement.isHot && pipelineCount > 0
        ? runQuery(pipeline, ANSWER_TIMEOUT_MS, statement, params)
        : withLease(pool, (lease, leftMs) => runQuery(lease, leftMs(), statement, params)),
    execute: (text) => executeAtLength(pool, text),
    transaction: (work, { statementTimeoutMs = TRANSACTION_TIMEOUT_MS } = {}) =>
      postgresTransaction(pool, statementTimeoutMs, work),
    tryExclusively: (lock, work) => postgresExclusively(pool, lock, work),
    listen: (channel, onNotice) => listenOnPostgres(url, channel, onNotice),
    poolStats: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount, max }),
    pipelineStats: () => pipeline.stats(),
    close: () => within(CLOSE_TIMEOUT_MS, Promise.all([pool.end(), pipeline.close()])),
  };
}

/** `leftMs` returns what is left of the time for an answer. */
async function withLease<T>(
  pool: pg.Pool,
  work: (lease: Lease, leftMs: () => number) => Promise<T>,
): Promise<T> {
  const deadlineMs = performance.now() + ANSWER_TIMEOUT_MS;
  const lease = await borrow(pool);
  try {
    return await work(lease, () => Math.max(1, deadlineMs - performance.now()));
  } finally {
    lease.release();
  }
}

async function runQuery<R extends Row>(
  connection: Pick<Lease, 'query'>,
  timeoutMs: number,
  statement: string | Statement,
  params: readonly unknown[] = [],
): Promise<readonly R[]> {
  const named =
    typeof statement === 'string' ? { text: statement } : { name: statement.name, text: statement.text };
  const { rows } = await connection.query<R>({ ...named, values: [...params] }, timeoutMs);
  return rows;
}

/** For statements such as VACUUM, which can't run in a transaction. */
async function executeAtLength(pool: pg.Pool, text: string): Promise<void> {
  const lease = await borrowPatiently(pool);
  try {
    await lease.query({ text: `SET statement_timeout = ${LONGEST_STATEMENT_MS}` }, TRANSACTION_TIMEOUT_MS);
    await lease.query({ text }, LONGEST_STATEMENT_MS);
    await lease.query({ text: `SET statement_timeout = ${STATEMENT_TIMEOUT_MS}` }, TRANSACTION_TIMEOUT_MS);
  } finally {
    lease.release();
  }
}

/**
 * PostgreSQL rolls back when the connection is lost, or at the timeouts of `begin` if this process
 * hangs.
 */
async function postgresTransaction<T>(
  pool: pg.Pool,
  timeoutMs: number,
  work: (sql: Sql) => Promise<T>,
): Promise<T> {
  const lease = await borrowPatiently(pool);
  const shortMs = Math.min(timeoutMs, TRANSACTION_TIMEOUT_MS);
  try {
    await lease.query({ text: begin(timeoutMs) }, shortMs);
    const result = await work(transactionSql(lease, timeoutMs));
    await lease.query({ text: 'COMMIT' }, timeoutMs);
    return result;
  } catch (error) {
    if (lease.isWhole())
      await lease.query({ text: 'ROLLBACK' }, TRANSACTION_TIMEOUT_MS).catch(() => undefined);
    throw error;
  } finally {
    lease.release();
  }
}

/**
 * The timeouts make a process that is frozen, or whose host is down, lose its locks after 10
 * minutes.
 */
function begin(statementTimeoutMs: number): string {
  return (
    `BEGIN; SET LOCAL statement_timeout = ${statementTimeoutMs}; ` +
    `SET LOCAL idle_in_transaction_session_timeout = ${LONGEST_STATEMENT_MS}`
  );
}

function transactionSql(lease: Lease, timeoutMs: number): Sql {
  return {
    query: (statement, params) => runQuery(lease, timeoutMs, statement, params),
    execute: async (text) => {
      await lease.query({ text }, timeoutMs);
    },
  };
}

/** A transaction holds the lock, so PostgreSQL frees the lock if the connection breaks. */
async function postgresExclusively(pool: pg.Pool, lock: number, work: () => Promise<void>): Promise<boolean> {
  return postgresTransaction(pool, TRANSACTION_TIMEOUT_MS, async (sql) => {
    const [row] = await sql.query<{ held: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS held', [lock]);
    if (row?.held !== true) return false;
    await work();
    return true;
  });
}
