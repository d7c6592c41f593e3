import { type Authority, generateAuthority, type LeafLife, openAuthority } from './certificate.ts';
import { issuingAuthority, type KeySet } from './key-set.ts';
import type { MasterKey } from './master-key.ts';
import { generateSigningKey, openSigningKey, type SigningKey } from './signing-key.ts';

/** A key set with its private halves decrypted and checked. */
export interface OpenKeySet {
  readonly set: KeySet;
  /** Those that can sign: pending and active. */
  readonly signingKeys: readonly SigningKey[];
  readonly authorities: ReadonlyMap<string, Authority>;
}

/** Throws `conflict` if anything in the set doesn't open with the master key, or doesn't fit together. */
export async function openKeySet(set: KeySet, masterKey: MasterKey): Promise<OpenKeySet> {
  const authorities = await Promise.all(set.authorities.map((stored) => openAuthority(stored, masterKey)));
  const keys = await Promise.all(set.keys.map((stored) => openSigningKey(stored, masterKey)));
  return {
    set,
    signingKeys: keys.filter((key) => key !== undefined),
    authorities: new Map(authorities.map((authority) => [authority.id, authority])),
  };
}

/**
 * The keys of a cell that starts for the first time: a CA, unless `set` has one, and a key that is active at once, because no
 * verifier can depend on an earlier one.
 */
export async function generateFirstKeys(
  set: KeySet,
  input: { readonly cellId: number; readonly masterKey: MasterKey; readonly now: Date } & LeafLife,
): Promise<KeySet> {
  const existing = issuingAuthority(set);
  const stored = existing ?? (await generateAuthority(input));
  const authority = await openAuthority(stored, input.masterKey);
  const key = await generateSigningKey({ ...input, authority });
  return {
    authorities: existing === undefined ? [stored] : set.authorities,
    keys: [{ ...key, state: 'active', activatedAt: input.now }],
  };
}
