import type { webcrypto } from 'node:crypto';
import { calculateJwkThumbprint, importJWK } from 'jose';
import type { FederationSettings, IdTokenAlgorithm, IssuerSettings } from '../../config/federation.ts';
import type { Log } from '../../log.ts';
import { shortened } from '../../shortened.ts';
import { type FetchKeys, type PublicJwk, readKeySet } from './key-set.ts';
import { createKeyWaits, type KeyWaits } from './key-waits.ts';

export type VerificationKey = webcrypto.CryptoKey | Uint8Array;

/** The published keys of all issuers, in memory. */
export interface IssuerKeys {
  /**
   * The keys that may have signed a token, which are few; an empty list: the issuer has no such key.
   * `none`: no key of the issuer is known, or whether it has such a key can't be said now. Waits for
   * a fetch that may bring the key, but not for long, and only with few others.
   * @param issuer the name of an entry in the settings.
   */
  find(issuer: string, token: WantedKey): Promise<readonly VerificationKey[] | 'none'>;
  /** Of each entry, in the order of the settings. */
  stats(): readonly IssuerKeyStats[];
  /** Ends the fetches in the background. */
  close(): void;
}

interface WantedKey {
  readonly alg: IdTokenAlgorithm;
  /** Undefined: the token names no key, so that the set must leave no choice. */
  readonly kid: string | undefined;
}

export interface IssuerKeyStats {
  readonly name: string;
  readonly issuer: string;
  readonly keys: number;
  /** Seconds since the set was fetched; null: never. */
  readonly ageSeconds: number | null;
  /** Why the last fetch failed; null: it did not. */
  readonly problem: string | null;
}

export interface IssuerKeysOptions extends Pick<FederationSettings, 'issuers'> {
  readonly fetchKeys: FetchKeys;
  /** RFC 7638 thumbprints of this server's own keys, which no issuer may have. */
  readonly ownThumbprints: () => Promise<ReadonlySet<string>> | ReadonlySet<string>;
  readonly log: Pick<Log, 'warn'>;
  readonly monotonicMs?: () => number;
  /** Missing: one of its own. */
  readonly waits?: KeyWaits;
}

const REFRESH_MS = 10 * 60_000;
/** Between two fetches of one issuer: tokens with invented key ids must not make this server attack it. */
const COOLDOWN_MS = 30_000;
/** For so long the last good set serves while the issuer is away. */
const KEPT_MS = 24 * 60 * 60_000;

/** Begins to fetch at once, and again every ten minutes. */
export function createIssuerKeys(options: IssuerKeysOptions): IssuerKeys {
  const { issuers, monotonicMs = () => performance.now() } = options;
  const sets = new Map<string, FollowedKeySet>();
  const waits = options.waits ?? createKeyWaits();
  const followed = issuers.map((entry) => {
    // Entries that differ in their audience alone share one set.
    const place = JSON.stringify([entry.issuer, entry.keys]);
    const set = sets.get(place) ?? followKeySet(entry, { ...options, monotonicMs }, waits);
    sets.set(place, set);
    return { entry, set };
  });
  const byName = new Map(followed.map(({ entry, set }) => [entry.name, set]));
  const refreshAll = (): void => {
    for (const set of sets.values()) void set.refresh();
  };
  refreshAll();
  const timer = setInterval(refreshAll, REFRESH_MS).unref();
  return {
    find: async (issuer, token) => (await byName.get(issuer)?.find(token)) ?? 'none',
    stats: () =>
      followed.map(({ entry, set }) => ({ name: entry.name, issuer: entry.issuer, ...set.stats() })),
    close: () => clearInterval(timer),
  };
}

interface FollowedKeySet {
  find(token: WantedKey): Promise<readonly VerificationKey[] | 'none'>;
  /** Never rejects. */
  refresh(): Promise<void>;
  stats(): Omit<IssuerKeyStats, 'name' | 'issuer'>;
}

