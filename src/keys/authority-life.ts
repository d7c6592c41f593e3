import { longestUseSeconds } from '../config/periods.ts';
import { CellpassError } from '../errors.ts';
import {
  issuingAuthority,
  type KeyCertificate,
  type KeyChange,
  type KeySet,
  type StoredAuthority,
} from './key-set.ts';
import { type Act, event } from './lifecycle.ts';

/**
 * The life of the CA: pending (registries are given the bundle with both) → active → retired (its leaves may still be shown) → gone.
 * Pure functions under the key lock, as those of the keys.
 */

export function pendingAuthority(set: KeySet): StoredAuthority | undefined {
  return set.authorities.find(({ state }) => state === 'pending');
}

export function stageAuthority(
  set: KeySet,
  authority: StoredAuthority,
  act: Act,
  action: 'stage_ca' | 'import_ca' = 'stage_ca',
): KeyChange {
  if (set.authorities.some(({ id }) => id === authority.id)) {
    throw new CellpassError('conflict', `the CA ${authority.id} is here already`);
  }
  const other = pendingAuthority(set);
  if (other !== undefined) {
    throw new CellpassError(
      'conflict',
      `the CA ${other.id} is pending since ${other.createdAt.toISOString()}: give every registry "cellpass keys export-ca", then "cellpass keys activate-ca"; or "cellpass keys discard-ca"`,
    );
  }
  return {
    set: { ...set, authorities: [...set.authorities, authority] },
    events: [event(act, action, authority.id)],
  };
}

/**
 * The pending CA issues from now on, and every key that can sign shows a leaf of it in the same moment; `leaves` has one for each, by
 * `kid`. The CA before loses its private half, and stays in the bundle while tokens with its leaves live.
 */
export function activateAuthority(
  set: KeySet,
  id: string,
  leaves: ReadonlyMap<string, KeyCertificate>,
  act: Act,
): KeyChange {
  const next = pendingAuthority(set);
  if (next === undefined || next.id !== id) {
    throw new CellpassError('conflict', `the CA ${id} is not pending: another admin was faster`);
  }
  const authorities = set.authorities.map((authority) => {
    if (authority.id === id) return { ...authority, state: 'active' as const, activatedAt: act.now };
    return authority.state === 'active' ? retired(authority, set, act) : authority;
  });
  const keys = set.keys.map((key) => {
    if (key.encryptedPrivateKey === null || key.certificate?.authorityId == null) return key;
    const leaf = leaves.get(key.kid);
    if (leaf === undefined) throw new CellpassError('conflict', 'the keys changed meanwhile: try again');
    return { ...key, certificate: leaf };
  });
  return { set: { authorities, keys }, events: [event(act, 'activate_ca', id)] };
}

/** Drops a pending CA before anything was issued by it. */
export function discardAuthority(set: KeySet, act: Act): KeyChange {
  const pending = pendingAuthority(set);
  if (pending === undefined) throw new CellpassError('conflict', 'no CA is pending');
  const gone: StoredAuthority = {
    ...pending,
    state: 'retired',
    encryptedPrivateKey: null,
    publishedUntil: act.now,
  };
  const authorities = set.authorities.map((authority) => (authority.id === gone.id ? gone : authority));
  return { set: { ...set, authorities }, events: [event(act, 'discard_ca', gone.id)] };
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

/** Throws `unavailable` for a set that has none: the first start makes one. */
export function requireAuthority(set: KeySet): StoredAuthority {
  const authority = issuingAuthority(set);
  if (authority !== undefined) return authority;
  throw new CellpassError('unavailable', 'the cell has no CA yet: try again', { retryAfterSeconds: 1 });
}
