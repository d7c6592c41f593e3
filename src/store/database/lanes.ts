import type pg from 'pg';
import { toUnavailable } from './connections.ts';

/**
 * Connections on which a question doesn't wait for the answers to earlier ones (PostgreSQL's pipeline mode). Under load several questions
 * travel together and are answered in one go, which saves PostgreSQL and this process the waking up that would cost more than the answers.
 * For short prepared statements alone: each waits for those before it.
 */
export interface Lanes {
  /** @throws {CellpassError} `unavailable` when the answer doesn't come in time, or the connection is lost. */
  query<R extends pg.QueryResultRow>(config: pg.QueryConfig, timeoutMs: number): Promise<pg.QueryResult<R>>;
  use(): LanesUse;
  close(): Promise<void>;
}

/** Connections that are open, or being opened; questions that have no answer yet. */
export interface LanesUse {
  readonly open: number;
  readonly waiting: number;
}

export interface LanesOptions {
  readonly count: number;
  /** Not connected yet; in pipeline mode. */
  readonly createClient: () => pg.Client;
  /** Told of connections that break. */
  readonly onError: (error: Error) => void;
}

export function createLanes({ count, ...options }: LanesOptions): Lanes {
  const lanes = Array.from({ length: count }, () => createLane(options));
  return {
    query: (config, timeoutMs) =>
      lanes
        .reduce((best, lane) => (lane.use().waiting < best.use().waiting ? lane : best))
        .query(config, timeoutMs),
    use: () => {
      const uses = lanes.map((lane) => lane.use());
      const sum = (pick: (use: LanesUse) => number): number =>
        uses.reduce((total, use) => total + pick(use), 0);
      return { open: sum(({ open }) => open), waiting: sum((use) => use.waiting) };
    },
    close: async () => {
      await Promise.all(lanes.map((lane) => lane.close()));
    },
  };
}

/** Connects when there is something to ask, and anew after whatever went wrong; once it is closed, never again. */
function createLane({ createClient, onError }: Omit<LanesOptions, 'count'>): Lanes {
  let current: Promise<pg.Client> | undefined;
  let waiting = 0;
  let isClosed = false;

  /** What was asked on it before is still answered, where it can be. */
  const leave = (opening: Promise<pg.Client>): void => {
    if (current !== opening) return;
    current = undefined;
    opening.then((client) => client.end()).catch(() => undefined);
  };
  const connect = (): Promise<pg.Client> => {
    const client = createClient();
    const opening = client.connect().then(() => client);
    // Without a listener a connection that breaks would end the process.
    client.on('error', (error) => {
      leave(opening);
      onError(error);
    });
    client.on('end', () => leave(opening));
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
        const client = await opening;
        // At a time-out pg closes the connection, so that no answer is ever taken for that of another question.
        const timed = { ...config, query_timeout: Math.max(1, deadlineMs - performance.now()) };
        return await client.query<R>(timed);
      } catch (error) {
        // Its prepared statements may be such that PostgreSQL no longer takes them.
        leave(opening);
        throw toUnavailable(error);
      } finally {
        waiting -= 1;
      }
    },
    use: () => ({ open: current === undefined ? 0 : 1, waiting }),
    close: async () => {
      isClosed = true;
      await current?.then((client) => client.end()).catch(() => undefined);
    },
  };
}
