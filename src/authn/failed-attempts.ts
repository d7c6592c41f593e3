import { createHash, createHmac, randomBytes } from 'node:crypto';
import { CellpassError, type Reason } from '../errors.ts';
import { createExpiringMap } from '../expiring-map.ts';
import { unauthorized } from './basic.ts';

/** The failures of one key, and the time until they are forgotten. */
interface FailureCount {
  readonly failures: number;
  readonly endsInMs: number;
}

/** Shared by all processes of a cell. @throws {CellpassError} `unavailable` by each method. */
export interface FailureCounter {
  read(key: string): Promise<FailureCount>;
  /** Counts one more; resolves with the new count. */
  add(key: string): Promise<FailureCount>;
  forget(key: string): Promise<void>;
}

/** One attempt to log in. */
export interface Attempt {
  /** An IPv4 address, or the network of an IPv6 address. */
  readonly network: string;
  /** The name of the account in lower case; of an unknown account, the name that the client gave. */
  readonly loginKey: string;
  /** SHA-256 of the secret. */
  readonly digest: Uint8Array;
}

/** A password that may be tried. The caller then calls `failed` or `succeeded`, or neither if
 * nobody said which it is. */
interface PasswordAttempt {
  /**
   * Checks the limit again when the turn to hash comes, from memory.
   * @throws {CellpassError} `too_many_failures`
   */
  refuseIfLimited(): void;
  /** Counts the failure. Resolves with the error to answer. */
  failed(reason: Reason): Promise<CellpassError>;
  /**
   * Forgets the failures of this account from this address, in the background; if that fails, they
   * stay counted.
   */
  succeeded(): void;
}

/**
 * Bounds how often secrets can be guessed, by address and by pair of address and account. A
 * password is refused before it costs a hash. A token is refused only after its look-up, and only
 * if it is not valid, so that failures never block a valid token.
 */
export interface FailedAttempts {
  /**
   * Checks what this process knows already, without the database.
   * @throws {CellpassError} `too_many_failures`
   */
  refuseKnown(attempt: Attempt): void;
  /** @throws {CellpassError} `too_many_failures`, `unavailable` */
  admitPassword(attempt: Attempt): Promise<PasswordAttempt>;
  /**
   * Counts a refused token, by address and not by account, because its login name proves nothing.
   * Resolves with the error to answer.
   */
  tokenFailed(attempt: Attempt, reason: Reason): Promise<CellpassError>;
  /** Lockouts that this process has seen. */
  lockouts(): Lockouts;
  /** Forgets which keys are limited, so that the next attempt at each asks the counters again. */
  recheck(): void;
}

export type Lockouts = Readonly<Record<Lockout['by'], number>>;

/** An address, or an account from an address, has reached its limit. */
export interface Lockout {
  readonly by: 'address' | 'account';
  readonly network: string;
}

export interface FailedAttemptsOptions {
  readonly counters: Readonly<Record<Lockout['by'], FailureCounter>>;
  /** 0: no limit. */
  readonly limits: Readonly<Record<Lockout['by'], number>>;
  readonly seconds: number;
  readonly monotonicMs: () => number;
  /** Called once for each lockout, in the process that sees it. */
  readonly onLockout: (lockout: Lockout) => void;
}

/**
 * Limited keys, and recent failures, that are kept in memory; beyond it the oldest are looked up or
 * counted again.
 */
const CACHE_ENTRIES = 10_000;

/**
 * A limited key is refused from memory for this long, then the counter is asked again: an admin may
 * have cleared the lockout, and the notice of that may have been lost.
 */
const RECHECK_MS = 10_000;

export function createFailedAttempts(options: FailedAttemptsOptions): FailedAttempts {
  const { seconds, monotonicMs, onLockout } = options;
  const lifeMs = Math.min(seconds * 1000, RECHECK_MS);
  const nothingLimited = () => createExpiringMap<number>({ lifeMs, max: CACHE_ENTRIES, monotonicMs });
  /** The times at which limited keys may be tried again. */
  let limited = nothingLimited();
  const beginAttempt = createRepeatFilter(monotonicMs);
  const lockouts = { address: 0, account: 0 };

  const refuseIfLimited = (places: readonly Place[]): void =>
    refuseOver(places.map(({ name }) => (limited.get(name) ?? 0) - monotonicMs()));

  const tally = async (place: Place, method: 'read' | 'add'): Promise<Tally> => {
    // A count from before `recheck` must not come into the map after it.
    const current = limited;
    const count = await place.counter[method](place.key);
    if (count.failures >= place.limit) current.set(place.name, monotonicMs() + count.endsInMs);
    return { ...place, ...count, isNew: method === 'add' };
  };

  /** Counts for the credential first, which says whether it counts for the address, too. */
  const countAt = async ({ credential, address }: Places): Promise<readonly Tally[]> => {
    if (address === null && !Number.isFinite(credential.limit)) return [];
    const own = await tally(credential, 'add');
    if (address === null) return [own];
    return [own, await tally(address, own.failures <= COUNTED_OF_ONE ? 'add' : 'read')];
  };

  const count = async (attempt: Attempt, places: Places): Promise<void> => {
    refuseIfLimited(limitedOf(places));
    const begun = beginAttempt(attempt);
    if (begun === 'repeated') return;
    try {
      const tallies = await countAt(places);
      for (const { by, failures, limit, isNew } of tallies) {
        if (failures !== limit || !isNew) continue;
        lockouts[by] += 1;
        onLockout({ by, network: attempt.network });
      }
      refuseOver(tallies.map(({ failures, limit, endsInMs }) => (failures > limit ? endsInMs : 0)));
    } catch (error) {
      begun.isCounted = false;
      throw error;
    }
  };

  const answer = (attempt: Attempt, places: Places, reason: Reason): Promise<CellpassError> =>
    count(attempt, places).then(() => unauthorized(reason), toTooMany);

  return {
    refuseKnown: (attempt) => refuseIfLimited(limitedOf(placesOf(options, attempt))),
    async admitPassword(attempt) {
      const places = placesOf(options, attempt);
      const limits = limitedOf(places);
      refuseIfLimited(limits);
      const tallies = await Promise.all(limits.map((place) => tally(place, 'read')));
      refuseIfLimited(limits);
      const forgivable = tallies.filter(({ by, failures }) => by === 'account' && failures > 0);
      return {
        refuseIfLimited: () => refuseIfLimited(limits),
        failed: (reason) => answer(attempt, places, reason),
        succeeded: () => {
          for (const { counter, key } of forgivable) counter.forget(key).catch(() => undefined);
        },
      };
    },
    tokenFailed: (attempt, reason) => answer(attempt, placesOfToken(options, attempt), reason),
    lockouts: () => ({ ...lockouts }),
    recheck: () => {
      limited = nothingLimited();
    },
  };
}

