import { type Authority, generateAuthority, type LeafLife, openAuthority } from './certificate.ts';
import { issuingAuthority, type KeySet, type StoredKey } from './key-set.ts';
import type { MasterKey } from './master-key.ts';
import { generateSigningKey, openSigningKey, type SigningKey, toSigningKey } from './signing-key.ts';

/** A key set with its private halves decrypted and checked. */
export interface OpenKeySet {
  readonly set: KeySet;
  /** Those that can sign: pending and active. */
  readonly signingKeys: readonly SigningKey[];
  /** Those that can issue: pending and active. */
  readonly authorities: ReadonlyMap<string, Authority>;
  /** What doesn't open with this master key, though it was open before: another server has changed the master key. */
  readonly sealed: readonly string[];
}

export const NO_KEYS: OpenKeySet = {
  set: { authorities: [], keys: [] },
  signingKeys: [],
  authorities: new Map(),
  sealed: [],
};

/**
 * Opens a set. What `previous` holds open stays open, even if it was encrypted anew under a master key that this server doesn't have
 * yet. Throws `conflict` if anything else doesn't open with the master key, or doesn't fit together.
 */
export async function openKeySet(
  set: KeySet,
  masterKey: MasterKey,
  previous: OpenKeySet = NO_KEYS,
): Promise<OpenKeySet> {
  const sealed: string[] = [];
  const authorities = await openAll(set.authorities, {
    idOf: ({ id }) => id,
    before: previous.set.authorities,
    opened: (stored) => previous.authorities.get(stored.id),
    open: (stored) => openAuthority(stored, masterKey),
    sealed,
  });
  const signingKeys = await openAll(set.keys, {
    idOf: ({ kid }) => kid,
    before: previous.set.keys,
    opened: (stored) => reopenedKey(stored, previous),
    open: (stored) => openSigningKey(stored, masterKey),
    sealed,
  });
  return {
    set,
    signingKeys,
    authorities: new Map(authorities.map((authority) => [authority.id, authority])),
    sealed,
  };
}

interface Opening<Stored, Opened> {
  readonly idOf: (stored: Stored) => string;
  readonly before: readonly Stored[];
  /** What is open already, with the rest as it is stored now. */
  readonly opened: (stored: Stored) => Opened | undefined;
  readonly open: (stored: Stored) => Promise<Opened | undefined>;
  readonly sealed: string[];
}

async function openAll<Stored extends { readonly encryptedPrivateKey: string | null }, Opened>(
  entries: readonly Stored[],
  { idOf, before, opened, open, sealed }: Opening<Stored, Opened>,
): Promise<readonly Opened[]> {
  const all: Opened[] = [];
  for (const stored of entries) {
    if (stored.encryptedPrivateKey === null) continue;
    const known = opened(stored);
    const same = before.some(
      (one) => idOf(one) === idOf(stored) && one.encryptedPrivateKey === stored.encryptedPrivateKey,
    );
    if (known !== undefined && same) {
      all.push(known);
      continue;
    }
    const fresh = await open(stored).catch((error: unknown) => {
      if (known === undefined) throw error;
      sealed.push(idOf(stored));
      return known;
    });
    if (fresh !== undefined) all.push(fresh);
  }
  return all;
}

function reopenedKey(stored: StoredKey, { signingKeys }: OpenKeySet): SigningKey | undefined {
  const key = signingKeys.find(({ kid }) => kid === stored.kid);
  return key === undefined ? undefined : toSigningKey(stored, key.sign);
}

/**
 * The keys of a cell that starts for the first time: a CA, unless `set` has one, and a key that is active at once, because no
 * verifier can depend on an earlier one.
 */
export async function generateFirstKeys(
  set: KeySet,
  input: {
    readonly cellId: number;
    readonly masterKey: MasterKey;
    readonly now: Date;
    readonly longestTokenSeconds: number;
  } & LeafLife,
): Promise<KeySet> {
  const existing = issuingAuthority(set);
  const stored = existing ?? {
    ...(await generateAuthority(input)),
    state: 'active' as const,
    activatedAt: input.now,
  };
  const authority = await openAuthority(stored, input.masterKey);
  if (authority === undefined) throw new Error('an active CA has a private half');
  const key = await generateSigningKey({ ...input, authority });
  return {
    authorities: existing === undefined ? [...set.authorities, stored] : set.authorities,
    keys: [{ ...key, state: 'active', activatedAt: input.now }],
  };
}
