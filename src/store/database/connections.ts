import pg from 'pg';
import { CellpassError } from '../../errors.ts';

/** Waiting for a connection, a new one or one that others use. */
const CONNECT_TIMEOUT_MS = 800;
/** Long enough for what the longest transaction may do in one statement. */
export const LONGEST_STATEMENT_MS = 10 * 60 * 1000;

export interface PoolOptions {
  /** Told of connections that break while idle; without a listener the process would end. */
  readonly onIdleError: (error: Error) => void;
  readonly maxConnections: number;
  /** PostgreSQL itself ends a statement that runs longer, so that what nobody waits for doesn't hold its connections. */
  readonly statementTimeoutMs: number;
}

export function createPool(url: string, types: pg.CustomTypesConfig, options: PoolOptions): pg.Pool {
  const pool = new pg.Pool({
    ...clientSettings(url, types),
    max: options.maxConnections,
    idleTimeoutMillis: 30_000,
  });
  pool.on('error', options.onIdleError);
  pool.on('connect', (client) => limitStatements(client, options.statementTimeoutMs));
  return pool;
}

/** For `createLanes`. */
export function createPipelinedClient(
  url: string,
  types: pg.CustomTypesConfig,
  { statementTimeoutMs }: Pick<PoolOptions, 'statementTimeoutMs'>,
): pg.Client {
  // The type of the settings doesn't know pipeline mode.
  const settings = { ...clientSettings(url, types), pipeline: true };
  const client = new pg.Client(settings);
  client.once('connect', () => limitStatements(client, statementTimeoutMs));
  return client;
}

function clientSettings(url: string, types: pg.CustomTypesConfig): pg.ClientConfig {
  return {
    connectionString: url,
    types,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    // Sooner than anything on the way forgets a connection on which nothing is said.
    keepAliveInitialDelayMillis: 30_000,
    application_name: 'cellpass',
  };
}

/** A statement and no start-up parameter, which poolers refuse. It goes ahead of the first one and nobody waits for it. */
function limitStatements(client: pg.ClientBase, timeoutMs: number): void {
  client.query(`SET statement_timeout = ${timeoutMs}`).catch(() => undefined);
}

/** A connection of the pool in one hand, until it is released. */
export interface Lease {
  /** @throws {CellpassError} `unavailable` when the answer doesn't come in time, or the connection is lost. */
  query<R extends pg.QueryResultRow>(config: pg.QueryConfig, timeoutMs: number): Promise<pg.QueryResult<R>>;
  /** Whether PostgreSQL still answers on it, as far as is known. */
  isWhole(): boolean;
  /**
   * A connection on which a statement failed is closed. At a time-out pg stops waiting while PostgreSQL goes on, and no other request may
   * come after it on the same connection; after an error a prepared statement may be one that PostgreSQL no longer takes.
   */
  release(): void;
}

/** @throws {CellpassError} `unavailable` */
export async function borrow(pool: pg.Pool): Promise<Lease> {
  const client = await pool.connect().catch((error: unknown) => {
    throw unavailable(error);
  });
  let isWhole = true;
  let hasFailed = false;
  // Without a listener a connection that breaks would end the process.
  const onError = (): void => {
    isWhole = false;
  };
  client.on('error', onError);
  return {
    async query<R extends pg.QueryResultRow>(config: pg.QueryConfig, timeoutMs: number) {
      // The type of `query` doesn't know the time-out of one statement.
      const timed = { ...config, query_timeout: timeoutMs };
      try {
        return await client.query<R>(timed);
      } catch (error) {
        hasFailed = true;
        if (!(error instanceof pg.DatabaseError)) isWhole = false;
        throw toUnavailable(error);
      }
    },
    isWhole: () => isWhole,
    release() {
      client.off('error', onError);
      client.release(hasFailed || !isWhole);
    },
  };
}

const PATIENT_TRIES = 5;

/** Nothing waits for a transaction as a client waits for a token, so a slow moment deserves more tries. */
export async function borrowPatiently(pool: pg.Pool): Promise<Lease> {
  for (let tries = 1; tries < PATIENT_TRIES; tries++) {
    const lease = await borrow(pool).catch(() => undefined);
    if (lease !== undefined) return lease;
  }
  return borrow(pool);
}

/** A server that hangs answers no goodbye; whoever closes must not wait for it. */
export async function within(timeoutMs: number, goodbye: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const overdue = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([goodbye, overdue]);
  clearTimeout(timer);
}

/** SQLSTATE classes that say "not now": connection, resources, operator intervention, the server's system (PostgreSQL, appendix A). */
const UNAVAILABLE_CLASSES: ReadonlySet<string> = new Set(['08', '53', '57', '58']);

/** pg gives server errors a SQLSTATE; an error without one never reached the server or lost it. */
export function toUnavailable(error: unknown): unknown {
  return error instanceof pg.DatabaseError ? unlessNotNow(error, error.code) : unavailable(error);
}

/** The error itself, or `unavailable` where its SQLSTATE says that it may go well later. */
export function unlessNotNow(error: unknown, sqlState: string | undefined): unknown {
  const isAway = sqlState === undefined || UNAVAILABLE_CLASSES.has(sqlState.slice(0, 2));
  return isAway ? unavailable(error, sqlState) : error;
}

const DISK_FULL = '53100';

function unavailable(cause: unknown, sqlState?: string): CellpassError {
  const message =
    sqlState === DISK_FULL
      ? 'the disk of the database is full: make room there'
      : 'the database is not available';
  return new CellpassError('unavailable', message, { cause, retryAfterSeconds: 1 });
}
