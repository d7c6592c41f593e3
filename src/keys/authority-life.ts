import { longestUseSeconds } from '../config/periods.ts';
import { CellpassError } from '../errors.ts';
import {
  type KeyCertificate,
  type KeyChange,
  type KeySet,
  keysChanged,
  pendingAuthority,
  type StoredAuthority,
} from './key-set.ts';
import { type Act, event } from './lifecycle.ts';

/**
 * The life of the CA as pure functions: pending (admins give registries the bundle with both CAs) →
 * active → retired (tokens with its leaves are still valid) → out of the bundle. Each function runs
 * on the set under the key lock.
 */

/** Adds a CA in the state `pending`. Throws `conflict` if a CA is pending already. */
export function stageAuthority(
  set: KeySet,
  authority: StoredAuthority,
  act: Act,
  action: 'stage_ca' | 'import_ca' = 'stage_ca',
): KeyChange {
  if (set.authorities.some(({ id }) => id === authority.id)) {
    throw new CellpassError('conflict', `the CA ${authority.id} is already in the key set`);
  }
  const other = pendingAuthority(set);
  if (other !== undefined) {
    throw new CellpassError(
      'conflict',
      `the CA ${other.id} has been pending since ${other.createdAt.toISOString()}: give every registry the output of "cellpass keys export-ca" and run "cellpass keys activate-ca", or drop it with "cellpass keys discard-ca"`,
    );
  }
  return {
    set: { ...set, authorities: [...set.authorities, authority] },
    events: [event(act, action, authority.id)],
  };
}

/**
 * Makes the pending CA `id` issue, and gives every key that can sign its leaf from `leaves` (by
 * `kid`) in the same transaction. The private half of the previous CA is deleted; its certificate
 * stays in the bundle while tokens with its leaves are valid.
 */
export function activateAuthority(
  set: KeySet,
  id: string,
  leaves: ReadonlyMap<string, KeyCertificate>,
  act: Act,
): KeyChange {
  const next = pendingAuthority(set);
  if (next === undefined || next.id !== id) {
    throw new CellpassError(
      'conflict',
      `the CA ${id} is no longer pending, because another admin activated or dropped it`,
    );
  }
  const authorities = set.authorities.map((authority) => {
    if (authority.id === id) return { ...authority, state: 'active' as const, activatedAt: act.now };
    return authority.state === 'active' ? retired(authority, set, act) : authority;
  });
  const keys = set.keys.map((key) => {
    if (key.encryptedPrivateKey === null || key.certificate?.authorityId == null) return key;
    const leaf = leaves.get(key.kid);
    if (leaf === undefined) throw keysChanged();
    return { ...key, certificate: leaf };
  });
  return { set: { authorities, keys }, events: [event(act, 'activate_ca', id)] };
}

/** Drops the pending CA. Throws `conflict` if there is none. */
export function discardAuthority(set: KeySet, act: Act): KeyChange {
  const pending = pendingAuthority(set);
  if (pending === undefined) throw new CellpassError('conflict', 'no CA is pending');
  const discarded: StoredAuthority = {
    ...pending,
    state: 'retired',
    encryptedPrivateKey: null,
    publishedUntil: act.now,
  };
  const authorities = set.authorities.map((authority) =>
    authority.id === discarded.id ? discarded : authority,
  );
  return { set: { ...set, authorities }, events: [event(act, 'discard_ca', discarded.id)] };
}

function retired(authority: StoredAuthority, set: KeySet, { latest }: Act): StoredAuthority {
  const longest = Math.max(...set.keys.map(({ longestTokenSeconds }) => longestTokenSeconds));
  return {
    ...authority,
    state: 'retired',
    encryptedPrivateKey: null,
    publishedUntil: new Date(latest.getTime() + longestUseSeconds(longest) * 1000),
  };
}