interface ReadKey {
  readonly jwk: PublicJwk;
  readonly thumbprint: string;
  /** Imported when a token needs it, once for each algorithm. */
  readonly imported: Map<string, Promise<VerificationKey>>;
}

function followKeySet(
  entry: IssuerSettings,
  { fetchKeys, ownThumbprints, log, monotonicMs }: Required<Omit<IssuerKeysOptions, 'waits'>>,
  waits: KeyWaits,
): FollowedKeySet {
  let known: readonly ReadKey[] = [];
  let fetchedMs: number | null = null;
  let triedMs = Number.NEGATIVE_INFINITY;
  let problem: string | null = null;
  let running: Promise<void> | null = null;
  let leftOut = '';

  const fetch = async (): Promise<void> => {
    try {
      const { keys, warnings } = readKeySet(await fetchKeys(entry));
      const own = await ownThumbprints();
      const read = await Promise.all(keys.map(toReadKey));
      const foreign = read.filter(({ thumbprint }) => !own.has(thumbprint));
      const said = shortened(
        [
          ...(foreign.length < read.length ? ["a key is one of this server's own, and is left out"] : []),
          ...warnings,
        ].join('; '),
      );
      if (said !== '' && said !== leftOut)
        log.warn({ issuer: entry.name, keys: said }, 'keys of an issuer are left out');
      leftOut = said;
      if (foreign.length === 0) throw new Error('the key set has no usable key');
      known = foreign;
      fetchedMs = monotonicMs();
      problem = null;
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
      log.warn({ err: error, issuer: entry.name }, "an issuer's keys could not be fetched");
    }
  };
  const refresh = (): Promise<void> => {
    if (running !== null) return running;
    triedMs = monotonicMs();
    running = fetch().finally(() => {
      running = null;
    });
    return running;
  };
  /** The keys in use, which must not be older than a day. */
  const current = (): readonly ReadKey[] =>
    fetchedMs !== null && monotonicMs() - fetchedMs <= KEPT_MS ? known : [];
  const mayFetch = (): boolean => running !== null || monotonicMs() - triedMs >= COOLDOWN_MS;

  return {
    async find(token) {
      const found = matching(current(), token);
      if (found.length > 0) return importAll(found, token);
      if (mayFetch() && !(await waits.wait(refresh()))) return 'none';
      const keys = current();
      return keys.length === 0 ? 'none' : importAll(matching(keys, token), token);
    },
    refresh,
    stats: () => ({
      keys: current().length,
      ageSeconds: fetchedMs === null ? null : Math.floor((monotonicMs() - fetchedMs) / 1000),
      problem,
    }),
  };
}

async function toReadKey(jwk: PublicJwk): Promise<ReadKey> {
  return { jwk, thumbprint: await calculateJwkThumbprint(jwk), imported: new Map() };
}

/** Without `kid` only where the set leaves no choice. */
function matching(keys: readonly ReadKey[], { alg, kid }: WantedKey): readonly ReadKey[] {
  const fitting = keys.filter(({ jwk }) => fits(jwk, alg));
  if (kid !== undefined) return fitting.filter(({ jwk }) => jwk.kid === kid);
  return fitting.length === 1 ? fitting : [];
}

/** RFC 7518 section 3.1 and RFC 8037: which keys an algorithm takes. */
const CURVES: Partial<Record<IdTokenAlgorithm, string>> = {
  ES256: 'P-256',
  ES384: 'P-384',
  ES512: 'P-521',
  EdDSA: 'Ed25519',
};

function fits({ alg: only, kty, crv }: PublicJwk, alg: IdTokenAlgorithm): boolean {
  if (only !== undefined && only !== alg) return false;
  const curve = CURVES[alg];
  return curve === undefined ? kty === 'RSA' : crv === curve;
}

function importAll(keys: readonly ReadKey[], { alg }: WantedKey): Promise<readonly VerificationKey[]> {
  return Promise.all(
    keys.map(({ jwk, imported }) => {
      const known = imported.get(alg) ?? Promise.resolve(importJWK(jwk, alg));
      imported.set(alg, known);
      return known;
    }),
  );
}
