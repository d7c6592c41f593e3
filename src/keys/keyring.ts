import { leafOutlivesTokens, longestUseSeconds } from '../config/periods.ts';
import { CellpassError } from '../errors.ts';
import type { Log } from '../log.ts';
import { readOrGenerateKeys, refuseExpiredAuthority } from './first-start.ts';
import { type PublishedJwkSet, publishJwkSet } from './jwks.ts';
import {
  activeKey,
  isBundled,
  isPublished,
  issuingAuthority,
  type KeySet,
  type KeyStore,
} from './key-set.ts';
import { coversUse, type LeafPolicy, reissueDueLeaves } from './leaf-life.ts';
import { recordTokenLife } from './lifecycle.ts';
import type { MasterKey } from './master-key.ts';
import { NO_KEYS, type OpenKeySet, openKeySet } from './open-key-set.ts';
import type { SigningKey } from './signing-key.ts';
import { createSteadyClock, type SteadyClock } from './steady-clock.ts';

/** The key set of this cell: a copy in memory that follows the database. */
export interface Keyring {
  /**
   * The key that signs. Throws `unavailable` if no key is active, if the set was last read more
   * than 10 s ago, or if the key's leaf would expire before a token that is issued now.
   */
  active(): SigningKey;
  /**
   * The JWK Set; the same object until it changes. It is served even if the database is away,
   * because the last known set is more useful to a verifier than none.
   */
  published(): PublishedJwkSet;
  /** All CA certificates that registries should trust, oldest first: a `rootcertbundle` in PEM. */
  caPem(): string;
  /** The whole set with its private halves decrypted, for rotation. */
  open(): OpenKeySet;
  /** How the wall clock of this process has jumped. */
  readonly clock: Pick<SteadyClock, 'skippedMsSince' | 'latest'>;
  /**
   * Reads the set now. A call during a running read waits for one more read that begins after it.
   */
  refresh(): Promise<void>;
  close(): Promise<void>;
}

export interface KeyringOptions {
  readonly store: KeyStore;
  readonly masterKey: MasterKey;
  readonly now: () => Date;
  readonly cellId: number;
  readonly leafHours: number;
  /** The longest life of a token of any service. */
  readonly longestTokenLifeSeconds: number;
  readonly log: Pick<Log, 'info' | 'warn'>;
  /** The pause between two reads of the database; default 1 s. */
  readonly pollMs?: number;
  /** Elapsed milliseconds from an arbitrary start; setting the wall clock doesn't change it. */
  readonly monotonicMs?: () => number;
}

const MAX_AGE_MS = 10_000;
const POLL_MS = 1000;
const CA_WARNING_DAYS = 90;
const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Opens the stored keys, or generates them at the first start, and polls the database until closed.
 * Throws `conflict` if the master key can't decrypt them or the CA has expired, and `invalid` if
 * `leafHours` is too short for the tokens.
 */
export async function createKeyring(options: KeyringOptions): Promise<Keyring> {
  if (!leafOutlivesTokens(options.leafHours, options.longestTokenLifeSeconds)) {
    throw new CellpassError(
      'invalid',
      `keys.leaf_hours is ${options.leafHours}, too short for tokens of ${options.longestTokenLifeSeconds} s: three quarters of a leaf's life must be longer than a token's; set a larger value`,
    );
  }
  refuseExpiredAuthority(await readOrGenerate(options), options.now());
  const keyring = new PolledKeyring(options, {
    leafHours: options.leafHours,
    longestUseSeconds: longestUseSeconds(options.longestTokenLifeSeconds),
  });
  await keyring.refresh();
  keyring.poll();
  return keyring;
}

function readOrGenerate({
  store,
  log,
  now,
  longestTokenLifeSeconds,
  ...options
}: KeyringOptions): Promise<KeySet> {
  return readOrGenerateKeys(
    store,
    { ...options, now: now(), longestTokenSeconds: longestTokenLifeSeconds },
    (kid) => log.info({ kid }, 'first start: generated the keys of this cell'),
  );
}

