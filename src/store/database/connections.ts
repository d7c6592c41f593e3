import pg from 'pg';
import type { DatabaseUrl } from '../../config/database-url.ts';
import { unavailable, unavailableIfTemporary } from './failures.ts';
import { createHosts } from './hosts.ts';
import { WritableClient } from './writable-client.ts';

/** How long a query waits for a connection, whether a new one or one of the pool. */
const CONNECT_TIMEOUT_MS = 800;

interface ConnectionOptions {
  readonly types?: pg.CustomTypesConfig;
  readonly applicationName: string;
  readonly connectTimeoutMs?: number;
  /**
   * PostgreSQL ends a statement that runs longer, so that statements whose request has timed out
   * don't occupy connections. Null: the session keeps its timeout, because a pooler gives it to
   * other programs.
   */
  readonly statementTimeoutMs: number | null;
  /** True: the connections only read, so a standby will do; default: false. */
  readonly onlyReads?: boolean;
}

/** A class of clients that aren't connected yet. Each connects to a server that takes changes. */
export type ClientClass = new (extra?: pg.ClientConfig) => WritableClient;

export function createClientClass(url: DatabaseUrl, options: ConnectionOptions): ClientClass {
  const settings = clientSettings(url, options);
  const limits = {
    timeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    statementTimeoutMs: options.statementTimeoutMs,
    onlyReads: options.onlyReads === true && !url.asksForPrimary,
  };
  const hosts = createHosts(url.hosts, async (address) => {
    const only = { choose: async () => address, leave: () => undefined };
    const client = new WritableClient(settings, { ...limits, hosts: only });
    await client.connect();
    await client.end();
  });
  return class extends WritableClient {
    constructor(extra: pg.ClientConfig = {}) {
      super({ ...extra, ...settings }, { ...limits, hosts });
    }
  };
}

function clientSettings(
  { firstHostUrl }: DatabaseUrl,
  { types, applicationName }: ConnectionOptions,
): pg.ClientConfig {
  return {
    connectionString: firstHostUrl,
    ...(types !== undefined && { types }),
    keepAlive: true,
    // Firewalls and load balancers drop idle connections after a minute or more.
    keepAliveInitialDelayMillis: 30_000,
    application_name: applicationName,
  };
}

interface PoolOptions {
  /** Gets errors of connections that break while idle; without a listener the process would end. */
  readonly onIdleError: (error: Error) => void;
  readonly maxConnections: number;
}

/** The pool opens its connections when queries need them. */
export function createPool(Client: ClientClass, options: PoolOptions): pg.Pool {
  const pool = new pg.Pool({
    Client,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    max: options.maxConnections,
    idleTimeoutMillis: 30_000,
  });
  pool.on('error', options.onIdleError);
  return pool;
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
  let stopping: Promise<void> | null = null;
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
        if (!(error instanceof pg.DatabaseError)) {
          isWhole = false;
          if (client instanceof WritableClient) stopping = client.stopStatement();
        }
        throw toUnavailable(error);
      }
    },
    isWhole: () => isWhole,
    release() {
      const end = (): void => {
        client.off('error', onError);
        client.release(hasFailed || !isWhole);
      };
      if (stopping === null) end();
      else void stopping.then(end);
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
 * pg gives errors of the server a SQLSTATE. An error without one didn't reach the server or lost
 * it.
 */
export function toUnavailable(error: unknown): unknown {
  return error instanceof pg.DatabaseError ? unavailableIfTemporary(error, error.code) : unavailable(error);
}
