import { longestUseSeconds } from '../config/periods.ts';
import { CellpassError } from '../errors.ts';
import {
  findKey,
  type KeyAction,
  type KeyChange,
  type KeyEvent,
  type KeySet,
  pendingKey,
  type StoredKey,
} from './key-set.ts';

/**
 * The life of signing keys as pure functions: pending → active → retired → out of the JWK Set; a
 * key in any of these states can be revoked. Each function runs on the set under the key lock and
 * throws `conflict` or `not_found`, with what to do, if the key's state forbids the step.
 */

/** Who changes the keys, when, and why. */
export interface Act {
  readonly now: Date;
  /** The latest time that the clock ever showed: tokens issued before it was set back end later. */
  readonly latest: Date;
  readonly actor: string;
  readonly reason: string | null;
}

/**
 * Why a pending key may become active: it was published long enough, every registry accepted it, or
 * the admin used `--force`.
 */
export type Permission = 'time' | 'acceptance' | 'force';

export interface Activation {
  readonly by: Permission;
  /**
   * How long the key must still be published before it may sign, in milliseconds; 0 or less: it
   * may.
   */
  readonly waitMs: (key: StoredKey) => number;
}

/** Adds a key in the state `pending`. Throws `conflict` if a key is pending already. */
export function stageKey(set: KeySet, key: StoredKey, act: Act): KeyChange {
  if (set.keys.some(({ kid }) => kid === key.kid)) {
    throw conflict(`the key ${key.kid} is already in the key set`);
  }
  return addPending(set, key, act, 'stage');
}

/**
 * Adds an imported key in the state `pending`. A key that was retired or dropped comes back; one
 * that is pending or active gets the certificate that was imported with it. Throws `conflict` for a
 * revoked key, and for a key that is there already with nothing new.
 */
export function importKey(set: KeySet, key: StoredKey, act: Act): KeyChange {
  const known = set.keys.find(({ kid }) => kid === key.kid);
  if (known === undefined) return addPending(set, key, act, 'import');
  if (known.state === 'revoked') {
    throw conflict(`the key ${key.kid} was revoked (${known.revocationReason}): it can't come back`);
  }
  if (known.state === 'retired') {
    const longestTokenSeconds = Math.max(known.longestTokenSeconds, key.longestTokenSeconds);
    return addPending(set, { ...key, longestTokenSeconds }, act, 'import');
  }
  const { certificate } = key;
  if (certificate === null || certificate.pem === known.certificate?.pem) {
    throw conflict(`the key ${key.kid} is already in the key set, and is ${known.state}`);
  }
  const events = [event(act, 'import', key.kid, 'another certificate')];
  return { set: replaceKey(set, { ...known, certificate }), events };
}

function addPending(set: KeySet, key: StoredKey, act: Act, action: 'stage' | 'import'): KeyChange {
  const other = pendingKey(set);
  if (other !== undefined) {
    throw conflict(
      `the key ${other.kid} is pending since ${other.createdAt.toISOString()}: activate it, or drop it with "cellpass keys retire ${other.kid}"`,
    );
  }
  // The key may have been generated a while ago, but it is published from now on.
  const staged = { ...key, createdAt: act.now };
  return { set: replaceKey(set, staged), events: [event(act, action, key.kid)] };
}

/** Makes the pending key sign, retires the active one and deletes its private half. */
export function activateKey(set: KeySet, kid: string, { by, waitMs }: Activation, act: Act): KeyChange {
  const key = findKey(set, kid);
  refuseUnlessPending(key);
  const leftMs = waitMs(key);
  if (by === 'time' && leftMs > 0) throw conflict(tooEarly(key, leftMs));
  const keys = set.keys.map((one) => {
    if (one.kid === kid) return { ...one, state: 'active' as const, activatedAt: act.now };
    return one.state === 'active' ? retired(one, act) : one;
  });
  return { set: { ...set, keys }, events: [event(act, 'activate', kid, PERMISSION_WORDS[by])] };
}

const PERMISSION_WORDS: Readonly<Record<Permission, string>> = {
  time: 'published for the propagation time',
  acceptance: 'accepted by every registry',
  force: 'forced',
};

