import { Client } from 'undici';

/** Many clients that ask for tokens again and again, each on its own keep-alive connection. */
export interface Crowd {
  /** The number of requests by status. */
  readonly statuses: ReadonlyMap<number, number>;
  /** The client's error messages, for requests without an answer. */
  readonly failures: readonly string[];
  /** Resolves when this many more requests have ended. */
  more(requests: number): Promise<void>;
  stop(): Promise<void>;
}

export interface CrowdOptions {
  readonly origin: string;
  readonly clients: number;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export function startCrowd({ origin, clients, path, headers = {} }: CrowdOptions): Crowd {
  const statuses = new Map<number, number>();
  const failures: string[] = [];
  const waiting = new Set<() => void>();
  let ended = 0;
  let stopped = false;
  const loop = async (): Promise<void> => {
    // A connection that was handed to a worker as it was killed gets no answer.
    const client = new Client(origin, { keepAliveTimeout: 60_000, headersTimeout: 15_000 });
    while (!stopped) {
      try {
        const { statusCode, body } = await client.request({ method: 'GET', path, headers });
        await body.dump();
        statuses.set(statusCode, (statuses.get(statusCode) ?? 0) + 1);
      } catch (error) {
        failures.push(String(error));
      }
      ended += 1;
      for (const look of waiting) look();
    }
    await client.destroy();
  };
  const loops = Array.from({ length: clients }, loop);
  return {
    statuses,
    failures,
    more(requests) {
      const goal = ended + requests;
      return new Promise((resolve) => {
        const look = (): void => {
          if (ended < goal) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      });
    },
    async stop() {
      stopped = true;
      await Promise.all(loops);
    },
  };
}
