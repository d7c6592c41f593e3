import { leafOutlivesTokens, longestUseSeconds } from '../config/periods.ts';
import { CellpassError } from '../errors.ts';
import { type PublishedJwkSet, publishJwkSet } from './jwks.ts';
import { isBundled, isPublished, issuingAuthority, type KeySet, type KeyStore } from './key-set.ts';
import { coversUse, type LeafPolicy, reissueDueLeaves } from './leaf-life.ts';
import { recordTokenLife } from './lifecycle.ts';
import type { MasterKey } from './master-key.ts';
import { generateFirstKeys, NO_KEYS, type OpenKeySet, openKeySet } from './open-key-set.ts';
import type { SigningKey } from './signing-key.ts';
import { createSteadyClock, type SteadyClock } from './steady-clock.ts';

/** The key set of this cell, held in memory and followed in the database. */
export interface Keyring {
  /**
   * The key that signs. Throws `unavailable` if there is none, if the set was read more than 10 s ago, or if the key's leaf would
   * not outlive a token.
   */
  active(): SigningKey;
  /** What verifiers may fetch; the same object until it changes. It doesn't age: a verifier is better off with the last known set. */
  published(): PublishedJwkSet;
  /** All CA certificates that registries should trust, oldest first: a `rootcertbundle`. */
  caPem(): string;
  /** The whole set, open, for whoever changes it. */
  open(): OpenKeySet;
  /** What this process knows of the clock. */
  readonly clock: Pick<SteadyClock, 'skippedMsSince' | 'latest'>;
  /** Reads the set now. A call while one runs waits for another that begins after it. */
  refresh(): Promise<void>;
  close(): Promise<void>;
}

/** pino, or what looks like it. */
export interface KeyringLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface KeyringOptions {
  readonly store: KeyStore;
  readonly masterKey: MasterKey;
  readonly now: () => Date;
  readonly cellId: number;
  readonly leafHours: number;
  /** The longest `exp` − now that any service may be given. */
  readonly longestTokenLifeSeconds: number;
  readonly log: KeyringLog;
  /** How often the database is asked; 1 s. */
  readonly pollMs?: number;
  /** Time that no clock setting changes, in milliseconds from any beginning. */
  readonly monotonicMs?: () => number;
}

const MAX_AGE_MS = 10_000;
const POLL_MS = 1000;
const CA_WARNING_DAYS = 90;
const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Opens the stored keys, or at the first start makes them, and follows them until closed. Throws `conflict` if the master key
 * doesn't fit or the CA is expired, `invalid` if `leafHours` is too short for the tokens.
 */
export async function createKeyring(options: KeyringOptions): Promise<Keyring> {
  if (!leafOutlivesTokens(options.leafHours, options.longestTokenLifeSeconds)) {
    throw new CellpassError(
      'invalid',
      `keys.leaf_hours ${options.leafHours} is too short for tokens of ${options.longestTokenLifeSeconds} s: with a quarter of its life gone a leaf must still outlive them`,
    );
  }
  checkAuthorities(await readOrGenerate(options), options);
  const keyring = new PolledKeyring(options, {
    leafHours: options.leafHours,
    longestUseSeconds: longestUseSeconds(options.longestTokenLifeSeconds),
  });
  await keyring.refresh();
  keyring.poll();
  return keyring;
}

/** The slow work comes before the lock, the decision under it: of several that start at once the first one's keys are everyone's. */
async function readOrGenerate(options: KeyringOptions): Promise<KeySet> {
  const set = await options.store.readKeySet();
  if (set.keys.length > 0) return set;
  const now = options.now();
  const generated = await generateFirstKeys(set, {
    ...options,
    now,
    longestTokenSeconds: options.longestTokenLifeSeconds,
  });
  const subject = generated.keys[0]?.kid ?? null;
  const event = { at: now, actor: 'cellpass serve', action: 'first_start', subject, reason: null } as const;
  const stored = await options.store.updateKeySet((current) =>
    current.keys.length > 0 ? { set: current, events: [] } : { set: generated, events: [event] },
  );
  options.log.info({ kid: stored.keys[0]?.kid }, 'first start: the cell has its keys');
  return stored;
}

