import { longestUseSeconds } from '../config/periods.ts';
import { CellpassError } from '../errors.ts';
import type { KeyAction, KeyChange, KeyEvent, KeySet, StoredKey } from './key-set.ts';

/**
 * The life of signing keys as pure functions: pending → active → retired → gone, and revoked from any of them. Each takes the set as
 * it is under the key lock, and throws `conflict` or `not_found`, with what to do, where the state forbids the step.
 */

/** Who takes a step, when, and why. */
export interface Act {
  readonly now: Date;
  /** The latest time that the clock ever showed: where it was set back, tokens were issued until then. */
  readonly latest: Date;
  readonly actor: string;
  readonly reason: string | null;
}

/** What lets a pending key become active: the time that it was published, every registry's word, or an admin's. */
export type Permission = 'time' | 'acceptance' | 'force';

export interface Activation {
  readonly by: Permission;
  /** How long the key still has to be published, in milliseconds; none or less if it may sign. */
  readonly waitMs: (key: StoredKey) => number;
}

/** Adds a key in the state `pending`. One at a time, so that "the pending key" is one. */
export function stageKey(
  set: KeySet,
  key: StoredKey,
  act: Act,
  action: 'stage' | 'import' = 'stage',
): KeyChange {
  if (set.keys.some(({ kid }) => kid === key.kid)) {
    throw conflict(`the key ${key.kid} is here already`);
  }
  const other = pendingKey(set);
  if (other !== undefined) {
    throw conflict(
      `the key ${other.kid} is pending since ${other.createdAt.toISOString()}: activate it, or drop it with "cellpass keys retire ${other.kid}"`,
    );
  }
  // Published from now on, whenever it was made.
  const staged = { ...key, createdAt: act.now };
  return { set: { ...set, keys: [...set.keys, staged] }, events: [event(act, action, key.kid)] };
}

/** The pending key signs from now on; the one before is retired, its private half gone in the same moment. */
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

/** Drops a pending key. The active one can't be retired by itself: something must sign. */
export function retireKey(set: KeySet, kid: string, act: Act): KeyChange {
  const key = findKey(set, kid);
  if (key.state === 'active') {
    throw conflict(
      `the key ${kid} is active, and one always is: "cellpass keys rotate" replaces it, "cellpass keys revoke" if it may have leaked`,
    );
  }
  if (key.state !== 'pending') throw conflict(`the key ${kid} is ${key.state} already`);
  return { set: replaceKey(set, retired(key, act)), events: [event(act, 'retire', kid)] };
}

/**
 * Takes a key out of the JWK Set at once. If it was active, the pending one signs from now on, whatever time it was published, and
 * else `spare`, which is left out of the set when it isn't needed.
 */
export function revokeKey(set: KeySet, kid: string, spare: StoredKey | undefined, act: Act): KeyChange {
  const key = findKey(set, kid);
  if (key.state === 'revoked') throw conflict(`the key ${kid} is revoked already`);
  const revoked = replaceKey(set, {
    ...key,
    state: 'revoked',
    encryptedPrivateKey: null,
    revokedAt: act.now,
    revocationReason: act.reason,
    publishedUntil: act.now,
  });
  const said = event(act, 'revoke', kid);
  if (key.state !== 'active') return { set: revoked, events: [said] };
  const next = pendingKey(set) ?? spare;
  if (next === undefined) throw conflict('no key is ready to take over: try again');
  const successor: StoredKey = { ...next, state: 'active', activatedAt: act.now };
  return {
    set: replaceKey(revoked, successor),
    events: [said, event(act, 'activate', next.kid, `${kid} was revoked`)],
  };
}

/** How long a pending key still has to be published, in milliseconds, by a clock that was moved forward by `skippedMs` meanwhile. */
export function propagationLeftMs(
  { createdAt }: StoredKey,
  propagationSeconds: number,
  { now, skippedMs }: { readonly now: Date; readonly skippedMs: number },
): number {
  return createdAt.getTime() + propagationSeconds * 1000 + skippedMs - now.getTime();
}

/** Raises what the keys that can sign say of their longest token to `seconds`; the set itself if none says less. */
export function recordTokenLife(set: KeySet, seconds: number): KeySet {
  const isShort = (key: StoredKey): boolean =>
    key.encryptedPrivateKey !== null && key.longestTokenSeconds < seconds;
  if (!set.keys.some(isShort)) return set;
  return {
    ...set,
    keys: set.keys.map((key) => (isShort(key) ? { ...key, longestTokenSeconds: seconds } : key)),
  };
}

export function pendingKey(set: KeySet): StoredKey | undefined {
  return set.keys.find(({ state }) => state === 'pending');
}

export function activeKey(set: KeySet): StoredKey | undefined {
  return set.keys.find(({ state }) => state === 'active');
}

/** Throws `not_found`. Either id names a key. */
export function findKey(set: KeySet, id: string): StoredKey {
  const key = set.keys.find(({ kid, thumbprint }) => kid === id || thumbprint === id);
  if (key !== undefined) return key;
  throw new CellpassError('not_found', `no key has the id ${id}: see "cellpass keys list"`);
}

export function event(act: Act, action: KeyAction, subject: string | null, reason = act.reason): KeyEvent {
  return { at: act.now, actor: act.actor, action, subject, reason };
}

/**
 * Its tokens may live on, and their key with them. A key that never signed goes at once: canaries are nobody's.
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

/** Throws `conflict` with what to do instead. */
export function refuseUnlessPending({ kid, state, activatedAt }: StoredKey): void {
  if (state === 'pending') return;
  if (state === 'active') {
    throw conflict(`the key ${kid} is active since ${activatedAt?.toISOString()}: there is nothing to do`);
  }
  throw conflict(
    `the key ${kid} is ${state}, and its private half is gone: "cellpass keys stage" makes a new one`,
  );
}

function tooEarly({ kid, createdAt }: StoredKey, leftMs: number): string {
  return (
    `the key ${kid} is published since ${createdAt.toISOString()} and may sign in ${Math.ceil(leftMs / 1000)} s: ` +
    'wait, let every registry accept it ("cellpass keys probe"), or use --force, with which registries that read the JWK Set may refuse its tokens'
  );
}

function conflict(message: string): CellpassError {
  return new CellpassError('conflict', message);
}
