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
export function stageAuthority(set: KeySet, authority: StoredAuthority, act: Act): KeyChange {
  if (set.authorities.some(({ id }) => id === authority.id)) throw alreadyThere(authority);
  return addPending(set, authority, act, 'stage_ca');
}

/**
 * Adds an imported CA in the state `pending`. A CA that was retired or discarded comes back; one
 * that is pending or active gets another certificate of the same name, such as a longer one: leaves
 * name their issuer, so that both certificates verify them. Throws `conflict` for a CA that is there
 * already with nothing new.
 */
export function addImportedAuthority(
  set: KeySet,
  authority: StoredAuthority,
  act: Act,
  hasSameName: (one: StoredAuthority, other: StoredAuthority) => boolean,
): KeyChange {
  const known = set.authorities.find(({ id }) => id === authority.id);
  if (known === undefined || known.state === 'retired') return addPending(set, authority, act, 'import_ca');
  if (known.certificatePem === authority.certificatePem) throw alreadyThere(authority);
  if (known.state === 'active' && !hasSameName(known, authority)) {
    throw new CellpassError(
      'conflict',
      `the CA ${known.id} is active, and the certificate has another subject: its leaves would no longer verify`,
    );
  }
  const { certificatePem, notAfter } = authority;
  return {
    set: replaceAuthority(set, { ...known, certificatePem, notAfter }),
    events: [event(act, 'import_ca', known.id, 'another certificate')],
  };
}

function alreadyThere({ id }: StoredAuthority): CellpassError {
  return new CellpassError('conflict', `the CA ${id} is already in the key set`);
}

function addPending(
  set: KeySet,
  authority: StoredAuthority,
  act: Act,
  action: 'stage_ca' | 'import_ca',
): KeyChange {
  const other = pendingAuthority(set);
  if (other !== undefined) {
    throw new CellpassError(
      'conflict',
      `the CA ${other.id} has been pending since ${other.createdAt.toISOString()}: give every registry the output of "cellpass keys export-ca" and run "cellpass keys activate-ca", or drop it with "cellpass keys discard-ca"`,
    );
  }
  return { set: replaceAuthority(set, authority), events: [event(act, action, authority.id)] };
}

function replaceAuthority(set: KeySet, next: StoredAuthority): KeySet {
  return { ...set, authorities: [...set.authorities.filter(({ id }) => id !== next.id), next] };
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
