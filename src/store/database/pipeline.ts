import type pg from 'pg';
import { toUnavailable } from './connections.ts';
import { unavailable } from './failures.ts';

/**
 * Connections that send a query without waiting for the answers to earlier ones (PostgreSQL's
 * pipeline mode). Under load several queries share one packet, which saves wake-ups of PostgreSQL
 * and of this process that cost more than the queries themselves. Use it for short prepared
 * statements only: each query waits for those before it.
 */
export interface Pipeline {
  /**
   * @throws {CellpassError} `unavailable` if the answer doesn't come in time or the connection is
   * lost.
   */
  query<R extends pg.QueryResultRow>(config: pg.QueryConfig, timeoutMs: number): Promise<pg.QueryResult<R>>;
  stats(): PipelineStats;
  close(): Promise<void>;
}

/** Connections that are open or being opened; queries that have no answer yet. */
export interface PipelineStats {
  readonly open: number;
  readonly waiting: number;
}

export interface PipelineOptions {
  readonly count: number;
  /** Returns a client in pipeline mode that isn't connected yet. */
  readonly createClient: () => pg.Client;
  /** Gets errors of connections that break. */
  readonly onError: (error: Error) => void;
}

/** Sends each query on the connection with the fewest open queries. */
export function createPipeline({ count, ...options }: PipelineOptions): Pipeline {
  const connections = Array.from({ length: count }, () => createConnection(options));
  return {
    query: (config, timeoutMs) =>
      connections
        .reduce((best, one) => (one.stats().waiting < best.stats().waiting ? one : best))
        .query(config, timeoutMs),
    stats: () => {
      const all = connections.map((connection) => connection.stats());
      const sum = (pick: (stats: PipelineStats) => number): number =>
        all.reduce((total, stats) => total + pick(stats), 0);
      return { open: sum(({ open }) => open), waiting: sum((stats) => stats.waiting) };
    },
    close: async () => {
      await Promise.all(connections.map((connection) => connection.close()));
    },
  };
}

/**
 * One connection. It connects at the first query and again after each failure, until it is closed.
 */
function createConnection({ createClient, onError }: Omit<PipelineOptions, 'count'>): Pipeline {
  let current: Promise<pg.Client> | undefined;
  let waiting = 0;
  let isClosed = false;

  /** Later queries use a new connection; earlier ones may still get their answers on this one. */
  const abandon = (opening: Promise<pg.Client>): void => {
    if (current !== opening) return;
    current = undefined;
    opening.then((client) => client.end()).catch(() => undefined);
  };
  const connect = (): Promise<pg.Client> => {
    const client = createClient();
    const opening = client.connect().then(() => client);
    // Without a listener a connection that breaks would end the process.
    client.on('error', (error) => {
      abandon(opening);
      onError(error);
    });
    client.on('end', () => abandon(opening));
    current = opening;
    return opening;
  };

  return {
    async query<R extends pg.QueryResultRow>(config: pg.QueryConfig, timeoutMs: number) {
      if (isClosed) throw toUnavailable(new Error('the connections to the database are closed'));
      const deadlineMs = performance.now() + timeoutMs;
      const opening = current ?? connect();
      waiting += 1;
      try {
        const client = await opening.catch((error: unknown) => {
          throw unavailable(error);
        });
        // At a timeout pg closes the connection, so that no query gets the answer to another one.
        const timed = { ...config, query_timeout: Math.max(1, deadlineMs - performance.now()) };
        return await client.query<R>(timed);
      } catch (error) {
        // PostgreSQL may reject the prepared statements of this connection from now on.
        abandon(opening);
        throw toUnavailable(error);
      } finally {
        waiting -= 1;
      }
    },
    stats: () => ({ open: current === undefined ? 0 : 1, waiting }),
    close: async () => {
      isClosed = true;
      await current?.then((client) => client.end()).catch(() => undefined);
    },
  };
}
