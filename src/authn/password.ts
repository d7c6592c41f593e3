import argon2 from 'argon2';
import { CellpassError } from '../errors.ts';

/** OWASP's smallest argon2id: its library's defaults would hold libuv's threads, which signing needs too. */
const PARAMETERS = { type: argon2.argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

export interface PasswordHasher {
  hash(password: string): Promise<string>;
  /** `hash` null is an account that isn't there: it costs as much as a wrong password, and is never right. */
  verify(hash: string | null, password: string): Promise<boolean>;
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
): Promise<PasswordHasher> {
  const { inLane, use } = createLane(limits);
  const decoy = await argon2.hash('nobody has this password', PARAMETERS);
  return {
    hash: (password) => inLane(() => argon2.hash(password, PARAMETERS)),
    verify: async (hash, password) => {
      const matches = await inLane(() => argon2.verify(hash ?? decoy, password));
      return matches && hash !== null;
    },
    use,
  };
}

interface Lane {
  inLane<T>(work: () => Promise<T>): Promise<T>;
  use(): LaneUse;
}

function createLane({ lanes, queue }: LaneLimits): Lane {
  const waiting: (() => void)[] = [];
  let running = 0;
  let refused = 0;
  const inLane = async <T>(work: () => Promise<T>): Promise<T> => {
    if (running >= lanes) {
      if (waiting.length >= queue) {
        refused += 1;
        throw new CellpassError('unavailable', 'too many password logins at once', {
          reason: 'password_lane',
          retryAfterSeconds: 1,
        });
      }
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else {
      running += 1;
    }
    try {
      return await work();
    } finally {
      // The place goes straight to the next in line, so nobody can slip in between.
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
  return { inLane, use: () => ({ running, waiting: waiting.length, refused }) };
}