/** Owns the timer. It is empty before its first `refresh`. */
class PolledKeyring implements Keyring {
  readonly #options: KeyringOptions;
  readonly #policy: LeafPolicy;
  readonly clock: SteadyClock;
  #open: OpenKeySet = NO_KEYS;
  readonly #monotonicMs: () => number;
  /** By `monotonicMs`. */
  #readAtMs = Number.NEGATIVE_INFINITY;
  #fingerprint = '';
  #active: SigningKey | undefined;
  #published = publishJwkSet([]);
  #running: Promise<void> | undefined;
  #queued: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #warned: string | undefined;
  #warnedOfAuthorityMs = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: KeyringOptions, policy: LeafPolicy) {
    this.#options = options;
    this.#policy = policy;
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now());
    this.clock = createSteadyClock(options.now, this.#monotonicMs);
  }

  active(): SigningKey {
    const now = this.#options.now();
    const ageMs = this.#monotonicMs() - this.#readAtMs;
    if (ageMs > MAX_AGE_MS) throw unavailable('the key set could not be read from the database for 10 s');
    const key = this.#active;
    if (key === undefined) throw unavailable('no signing key is active');
    const { certificate } = key;
    if (certificate === null || coversUse(certificate, now, this.#policy.longestUseSeconds)) return key;
    if (certificate.authorityId !== null)
      throw unavailable('the certificate of the signing key would expire before the token');
    // cellpass can't renew an imported certificate; registries that trust the `kid` ignore its
    // dates.
    return { ...key, x5c: [] };
  }

  published(): PublishedJwkSet {
    return this.#published;
  }

  caPem(): string {
    const now = this.#options.now();
    const bundled = this.#open.set.authorities.filter((authority) => isBundled(authority, now));
    return bundled.map(({ certificatePem }) => certificatePem).join('');
  }

  open(): OpenKeySet {
    return this.#open;
  }

  refresh(): Promise<void> {
    if (this.#running === undefined) {
      this.#running = this.#read().finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    }
    this.#queued ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#queued = undefined;
        return this.refresh();
      });
    return this.#queued;
  }

  /**
   * Starts polling. The pause begins after each read, so that a slow database gets no more queries.
   */
  poll(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#refreshAndPoll(), this.#options.pollMs ?? POLL_MS);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await Promise.allSettled([this.#running, this.#queued]);
  }

  async #refreshAndPoll(): Promise<void> {
    try {
      await this.refresh();
    } catch (error) {
      this.#warnOnce(error, 'could not read the key set from the database; retrying');
    }
    this.poll();
  }

  /** Logs one line for a series of equal failures, not one per second. */
  #warnOnce(error: unknown, message: string): void {
    if (this.#warned !== message) this.#options.log.warn({ err: error }, message);
    this.#warned = message;
  }

  /** Uses a new set only after all of its keys are open. */
  async #read(): Promise<void> {
    const readAt = this.#options.now();
    const readAtMs = this.#monotonicMs();
    const opened = await this.#openIfChanged(await this.#readRecorded());
    const open = await this.#reissueLeaves(opened);
    this.clock.observe(open.set.keys.map(({ kid }) => kid));
    this.#open = open;
    this.#readAtMs = readAtMs;
    this.#fingerprint = JSON.stringify(open.set);
    this.#warnOfAuthority(readAt);
    this.#active = activeKey({ keys: open.signingKeys });
    const published = publishJwkSet(this.#publishedKeys(readAt));
    if (published.etag !== this.#published.etag) this.#published = published;
  }

  /**
   * Registries judge the age of tokens by their own clocks, so a clock that jumped forward here
   * must not unpublish a key early.
   */
  #publishedKeys(now: Date): KeySet['keys'] {
    return this.#open.set.keys.filter((key) =>
      isPublished(key, new Date(now.getTime() - this.clock.skippedMsSince(key.kid))),
    );
  }

  /**
   * Logs once a day from 90 days before the end, because an admin must give every registry the next
   * CA.
   */
  #warnOfAuthority(now: Date): void {
    const authority = issuingAuthority(this.#open.set);
    if (authority === undefined) return;
    const leftMs = authority.notAfter.getTime() - now.getTime();
    const quietMs = this.#monotonicMs() - this.#warnedOfAuthorityMs;
    if (leftMs >= CA_WARNING_DAYS * DAY_MS || quietMs < DAY_MS) return;
    this.#warnedOfAuthorityMs = this.#monotonicMs();
    this.#options.log.warn(
      { ca: authority.id, notAfter: authority.notAfter.toISOString() },
      'the CA certificate expires soon: start its rotation with "cellpass keys stage-ca"',
    );
  }

  /**
   * Reads the set, and records this process's longest token life so that retirement respects it.
   */
  async #readRecorded(): Promise<KeySet> {
    const { store, longestTokenLifeSeconds } = this.#options;
    const set = await store.readKeySet();
    if (recordTokenLife(set, longestTokenLifeSeconds) === set) return set;
    return store.updateKeySet((current) => ({
      set: recordTokenLife(current, longestTokenLifeSeconds),
      events: [],
    }));
  }

  async #openIfChanged(set: KeySet): Promise<OpenKeySet> {
    if (JSON.stringify(set) === this.#fingerprint) return this.#open;
    const open = await openKeySet(set, this.#options.masterKey, this.#open);
    if (open.sealed.length > 0) {
      this.#options.log.warn(
        { keys: open.sealed },
        'another server changed the master key: copy its master.key to this host before the next start or rotation; until then this server uses the keys that it has open',
      );
    }
    return open;
  }

  /** If a leaf can't be issued, the next read retries; the old leaf is used while it is valid. */
  async #reissueLeaves(open: OpenKeySet): Promise<OpenKeySet> {
    const { store, masterKey, now, log } = this.#options;
    try {
      const set = await reissueDueLeaves(open, { store, policy: this.#policy, now: now() });
      this.#warned = undefined;
      if (set === open.set) return open;
      log.info({ kids: open.signingKeys.map(({ kid }) => kid) }, 'renewed the leaf certificates');
      return await openKeySet(set, masterKey, open);
    } catch (error) {
      this.#warnOnce(error, 'could not renew a leaf certificate; retrying');
      return open;
    }
  }
}

function unavailable(message: string): CellpassError {
  return new CellpassError('unavailable', message, { retryAfterSeconds: 1 });
}