/** Drops a pending key. An active key can only be replaced, because one key must always sign. */
export function retireKey(set: KeySet, kid: string, act: Act): KeyChange {
  const key = findKey(set, kid);
  if (key.state === 'active') {
    throw conflict(
      `the key ${kid} is active, and a cell always needs an active key: use "cellpass keys rotate" to replace it, or "cellpass keys revoke" if it may have leaked`,
    );
  }
  if (key.state !== 'pending') throw conflict(`the key ${kid} is already ${key.state}`);
  return { set: replaceKey(set, retired(key, act)), events: [event(act, 'retire', kid)] };
}

/**
 * Removes a key from the JWK Set at once. If it was active, the pending key takes over, however
 * short it has been published, or `spare` if no key is pending. A `spare` that isn't needed is not
 * stored.
 */
export function revokeKey(set: KeySet, kid: string, spare: StoredKey | undefined, act: Act): KeyChange {
  const key = findKey(set, kid);
  if (key.state === 'revoked') throw conflict(`the key ${kid} is already revoked`);
  const revoked = replaceKey(set, {
    ...key,
    state: 'revoked',
    encryptedPrivateKey: null,
    revokedAt: act.now,
    revocationReason: act.reason,
    publishedUntil: act.now,
  });
  const revocation = event(act, 'revoke', kid);
  if (key.state !== 'active') return { set: revoked, events: [revocation] };
  const next = pendingKey(set) ?? spare;
  if (next === undefined) throw conflict(`no key can take over from ${kid}: try again`);
  const successor: StoredKey = { ...next, state: 'active', activatedAt: act.now };
  return {
    set: replaceKey(revoked, successor),
    events: [revocation, event(act, 'activate', next.kid, `${kid} was revoked`)],
  };
}

/**
 * Raises `longestTokenSeconds` of all keys that can sign to at least `seconds`. Returns `set`
 * itself if there is nothing to raise.
 */
export function recordTokenLife(set: KeySet, seconds: number): KeySet {
  const isShort = (key: StoredKey): boolean =>
    key.encryptedPrivateKey !== null && key.longestTokenSeconds < seconds;
  if (!set.keys.some(isShort)) return set;
  return {
    ...set,
    keys: set.keys.map((key) => (isShort(key) ? { ...key, longestTokenSeconds: seconds } : key)),
  };
}

/** An audit entry for `act`; `reason` replaces the reason of `act`. */
export function event(act: Act, action: KeyAction, subject: string | null, reason = act.reason): KeyEvent {
  return { at: act.now, actor: act.actor, action, subject, reason };
}

/**
 * The key stays published while its tokens are valid. A key that was never active signed nothing
 * but canary tokens, so it leaves the JWK Set at once.
 */
function retired(key: StoredKey, { now, latest }: Act): StoredKey {
  const lastUse = latest.getTime() + longestUseSeconds(key.longestTokenSeconds) * 1000;
  return {
    ...key,
    state: 'retired',
    encryptedPrivateKey: null,
    retiredAt: now,
    publishedUntil: key.state === 'active' ? new Date(lastUse) : now,
  };
}

function replaceKey(set: KeySet, next: StoredKey): KeySet {
  const others = set.keys.filter(({ kid }) => kid !== next.kid);
  return { ...set, keys: [...others, next] };
}

/** Throws `conflict` if the key can't become active, with what to do instead. */
export function refuseUnlessPending({ kid, state, activatedAt }: StoredKey): void {
  if (state === 'pending') return;
  if (state === 'active') {
    throw conflict(
      `the key ${kid} has been active since ${activatedAt?.toISOString()}: there is nothing to do`,
    );
  }
  throw conflict(
    `the key ${kid} is ${state} and its private half is deleted: make a new key with "cellpass keys stage"`,
  );
}

function tooEarly({ kid, createdAt }: StoredKey, leftMs: number): string {
  return (
    `the key ${kid} has been published since ${createdAt.toISOString()} and may sign in ${Math.ceil(leftMs / 1000)} s: ` +
    'wait, make every registry accept it ("cellpass keys probe"), or use --force, which lets registries refuse its tokens until they fetch the JWK Set'
  );
}

function conflict(message: string): CellpassError {
  return new CellpassError('conflict', message);
}
