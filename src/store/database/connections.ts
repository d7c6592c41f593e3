import pg from 'pg';
import { unavailable, unavailableIfTemporary } from './failures.ts';

/** How long a query waits for a connection, whether a new one or one of the pool. */
const CONNECT_TIMEOUT_MS = 800;

export interface PoolOptions {
  /** Gets errors of connections that break while idle; without a listener the process would end. */
  readonly onIdleError: (error: Error) => void;
  readonly maxConnections: number;
  /**
   * PostgreSQL ends a statement that runs longer, so that statements whose request has timed out
   * don't occupy connections.
   */
  readonly statementTimeoutMs: number;
}

/** The pool opens its connections when queries need them. */
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

/** A client in pipeline mode that isn't connected yet; see `pipeline.ts`. */
export function createPipelinedClient(
  url: string,
  types: pg.CustomTypesConfig,
  { statementTimeoutMs }: Pick<PoolOptions, 'statementTimeoutMs'>,
): pg.Client {
  // The type pg.ClientConfig lacks `pipeline`.
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
    // Firewalls and load balancers drop idle connections after a minute or more.
    keepAliveInitialDelayMillis: 30_000,
    application_name: 'cellpass',
  };
}

/**
 * Sends SET ahead of the first statement. A start-up parameter would be simpler, but poolers refuse
 * it.
 */
function limitStatements(client: pg.ClientBase, timeoutMs: number): void {
  client.query(`SET statement_timeout = ${timeoutMs}`).catch(() => undefined);
}

/** A connection of the pool for one caller, until it is released. */
export interface Lease {
  /**
   * @throws {CellpassError} `unavailable` if the answer doesn't come in time or the connection is
   * lost.
   */
  query<R extends pg.QueryResultRow>(config: pg.QueryConfig, timeoutMs: number): Promise<pg.QueryResult<R>>;
  /** False after the connection was lost or a query timed out. */
  isWhole(): boolean;
  /**
   * Returns the connection to the pool, or closes it if a statement failed: after a timeout
   * PostgreSQL may still be running the statement, and after an error it may reject a prepared
   * statement.
   */
  release(): void;
}

/** @throws {CellpassError} `unavailable` if the pool has no connection within 800 ms. */
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
      // The type pg.QueryConfig lacks `query_timeout`.
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

/** Retries, for work that no client waits for. */
export async function borrowPatiently(pool: pg.Pool): Promise<Lease> {
  for (let tries = 1; tries < PATIENT_TRIES; tries++) {
    const lease = await borrow(pool).catch(() => undefined);
    if (lease !== undefined) return lease;
  }
  return borrow(pool);
}

/**
 * Waits for `closing`, but no longer than `timeoutMs`: a server that hangs never confirms the end.
 */
export async function within(timeoutMs: number, closing: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const overdue = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([closing, overdue]);
  clearTimeout(timer);
}

/**
 * pg gives errors of the server a SQLSTATE. An error without one didn't reach the server or lost
 * it.
 */
export function toUnavailable(error: unknown): unknown {
  return error instanceof pg.DatabaseError ? unavailableIfTemporary(error, error.code) : unavailable(error);
}
