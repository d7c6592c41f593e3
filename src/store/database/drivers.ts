import { PGlite, type Transaction } from '@electric-sql/pglite';
import pg from 'pg';
import {
  borrow,
  borrowPatiently,
  createPipelinedClient,
  createPool,
  type Lease,
  LONGEST_STATEMENT_MS,
  unlessNotNow,
  within,
} from './connections.ts';
import { createLanes, type LanesUse } from './lanes.ts';
import { listenOnPostgres } from './listen.ts';

/** What a query answers: plain rows, alike on both drivers. */
export type Row = Readonly<Record<string, unknown>>;

/** A statement with parameters, never built from input. */
export interface Statement {
  /** Prepared under this name, where the driver prepares; so one name is one text for ever. */
  readonly name: string;
  readonly text: string;
  /** Short, and asked so often that it has connections of its own; see `lanes.ts`. */
  readonly isHot?: true;
}

/** The one small interface over a database. */
export interface Sql {
  /**
   * `int8` and `count` come as numbers, `date` as `yyyy-mm-dd` text, `timestamptz` as Date, `bytea` as Uint8Array, `jsonb` parsed.
   * Give `jsonb` parameters as text: pg would write a JavaScript array as a PostgreSQL array.
   */
  query<R extends Row>(statement: string | Statement, params?: readonly unknown[]): Promise<readonly R[]>;
  /** One or more statements without parameters. */
  execute(text: string): Promise<void>;
}

export interface TransactionOptions {
  /** How long one statement of it may take, a lock that it waits for included; 10 s, where the driver knows time-outs. */
  readonly statementTimeoutMs?: number;
}

/** For what may take as long as the largest directory does. */
export const AT_LENGTH: TransactionOptions = { statementTimeoutMs: LONGEST_STATEMENT_MS };

/** A connected database. A query that fails because the database is away throws `unavailable`. */
export interface Database extends Sql {
  readonly kind: 'postgres' | 'pglite';
  /** Commits when `work` resolves, rolls back when it throws. Not nested. */
  transaction<T>(work: (sql: Sql) => Promise<T>, options?: TransactionOptions): Promise<T>;
  /**
   * Runs `work` while this process holds `lock`, which no other has meanwhile; false, without running it, where another has it. `work`
   * may use the database.
   */
  tryExclusively(lock: number, work: () => Promise<void>): Promise<boolean>;
  /**
   * Calls `onNotice` after each NOTIFY on `channel`, and after each time that the connection was lost and is back, because then some
   * may have been missed. Never throws: where nothing comes, whoever listens must poll. Resolves to what ends it.
   */
  listen(channel: string, onNotice: () => void): Promise<() => Promise<void>>;
  /** Null where there is no pool. */
  poolUse(): PoolUse | null;
  /** Null where there are none. */
  lanesUse(): LanesUse | null;
  close(): Promise<void>;
}

/** Connections that are open, idle, and allowed; queries that wait for one. */
export interface PoolUse {
  readonly total: number;
  readonly idle: number;
  readonly waiting: number;
  readonly max: number;
}

export interface PostgresOptions {
  /** Told of connections that break while idle. */
  readonly onIdleError?: (error: Error) => void;
  readonly maxConnections?: number;
  /** Connections beside the pool, for hot statements; 0: these take one of the pool, too. */
  readonly lanes?: number;
}

const INT8 = 20;
const DATE = 1082;
const TIMESTAMPTZ = 1184;
/**
 * From asking for a connection to the answer. A token that is refused takes two questions, one after the other (whose it is, and how often
 * this happened), and whoever waits must hear within 2 s that the database is away.
 */
const ANSWER_TIMEOUT_MS = 900;
/** For PostgreSQL to stop what was given up here. */
const STATEMENT_TIMEOUT_MS = 1000;
/** What a transaction waits for each answer; most have nothing to do that takes long, and wait for a lock at most. */
const TRANSACTION_TIMEOUT_MS = 10_000;
const CLOSE_TIMEOUT_MS = 2000;
/** One could be busy with something long; more than two only wake more of PostgreSQL's processes for the same work. See docs/performance.md. */
const LANES = 2;

