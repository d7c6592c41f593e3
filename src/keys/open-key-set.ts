import { type Authority, openAuthority } from './certificate.ts';
import type { KeySet, StoredKey } from './key-set.ts';
import type { MasterKey } from './master-key.ts';
import { openSigningKey, type SigningKey, toSigningKey } from './signing-key.ts';

/** A key set with its private halves decrypted and checked. */
export interface OpenKeySet {
  readonly set: KeySet;
  /** The keys that can sign: pending and active. */
  readonly signingKeys: readonly SigningKey[];
  /** The CAs that can issue, by id: pending and active. */
  readonly authorities: ReadonlyMap<string, Authority>;
  /**
   * Ids of keys and CAs that are open from before, but that this master key no longer decrypts,
   * because another server has changed the master key.
   */
  readonly sealed: readonly string[];
}

export const NO_KEYS: OpenKeySet = {
  set: { authorities: [], keys: [] },
  signingKeys: [],
  authorities: new Map(),
  sealed: [],
};

/**
 * Decrypts the private halves of a set. Entries that are open in `previous` stay open, even if they
 * were re-encrypted with a master key that this server doesn't have yet. Throws `conflict` if the
 * master key can't decrypt another entry, or if an entry's parts don't belong together.
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
    alreadyOpen: (stored) => previous.authorities.get(stored.id),
    open: (stored) => openAuthority(stored, masterKey),
    sealed,
  });
  const signingKeys = await openAll(set.keys, {
    idOf: ({ kid }) => kid,
    before: previous.set.keys,
    alreadyOpen: (stored) => reopenedKey(stored, previous),
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
  /** The entry as opened before, with its other columns as they are stored now. */
  readonly alreadyOpen: (stored: Stored) => Opened | undefined;
  readonly open: (stored: Stored) => Promise<Opened | undefined>;
  readonly sealed: string[];
}

async function openAll<Stored extends { readonly encryptedPrivateKey: string | null }, Opened>(
  entries: readonly Stored[],
  { idOf, before, alreadyOpen, open, sealed }: Opening<Stored, Opened>,
): Promise<readonly Opened[]> {
  const all: Opened[] = [];
  for (const stored of entries) {
    if (stored.encryptedPrivateKey === null) continue;
    const known = alreadyOpen(stored);
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
