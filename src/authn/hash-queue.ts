import { randomInt } from 'node:crypto';
import { CellpassError } from '../errors.ts';

/**
 * Different waits for clients that are refused at the same time, so that they do not all retry
 * together.
 */
const LONGEST_RETRY_SECONDS = 4;

export interface HashQueueLimits {
  /** Hashes at the same time. */
  readonly concurrency: number;
  /** How many may wait; the answer to more is 503. */
  readonly waiting: number;
}

/** Hashes at this moment, and logins refused so far because too many waited. */
export interface HashQueueStats {
  readonly running: number;
  readonly waiting: number;
  readonly refused: number;
}

/** Bounds how many passwords are hashed at the same time, in the order in which they came. */
export interface HashQueue {
  /**
   * Runs `work` when its turn comes. A client that is gone gives up its place; work that has begun
   * is finished.
   * @throws {CellpassError} `unavailable` when too many wait, or when the client is gone.
   */
  run<T>(work: () => Promise<T>, clientGone?: AbortSignal): Promise<T>;
  /** @throws {CellpassError} `unavailable` when `run` would refuse. */
  refuseIfFull(): void;
  stats(): HashQueueStats;
}

export function createHashQueue(limits: HashQueueLimits): HashQueue {
  const waiting = new Set<() => void>();
  let running = 0;
  let refused = 0;

  const waitForTurn = (clientGone: AbortSignal | undefined): Promise<void> =>
    new Promise((resolve, reject) => {
      const giveUp = (): void => {
        waiting.delete(begin);
        reject(clientGoneError());
      };
      const begin = (): void => {
        clientGone?.removeEventListener('abort', giveUp);
        resolve();
      };
      waiting.add(begin);
      clientGone?.addEventListener('abort', giveUp, { once: true });
    });

  const refuseIfFull = (): void => {
    if (running < limits.concurrency || waiting.size < limits.waiting) return;
    refused += 1;
    throw new CellpassError('unavailable', 'too many password logins at once', {
      reason: 'password_lane',
      retryAfterSeconds: randomInt(1, LONGEST_RETRY_SECONDS + 1),
    });
  };

  const endTurn = (): void => {
    // The turn passes straight to the next in the queue, so that no newcomer takes it in between.
    const [next] = waiting;
    if (next === undefined) {
      running -= 1;
      return;
    }
    waiting.delete(next);
    next();
  };

  return {
    async run(work, clientGone) {
      if (clientGone?.aborted === true) throw clientGoneError();
      refuseIfFull();
      if (running < limits.concurrency) running += 1;
      else await waitForTurn(clientGone);
      try {
        return await work();
      } finally {
        endTurn();
      }
    },
    refuseIfFull,
    stats: () => ({ running, waiting: waiting.size, refused }),
  };
}

/** Only the log shows it: no client waits for the answer. */
function clientGoneError(): CellpassError {
  return new CellpassError('unavailable', 'the client has gone away', { reason: 'client_gone' });
}