export function openPostgres(url: string, options: PostgresOptions = {}): Database {
  const types = new pg.TypeOverrides();
  types.setTypeParser(INT8, Number);
  types.setTypeParser(DATE, String);
  const max = options.maxConnections ?? 10;
  const pool = createPool(url, types, {
    onIdleError: (error) => options.onIdleError?.(error),
    maxConnections: max,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
  const laneCount = options.lanes ?? LANES;
  const lanes = createLanes({
    count: laneCount,
    createClient: () => createPipelinedClient(url, types, { statementTimeoutMs: STATEMENT_TIMEOUT_MS }),
    onError: (error) => options.onIdleError?.(error),
  });
  return {
    kind: 'postgres',
    query: (statement, params) =>
      typeof statement !== 'string' && statement.isHot && laneCount > 0
        ? ask(lanes, ANSWER_TIMEOUT_MS, statement, params)
        : withLease(pool, (lease, leftMs) => ask(lease, leftMs(), statement, params)),
    execute: (text) => executeAtLength(pool, text),
    transaction: (work, { statementTimeoutMs = TRANSACTION_TIMEOUT_MS } = {}) =>
      postgresTransaction(pool, statementTimeoutMs, work),
    tryExclusively: (lock, work) => postgresExclusively(pool, lock, work),
    listen: (channel, onNotice) => listenOnPostgres(url, channel, onNotice),
    poolUse: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount, max }),
    lanesUse: () => lanes.use(),
    close: () => within(CLOSE_TIMEOUT_MS, Promise.all([pool.end(), lanes.close()])),
  };
}

/** `leftMs`: what is left of the time for an answer. */
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

async function ask<R extends Row>(
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

/** Such as VACUUM, which no transaction takes. */
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

/** Where the connection is lost, PostgreSQL rolls back by itself; where it hangs, by the time-outs that BEGIN brings along. */
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

/** A process that was frozen, or whose host is gone, must not hold its locks for longer than the longest work may take. */
function begin(statementTimeoutMs: number): string {
  return (
    `BEGIN; SET LOCAL statement_timeout = ${statementTimeoutMs}; ` +
    `SET LOCAL idle_in_transaction_session_timeout = ${LONGEST_STATEMENT_MS}`
  );
}

function transactionSql(lease: Lease, timeoutMs: number): Sql {
  return {
    query: (statement, params) => ask(lease, timeoutMs, statement, params),
    execute: async (text) => {
      await lease.query({ text }, timeoutMs);
    },
  };
}

/** A transaction of its own holds the lock: a connection that breaks lets go of it. */
async function postgresExclusively(pool: pg.Pool, lock: number, work: () => Promise<void>): Promise<boolean> {
  return postgresTransaction(pool, TRANSACTION_TIMEOUT_MS, async (sql) => {
    const [row] = await sql.query<{ held: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS held', [lock]);
    if (row?.held !== true) return false;
    await work();
    return true;
  });
}

/**
 * PostgreSQL in WebAssembly, in this process. `dataDir` undefined: in memory.
 * It takes no lock on its directory, and a second process would destroy it: the caller must hold one.
 */
export async function openPglite(dataDir?: string): Promise<Database> {
  const pglite = await PGlite.create({
    ...(dataDir !== undefined && { dataDir }),
    parsers: { [INT8]: Number, [DATE]: String, [TIMESTAMPTZ]: (text: string) => new Date(text) },
  });
  // A fixed zone: dates are UTC everywhere, and its timestamps must carry an offset that Date can read.
  await pglite.exec("SET TIME ZONE 'UTC'");
  return {
    kind: 'pglite',
    ...pgliteSql(pglite),
    transaction: (work) => telling(pglite.transaction((transaction) => work(pgliteSql(transaction)))),
    // One process, and its locks always succeed.
    tryExclusively: async (_lock, work) => {
      await work();
      return true;
    },
    listen: async (channel, onNotice) => pglite.listen(channel, onNotice),
    poolUse: () => null,
    lanesUse: () => null,
    close: () => pglite.close(),
  };
}

function pgliteSql(pglite: Pick<PGlite | Transaction, 'query' | 'exec'>): Sql {
  return {
    async query<R extends Row>(statement: string | Statement, params: readonly unknown[] = []) {
      const text = typeof statement === 'string' ? statement : statement.text;
      const result = await telling(pglite.query<R>(text, [...params]));
      return result.rows;
    },
    async execute(text) {
      await telling(pglite.exec(text));
    },
  };
}

/** Tells a full disk from what is broken: it goes well again when there is room. An error without a SQLSTATE is never "not now" here. */
async function telling<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const hasState = error instanceof Error && 'code' in error && typeof error.code === 'string';
    throw hasState ? unlessNotNow(error, String(error.code)) : error;
  }
}
