import { PGlite, type Transaction } from '@electric-sql/pglite';
import pg from 'pg';
import { CellpassError } from '../errors.ts';
import { listenOnPostgres } from './listen.ts';

/** What a query answers: plain rows, alike on both drivers. */
export type Row = Readonly<Record<string, unknown>>;

/** A statement with parameters, never built from input. */
export interface Statement {
  /** Prepared under this name, where the driver prepares; so one name is one text for ever. */
  readonly name: string;
  readonly text: string;
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

/** A connected database. A query that fails because the database is away throws `unavailable`. */
export interface Database extends Sql {
  readonly kind: 'postgres' | 'pglite';
  /** Commits when `work` resolves, rolls back when it throws. Not nested. */
  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
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
  /** Told of connections that break while idle; without a listener the process would end. */
  readonly onIdleError?: (error: Error) => void;
  readonly maxConnections?: number;
}

const INT8 = 20;
const DATE = 1082;
const TIMESTAMPTZ = 1184;
/** Together well under the 2 s in which a client must hear that the database is away. */
const CONNECT_TIMEOUT_MS = 800;
const QUERY_TIMEOUT_MS = 1000;
const CLOSE_TIMEOUT_MS = 2000;
const TRANSACTION_QUERY_TIMEOUT_MS = 10 * 60 * 1000;

export function openPostgres(url: string, options: PostgresOptions = {}): Database {
  const types = new pg.TypeOverrides();
  types.setTypeParser(INT8, Number);
  types.setTypeParser(DATE, String);
  const max = options.maxConnections ?? 10;
  const pool = new pg.Pool({
    connectionString: url,
    types,
    max,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    application_name: 'cellpass',
  });
  pool.on('error', (error) => options.onIdleError?.(error));
  return {
    kind: 'postgres',
    ...postgresSql(pool, QUERY_TIMEOUT_MS),
    transaction: (work) => postgresTransaction(pool, work),
    tryExclusively: (lock, work) => postgresExclusively(pool, lock, work),
    listen: (channel, onNotice) => listenOnPostgres(url, channel, onNotice),
    poolUse: () => ({ total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount, max }),
    close: () => endWithin(pool, CLOSE_TIMEOUT_MS),
  };
}

/** A server that hangs answers no goodbye; whoever closes must not wait for it. */
async function endWithin(pool: pg.Pool, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const overdue = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([pool.end(), overdue]);
  clearTimeout(timer);
}

type Queryable = Pick<pg.Pool, 'query'>;

function postgresSql(client: Queryable, timeoutMs: number): Sql {
  return {
    async query<R extends Row>(statement: string | Statement, params: readonly unknown[] = []) {
      const named = typeof statement === 'string' ? { text: statement } : statement;
      const config = { ...named, values: [...params], query_timeout: timeoutMs };
      const result = await client.query<R>(config).catch(rethrow);
      return result.rows;
    },
    async execute(text) {
      await client.query(text).catch(rethrow);
    },
  };
}

async function postgresTransaction<T>(pool: pg.Pool, work: (sql: Sql) => Promise<T>): Promise<T> {
  const client = await connectPatiently(pool);
  let broken = false;
  const onError = (): void => {
    broken = true;
  };
  client.on('error', onError);
  try {
    await client.query('BEGIN').catch(rethrow);
    const result = await work(postgresSql(client, TRANSACTION_QUERY_TIMEOUT_MS));
    await client.query('COMMIT').catch(rethrow);
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch(onError);
    throw error;
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}

/** A transaction of its own holds the lock: a connection that breaks lets go of it. */
async function postgresExclusively(pool: pg.Pool, lock: number, work: () => Promise<void>): Promise<boolean> {
  return postgresTransaction(pool, async (sql) => {
    const [row] = await sql.query<{ held: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS held', [lock]);
    if (row?.held !== true) return false;
    await work();
    return true;
  });
}

const PATIENT_TRIES = 5;

/** Nothing waits for a transaction as a client waits for a token, so a slow moment deserves more tries. */
async function connectPatiently(pool: pg.Pool): Promise<pg.PoolClient> {
  for (let tries = 1; tries < PATIENT_TRIES; tries++) {
    const client = await pool.connect().catch(() => undefined);
    if (client !== undefined) return client;
  }
  return pool.connect().catch(rethrow);
}

/** SQLSTATE classes that say "not now": connection, resources, operator intervention (PostgreSQL, appendix A). */
const UNAVAILABLE_CLASSES: ReadonlySet<string> = new Set(['08', '53', '57']);

/** pg gives server errors a SQLSTATE; an error without one never reached the server or lost it. */
function rethrow(error: unknown): never {
  const sqlState = error instanceof pg.DatabaseError ? error.code : undefined;
  if (sqlState === undefined || UNAVAILABLE_CLASSES.has(sqlState.slice(0, 2))) {
    throw new CellpassError('unavailable', 'the database is not available', {
      cause: error,
      retryAfterSeconds: 1,
    });
  }
  throw error;
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
    transaction: (work) => pglite.transaction((transaction) => work(pgliteSql(transaction))),
    // One process, and its locks always succeed.
    tryExclusively: async (_lock, work) => {
      await work();
      return true;
    },
    listen: async (channel, onNotice) => pglite.listen(channel, onNotice),
    poolUse: () => null,
    close: () => pglite.close(),
  };
}

function pgliteSql(pglite: Pick<PGlite | Transaction, 'query' | 'exec'>): Sql {
  return {
    async query<R extends Row>(statement: string | Statement, params: readonly unknown[] = []) {
      const text = typeof statement === 'string' ? statement : statement.text;
      const result = await pglite.query<R>(text, [...params]);
      return result.rows;
    },
    async execute(text) {
      await pglite.exec(text);
    },
  };
}
