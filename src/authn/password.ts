import { createHashQueue, type HashQueueLimits, type HashQueueStats } from './hash-queue.ts';
import { type PasswordHashing, passwordHashing, schemeOf } from './password-schemes.ts';

/**
 * Never true for `hash` null (no such account, or no password) or for a hash of an unknown scheme;
 * both cost as much as a wrong password.
 */
type VerifyPassword = (hash: string | null, password: string) => Promise<boolean>;

export interface PasswordHasher {
  hash(password: string): Promise<string>;
  readonly verify: VerifyPassword;
  /**
   * Runs `work`, which may verify passwords, when its turn in the queue comes. What must be done
   * before the next turn begins belongs into `work`.
   * @throws {CellpassError} `unavailable` when too many wait, or when the client is gone before the
   * turn comes.
   */
  inTurn<T>(work: (verify: VerifyPassword) => Promise<T>, clientGone: AbortSignal): Promise<T>;
  /**
   * Saves the work that precedes a turn.
   * @throws {CellpassError} `unavailable` when too many wait.
   */
  refuseIfFull(): void;
  stats(): HashQueueStats;
}

/**
 * Passwords have a queue of their own, so that a flood of password logins can't starve token
 * requests.
 */
export async function createPasswordHasher(
  limits: HashQueueLimits = { concurrency: 1, waiting: 64 },
  hashing: PasswordHashing = passwordHashing,
): Promise<PasswordHasher> {
  const queue = createHashQueue(limits);
  const decoy = await hashing.hash('no account has this password');
  const verify: VerifyPassword = async (hash, password) => {
    const isKnown = hash !== null && schemeOf(hash) !== undefined;
    const matches = await hashing.verify(isKnown ? hash : decoy, password);
    return matches && isKnown;
  };
  return {
    hash: (password) => queue.run(() => hashing.hash(password)),
    verify: (hash, password) => queue.run(() => verify(hash, password)),
    inTurn: (work, clientGone) => queue.run(() => work(verify), clientGone),
    refuseIfFull: queue.refuseIfFull,
    stats: queue.stats,
  };
}