/** A counter and a key at which an attempt counts. */
interface Place {
  readonly by: Lockout['by'];
  readonly counter: FailureCounter;
  readonly limit: number;
  /** Unique in the counter. */
  readonly key: string;
  /** Unique among all counters. */
  readonly name: string;
}

interface Tally extends Place, FailureCount {
  /** False: the failure did not count here. */
  readonly isNew: boolean;
}

/** Where an attempt counts. */
interface Places {
  /** The account from this address, or the token. Its limit may be infinite. */
  readonly credential: Place;
  /** Null: addresses have no limit. */
  readonly address: Place | null;
}

/**
 * So many failures of one credential count for its address; the others count for the credential
 * alone. Thus who guesses at one account, or a job with an old token, does not lock out the other
 * users of the address. See docs/adr/0016-spraying-and-guessing.md.
 */
const COUNTED_OF_ONE = 5;

function placesOf(options: FailedAttemptsOptions, attempt: Attempt): Places {
  const { network, loginKey } = attempt;
  return {
    credential: placeAt(options, 'account', `${network} ${loginDigest(loginKey)}`),
    address: addressOf(options, attempt),
  };
}

/**
 * What counters have of a login name: 22 characters. A digest, because a login name may be long, and
 * may be a password that was typed into the wrong field.
 * @param loginKey as in `Attempt`.
 */
export function loginDigest(loginKey: string): string {
  return createHash('sha256').update(loginKey).digest('base64url').slice(0, ACCOUNT_CHARACTERS);
}

/** A token has no account to guess at, and no limit of its own. */
function placesOfToken(options: FailedAttemptsOptions, attempt: Attempt): Places {
  const token = Buffer.from(attempt.digest).toString('base64url').slice(0, ACCOUNT_CHARACTERS);
  const place = placeAt(options, 'account', `${attempt.network} token ${token}`);
  return {
    credential: { ...place, limit: Number.POSITIVE_INFINITY },
    address: addressOf(options, attempt),
  };
}

function addressOf(options: FailedAttemptsOptions, { network }: Attempt): Place | null {
  return options.limits.address === 0 ? null : placeAt(options, 'address', network);
}

function placeAt({ counters, limits }: FailedAttemptsOptions, by: Lockout['by'], key: string): Place {
  const limit = limits[by] === 0 ? Number.POSITIVE_INFINITY : limits[by];
  return { by, counter: counters[by], limit, key, name: `${by} ${key}` };
}

/** The places that have a limit. */
function limitedOf({ credential, address }: Places): readonly Place[] {
  const places = address === null ? [credential] : [address, credential];
  return places.filter(({ limit }) => Number.isFinite(limit));
}

/** 132 bits. */
const ACCOUNT_CHARACTERS = 22;

/**
 * For this long, and this often, the same secret with the same login name from the same address is
 * the same attempt.
 */
const REPEAT_MS = 10_000;
const REPEATS = 3;

/** A recent attempt. */
interface RecentAttempt {
  /** False: counting it failed. */
  isCounted: boolean;
  repeatsLeft: number;
}

/**
 * Clients send one wrong password by POST and by GET, which counts once: the same secret again
 * tells a guesser nothing new. Repeats are bounded because each costs a hash. Memory holds an HMAC
 * of the secret, under a key that never leaves this process.
 */
function createRepeatFilter(monotonicMs: () => number): (attempt: Attempt) => RecentAttempt | 'repeated' {
  const secret = randomBytes(32);
  const recent = createExpiringMap<RecentAttempt>({ lifeMs: REPEAT_MS, max: CACHE_ENTRIES, monotonicMs });
  return ({ network, loginKey, digest }) => {
    const digested = createHmac('sha256', secret).update(`${network}\0${loginKey}\0`).update(digest);
    const name = digested.digest('base64url');
    const before = recent.get(name);
    if (before?.isCounted === true && before.repeatsLeft > 0) {
      before.repeatsLeft -= 1;
      return 'repeated';
    }
    const begun = { isCounted: true, repeatsLeft: REPEATS };
    recent.set(name, begun);
    return begun;
  };
}

/** @throws {CellpassError} `too_many_failures` if any wait is above 0. */
function refuseOver(waitsMs: readonly number[]): void {
  const waitMs = Math.max(0, ...waitsMs);
  if (waitMs === 0) return;
  throw new CellpassError('too_many_failures', 'too many failed attempts: try again later, or use a token', {
    reason: 'too_many_failures',
    retryAfterSeconds: Math.ceil(waitMs / 1000),
  });
}

function toTooMany(error: unknown): CellpassError {
  if (error instanceof CellpassError && error.code === 'too_many_failures') return error;
  throw error;
}
