import pg from 'pg';
import { type DatabaseUrl, readDatabaseUrl } from '../../config/database-url.ts';
import { CellpassError } from '../../errors.ts';
import { within } from '../../within.ts';
import {
  borrow,
  borrowPatiently,
  type ClientClass,
  createClientClass,
  createPool,
  type Lease,
} from './connections.ts';
import { type Database, LONGEST_STATEMENT_MS, TYPE_OIDS } from './drivers.ts';
import { listenOnPostgres } from './listen.ts';
import { createPipeline } from './pipeline.ts';
import {
  postgresExclusively,
  postgresTransaction,
  runQuery,
  TRANSACTION_TIMEOUT_MS,
  toConfig,
} from './transaction.ts';

export interface PostgresOptions {
  /** Gets errors of connections that break while idle. */
  readonly onIdleError?: (error: Error) => void;
  readonly maxConnections?: number;
  /** How many connections beside the pool run hot statements; 0: the pool runs these, too. */
  readonly pipelinedConnections?: number;
  /**
   * False for a pooler that gives each transaction another session: no prepared statements, no
   * settings of the session, no pipelined connections, and LISTEN only with `listenUrl`.
   */
  readonly preparedStatements?: boolean;
  /** Where LISTEN connects, past a pooler; null: the same URL. */
  readonly listenUrl?: string | null;
  /** True: the connections only read, so a standby will do; default: false. */
  readonly onlyReads?: boolean;
}

/**
 * From asking for a connection to the answer. A refused token request takes two queries, one after
 * the other (whose token it is, and how many attempts failed), and a client must get its answer
 * within 2 s if the database is away.
 */
const ANSWER_TIMEOUT_MS = 900;
/** After this, PostgreSQL ends a statement that nothing here waits for any more. */
const STATEMENT_TIMEOUT_MS = 1000;
const CLOSE_TIMEOUT_MS = 2000;
/**
 * A second connection serves while the first one is busy. More than two only use more processes of
 * PostgreSQL for the same work; see docs/performance.md.
 */
const PIPELINED_CONNECTIONS = 2;

/** Longer than for queries, because no client waits. */
const LISTEN_CONNECT_TIMEOUT_MS = 5000;

/**
 * Connects to PostgreSQL, lazily: the first query opens the first connection.
 * @throws {CellpassError} `invalid` if a URL is wrong.
 */
export function openPostgres(url: string, options: PostgresOptions = {}): Database {
  const { maxConnections: max = 10, preparedStatements: hasSession = true } = options;
  const onError = (error: Error): void => options.onIdleError?.(error);
  const Client = createClientClass(validUrl(url), {
    types: columnTypes(),
    applicationName: 'cellpass',
    statementTimeoutMs: hasSession ? STATEMENT_TIMEOUT_MS : null,
    onlyReads: options.onlyReads === true,
  });
  const pool = createPool(Client, { onIdleError: onError, maxConnections: max });
  const pipelineCount = hasSession ? (options.pipelinedConnections ?? PIPELINED_CONNECTIONS) : 0;
  const pipeline = createPipeline({
    count: pipelineCount,
    createClient: () => new Client({ pipeline: true }),
    onError,
  });
  const ListenClient = listenClientOf(url, options);
  return {
    kind: 'postgres',
    query: (statement, params) =>
      typeof statement !== 'string' && statement.isHot && pipelineCount > 0
        ? runQuery(pipeline, ANSWER_TIMEOUT_MS, toConfig(statement, params, hasSession))
        : withLease(pool, (lease, leftMs) =>
            runQuery(lease, leftMs(), toConfig(statement, params, hasSession)),
          ),
    execute: (text) => executeAtLength(pool, text, hasSession),
    transaction: (work, { statementTimeoutMs: timeoutMs = TRANSACTION_TIMEOUT_MS, isModest = false } = {}) =>
      postgresTransaction(pool, { timeoutMs, hasSession, isModest }, work),
    tryExclusively: (lock, work) => postgresExclusively(pool, { lock, hasSession }, work),
    listen: (channel, onNotice) =>
      ListenClient === null ? NOT_LISTENING : listenOnPostgres(ListenClient, channel, onNotice),
    poolStats: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount, max }),
    pipelineStats: () => pipeline.stats(),
    close: () => within(CLOSE_TIMEOUT_MS, Promise.all([pool.end(), pipeline.close()])),
  };
}

const NOT_LISTENING = Promise.resolve(async (): Promise<void> => undefined);

function validUrl(url: string): DatabaseUrl {
  const read = readDatabaseUrl(url);
  if ('problem' in read) throw new CellpassError('invalid', `the URL of the database ${read.problem}`);
  return read;
}

function columnTypes(): pg.TypeOverrides {
  const types = new pg.TypeOverrides();
  types.setTypeParser(TYPE_OIDS.int8, Number);
  types.setTypeParser(TYPE_OIDS.date, String);
  return types;
}

/** Null behind a pooler that would give the session of LISTEN to other programs. */
function listenClientOf(
  url: string,
  { preparedStatements = true, listenUrl = null }: PostgresOptions,
): ClientClass | null {
  if (listenUrl === null && !preparedStatements) return null;
  return createClientClass(validUrl(listenUrl ?? url), {
    applicationName: 'cellpass listener',
    connectTimeoutMs: LISTEN_CONNECT_TIMEOUT_MS,
    statementTimeoutMs: null,
  });
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

/** For statements such as VACUUM, which can't run in a transaction. */
async function executeAtLength(pool: pg.Pool, text: string, hasSession: boolean): Promise<void> {
  const limit = async (lease: Lease, timeoutMs: number): Promise<void> => {
    if (!hasSession) return;
    await lease.query({ text: `SET statement_timeout = ${timeoutMs}` }, TRANSACTION_TIMEOUT_MS);
  };
  const lease = await borrowPatiently(pool);
  try {
    await limit(lease, LONGEST_STATEMENT_MS);
    await lease.query({ text }, LONGEST_STATEMENT_MS);
    await limit(lease, STATEMENT_TIMEOUT_MS);
  } finally {
    lease.release();
  }
}
