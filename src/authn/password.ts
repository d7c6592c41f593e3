import { createTurns, type ShareStats, type Turns } from '../shares/turns.ts';
import type { Holder } from '../shares/waiting-line.ts';
import { type PasswordHashing, passwordHashing, schemeOf } from './password-schemes.ts';

/**
 * Never true for `hash` null (no such account, or no password) or for a hash of an unknown scheme;
 * both cost as much as a wrong password.
 */
export type VerifyPassword = (hash: string | null, password: string) => Promise<boolean>;

export interface PasswordHasher {
  hash(password: string): Promise<string>;
  readonly verify: VerifyPassword;
  /**
   * Runs `work`, which may verify passwords, when the holder's turn comes. What must be done before
   * the next turn begins belongs into `work`.
   * @throws {CellpassError} `unavailable` when too many wait, or when the client is gone before the
   * turn comes.
   */
  inTurn<T>(
    holder: Holder,
    work: (verify: VerifyPassword) => Promise<T>,
    clientGone: AbortSignal,
  ): Promise<T>;
  /** Saves the work that precedes a turn. The errors are those of `inTurn`. */
  readonly refuseIfFull: Turns['refuseIfFull'];
  /** Counts the turn of a right password for the account, from all addresses. */
  readonly charge: Turns['charge'];
  stats(): ShareStats;
}

interface HashQueueLimits {
  /** Hashes at the same time. */
  readonly concurrency: number;
  /** How many may wait; the answer to more is 503. */
  readonly waiting: number;
}

/** Passwords of documents, and tokens of admins: no client competes with another for these. */
const ADMIN: Holder = { address: 'admin' };

/**
 * Passwords have a queue of their own, so that a flood of password logins can't starve token
 * requests.
 * @param decoyOf a hash that costs as much as those of the directory's accounts; default: one of
 *   this server's own scheme.
 */
export async function createPasswordHasher(
  limits: HashQueueLimits = { concurrency: 1, waiting: 64 },
  hashing: PasswordHashing = passwordHashing,
  decoyOf?: () => string,
): Promise<PasswordHasher> {
  const queue = createTurns({
    places: limits.concurrency,
    waiting: limits.waiting,
    refusal: { message: 'too many password logins at once', reason: 'password_lane' },
  });
  const decoy = decoyOf ?? (await ownDecoy(hashing));
  const verify: VerifyPassword = async (hash, password) => {
    const isKnown = hash !== null && schemeOf(hash) !== undefined;
    const matches = await hashing.verify(isKnown ? hash : decoy(), password);
    return matches && isKnown;
  };
  return {
    hash: (password) => queue.run(ADMIN, () => hashing.hash(password)),
    verify: (hash, password) => queue.run(ADMIN, () => verify(hash, password)),
    inTurn: (holder, work, clientGone) => queue.run(holder, () => work(verify), clientGone),
    refuseIfFull: queue.refuseIfFull,
    charge: queue.charge,
    stats: queue.stats,
  };
}

async function ownDecoy(hashing: PasswordHashing): Promise<() => string> {
  const hash = await hashing.hash('no account has this password');
  return () => hash;
}
