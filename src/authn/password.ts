import { randomInt } from 'node:crypto';
import argon2 from 'argon2';
import { CellpassError } from '../errors.ts';

/** OWASP's smallest argon2id: its library's defaults would hold libuv's threads, which signing needs too. */
const PARAMETERS = { type: argon2.argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

/** What hashes, wherever it does so. */
export interface Argon2id {
  hash(password: string): Promise<string>;
  verify(hash: string, password: string): Promise<boolean>;
}

/** On this process's threads. */
export const argon2id: Argon2id = {
  hash: (password) => argon2.hash(password, PARAMETERS),
  verify: (hash, password) => argon2.verify(hash, password),
};

/** Who is sent away at the same time is told different times, lest all come back together. */
const LONGEST_RETRY_SECONDS = 4;

/** `hash` null is an account that isn't there: it costs as much as a wrong password, and is never right. */
type VerifyPassword = (hash: string | null, password: string) => Promise<boolean>;

export interface PasswordHasher {
  hash(password: string): Promise<string>;
  readonly verify: VerifyPassword;
  /**
   * Runs `work`, which may verify passwords, in a place of the lane; what it must have done before the next in line begins belongs into it.
   * Whoever is `gone` gives up waiting.
   * @throws {CellpassError} `unavailable` when too many wait.
   */
  inTurn<T>(work: (verify: VerifyPassword) => Promise<T>, gone: AbortSignal): Promise<T>;
  /** For what would be done in vain where too many wait. @throws {CellpassError} `unavailable` */
  refuseIfFull(): void;
  use(): LaneUse;
}

/** Hashes by now, and logins refused so far because too many waited. */
export interface LaneUse {
  readonly running: number;
  readonly waiting: number;
  readonly refused: number;
}

export interface LaneLimits {
  /** Hashes at the same time. */
  readonly lanes: number;
  /** How many may wait; over that the answer is 503. */
  readonly queue: number;
}

/** argon2id in a lane of its own, so that a flood of password logins can't starve token requests. */
export async function createPasswordHasher(
  limits: LaneLimits = { lanes: 1, queue: 64 },
  hashing: Argon2id = argon2id,
): Promise<PasswordHasher> {
  const { inLane, refuseIfFull, use } = createLane(limits);
  const decoy = await hashing.hash('nobody has this password');
  const verify: VerifyPassword = async (hash, password) => {
    const matches = await hashing.verify(hash ?? decoy, password);
    return matches && hash !== null;
  };
  return {
    hash: (password) => inLane(() => hashing.hash(password)),
    verify: (hash, password) => inLane(() => verify(hash, password)),
    inTurn: (work, gone) => inLane(() => work(verify), gone),
    refuseIfFull,
    use,
  };
}

interface Lane {
  inLane<T>(work: () => Promise<T>, gone?: AbortSignal): Promise<T>;
  refuseIfFull(): void;
  use(): LaneUse;
}

function createLane({ lanes, queue }: LaneLimits): Lane {
  const waiting = new Set<() => void>();
  let running = 0;
  let refused = 0;

  const waitForTurn = (gone: AbortSignal | undefined): Promise<void> =>
    new Promise((resolve, reject) => {
      const giveUp = (): void => {
        waiting.delete(begin);
        reject(clientGone());
      };
      const begin = (): void => {
        gone?.removeEventListener('abort', giveUp);
        resolve();
      };
      waiting.add(begin);
      gone?.addEventListener('abort', giveUp, { once: true });
    });

  const refuseIfFull = (): void => {
    if (running < lanes || waiting.size < queue) return;
    refused += 1;
    throw new CellpassError('unavailable', 'too many password logins at once', {
      reason: 'password_lane',
      retryAfterSeconds: randomInt(1, LONGEST_RETRY_SECONDS + 1),
    });
  };

  const inLane = async <T>(work: () => Promise<T>, gone?: AbortSignal): Promise<T> => {
    if (gone?.aborted === true) throw clientGone();
    refuseIfFull();
    if (running < lanes) running += 1;
    else await waitForTurn(gone);
    try {
      return await work();
    } finally {
      // The place goes straight to the next in line, so nobody can slip in between.
      const [next] = waiting;
      if (next === undefined) running -= 1;
      else {
        waiting.delete(next);
        next();
      }
    }
  };
  return { inLane, refuseIfFull, use: () => ({ running, waiting: waiting.size, refused }) };
}

/** Nobody reads it but the log. */
function clientGone(): CellpassError {
  return new CellpassError('unavailable', 'the client has gone away', { reason: 'client_gone' });
}