function checkAuthorities(set: KeySet, { now }: KeyringOptions): void {
  const authority = issuingAuthority(set);
  if (authority === undefined) return;
  const notAfter = authority.notAfter.toISOString();
  if (authority.notAfter <= now()) {
    throw new CellpassError(
      'conflict',
      `the CA certificate expired at ${notAfter}, and registries accept nothing that it issued: set the clock right if it is wrong; ` +
        'if not, the cell needs an empty key store and a new CA, which every registry must be given',
    );
  }
}

/** Owns the timer. Knows nothing before its first `refresh`. */
class PolledKeyring implements Keyring {
  readonly #options: KeyringOptions;
  readonly #policy: LeafPolicy;
  readonly clock: SteadyClock;
  #open: OpenKeySet = NO_KEYS;
  readonly #monotonicMs: () => number;
  /** By a clock that nobody can set. */
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
    if (ageMs > MAX_AGE_MS) throw unavailable('the key set could not be read for some seconds');
    const key = this.#active;
    if (key === undefined) throw unavailable('no signing key is active');
    const { certificate } = key;
    if (certificate === null || coversUse(certificate, now, this.#policy.longestUseSeconds)) return key;
    if (certificate.authorityId !== null) throw unavailable('the signing key has no certificate that lasts');
    // An imported certificate can't be issued anew; registries that know the key by `kid` don't look at its dates.
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

  /** Follows the database from now on. The next read is timed from the end of the last, so that a slow database is not asked more. */
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
      this.#warnOnce(error, 'the key set could not be read; trying again');
    }
    this.poll();
  }

  /** One line for each run of failures, not one a second. */
  #warnOnce(error: unknown, message: string): void {
    if (this.#warned !== message) this.#options.log.warn({ err: error }, message);
    this.#warned = message;
  }

  /** Nothing of a set is shown before all of it opened. */
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
    this.#active = activeKey(open);
    const published = publishJwkSet(this.#publishedKeys(readAt));
    if (published.etag !== this.#published.etag) this.#published = published;
  }

  /** Tokens die by the clocks of registries: one that was moved forward here must not end the publication of their key. */
  #publishedKeys(now: Date): KeySet['keys'] {
    const passed = (kid: string): Date => new Date(now.getTime() - this.clock.skippedMsSince(kid));
    return this.#open.set.keys.filter((key) => isPublished(key, passed(key.kid)));
  }

  /** Once a day, and long before: every registry has to be given the next one. */
  #warnOfAuthority(now: Date): void {
    const authority = issuingAuthority(this.#open.set);
    if (authority === undefined) return;
    const leftMs = authority.notAfter.getTime() - now.getTime();
    const quietMs = this.#monotonicMs() - this.#warnedOfAuthorityMs;
    if (leftMs >= CA_WARNING_DAYS * DAY_MS || quietMs < DAY_MS) return;
    this.#warnedOfAuthorityMs = this.#monotonicMs();
    this.#options.log.warn(
      { ca: authority.id, notAfter: authority.notAfter.toISOString() },
      'the CA certificate expires soon: "cellpass keys stage-ca" begins its rotation',
    );
  }

  /** Sees to it that retirement will keep a key published for this process's tokens, too. */
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
        'the master key was changed by another server: copy its master.key here before the next start or rotation; the keys that are open stay in use',
      );
    }
    return open;
  }

  /** A leaf that can't be issued now is tried again at the next read; the old one shows while its dates allow it. */
  async #reissueLeaves(open: OpenKeySet): Promise<OpenKeySet> {
    const { store, masterKey, now, log } = this.#options;
    try {
      const set = await reissueDueLeaves(open, { store, policy: this.#policy, now: now() });
      this.#warned = undefined;
      if (set === open.set) return open;
      log.info({ kids: open.signingKeys.map(({ kid }) => kid) }, 'leaf certificates issued anew');
      return await openKeySet(set, masterKey, open);
    } catch (error) {
      this.#warnOnce(error, 'a leaf certificate could not be issued; trying again');
      return open;
    }
  }
}

function activeKey({ signingKeys }: OpenKeySet): SigningKey | undefined {
  return signingKeys.find(({ state }) => state === 'active');
}

function unavailable(message: string): CellpassError {
  return new CellpassError('unavailable', message, { retryAfterSeconds: 1 });
}
