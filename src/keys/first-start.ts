import { CellpassError } from '../errors.ts';
import { generateAuthority, type LeafLife, openAuthority } from './certificate.ts';
import { issuingAuthority, type KeySet, type KeyStore } from './key-set.ts';
import type { MasterKey } from './master-key.ts';
import { generateSigningKey } from './signing-key.ts';

export interface FirstKeysInput extends LeafLife {
  readonly cellId: number;
  readonly masterKey: MasterKey;
  readonly now: Date;
  readonly longestTokenSeconds: number;
}

/**
 * Reads the stored keys, or generates the first ones. If several replicas start at once, the first
 * one to get the lock stores its keys and the others use those.
 * @param onFirstStart is called with the `kid` of the first key.
 */
export async function readOrGenerateKeys(
  store: KeyStore,
  input: FirstKeysInput,
  onFirstStart: (kid: string | undefined) => void,
): Promise<KeySet> {
  const set = await store.readKeySet();
  if (set.keys.length > 0) return set;
  // Generating keys is slow, so it is done before the lock is taken.
  const generated = await generateFirstKeys(set, input);
  const event = {
    at: input.now,
    actor: 'cellpass serve',
    action: 'first_start',
    subject: generated.keys[0]?.kid ?? null,
    reason: null,
  } as const;
  const stored = await store.updateKeySet((current) =>
    current.keys.length > 0 ? { set: current, events: [] } : { set: generated, events: [event] },
  );
  onFirstStart(stored.keys[0]?.kid);
  return stored;
}

/**
 * Generates the keys of a cell that starts for the first time: a CA, unless `set` has one, and a
 * signing key that is active at once, because no verifier knows an earlier one.
 */
export async function generateFirstKeys(set: KeySet, input: FirstKeysInput): Promise<KeySet> {
  const existing = issuingAuthority(set);
  const stored = existing ?? {
    ...(await generateAuthority(input)),
    state: 'active' as const,
    activatedAt: input.now,
  };
  const authority = await openAuthority(stored, input.masterKey);
  if (authority === undefined) throw new Error(`the active CA ${stored.id} has no private half`);
  const key = await generateSigningKey({ ...input, authority });
  return {
    authorities: existing === undefined ? [...set.authorities, stored] : set.authorities,
    keys: [{ ...key, state: 'active', activatedAt: input.now }],
  };
}

/** Throws `conflict` if the certificate of the active CA has expired at `now`. */
export function refuseExpiredAuthority(set: KeySet, now: Date): void {
  const authority = issuingAuthority(set);
  if (authority === undefined || authority.notAfter > now) return;
  throw new CellpassError(
    'conflict',
    `the certificate of the CA ${authority.id} expired at ${authority.notAfter.toISOString()}, and registries accept no token with its leaves: ` +
      'correct the clock if it is wrong; otherwise run "cellpass keys reset", and give every registry the new CA',
  );
}
