import { createHash } from 'node:crypto';
import { isPublished, type KeySet, type StoredKey } from '../keys/key-set.ts';
import { activeKey, pendingKey, propagationLeftMs } from '../keys/lifecycle.ts';

/** What the life of keys is timed by. */
export interface KeyPeriods {
  readonly propagationSeconds: number;
  /** 0: keys are rotated by hand alone. */
  readonly rotateEverySeconds: number;
}

/** Both as this process sees them; see `steady-clock.ts`. */
export interface Moment {
  readonly now: Date;
  readonly skippedMsSince: (kid: string) => number;
}

/** How much earlier than `rotateEverySeconds` a rotation may come, so that cells that were set up together don't rotate together. */
const JITTER = 0.05;

/** When the active key is replaced by itself; null where it never is. Every replica comes to the same answer. */
export function rotationDue(active: StoredKey, { rotateEverySeconds }: KeyPeriods): Date | null {
  if (rotateEverySeconds === 0 || active.activatedAt === null) return null;
  const fraction = createHash('sha256').update(active.kid).digest().readUInt32BE() / 2 ** 32;
  return new Date(active.activatedAt.getTime() + rotateEverySeconds * 1000 * (1 - JITTER * fraction));
}

export type PlannedStep = 'stage' | 'rotate';

/** What the schedule asks for at this moment. A time that was slept through is made up for at once, one step after the other. */
export function plannedStep(set: KeySet, periods: KeyPeriods, moment: Moment): PlannedStep | null {
  const active = activeKey(set);
  const due = active === undefined ? null : rotationDue(active, periods);
  if (due === null) return null;
  const leftMs = due.getTime() - moment.now.getTime();
  const pending = pendingKey(set);
  if (pending === undefined) return leftMs <= periods.propagationSeconds * 1000 ? 'stage' : null;
  return leftMs <= 0 && mayActivateIn(pending, periods, moment) <= 0 ? 'rotate' : null;
}

/** Milliseconds until time alone lets the pending key sign. */
export function mayActivateIn(key: StoredKey, { propagationSeconds }: KeyPeriods, moment: Moment): number {
  const skippedMs = moment.skippedMsSince(key.kid);
  return propagationLeftMs(key, propagationSeconds, { now: moment.now, skippedMs });
}

/** What will become of a key, in words, and when; `at` null: when an admin says so. */
export interface NextStep {
  readonly what: string;
  readonly at: Date | null;
}

export function nextStep(key: StoredKey, set: KeySet, periods: KeyPeriods, moment: Moment): NextStep {
  switch (key.state) {
    case 'pending':
      return nextOfPending(key, set, periods, moment);
    case 'active': {
      const due = rotationDue(key, periods);
      if (due === null) return { what: 'signs until "cellpass keys rotate"', at: null };
      return { what: 'is replaced by itself', at: due };
    }
    case 'retired':
      return isPublished(key, moment.now)
        ? { what: 'leaves the JWK Set', at: key.publishedUntil }
        : { what: 'gone', at: null };
    case 'revoked':
      return nextOfRevoked(key, moment.now);
  }
}

function nextOfPending(key: StoredKey, set: KeySet, periods: KeyPeriods, moment: Moment): NextStep {
  const active = activeKey(set);
  const due = active === undefined ? null : rotationDue(active, periods);
  const mayAt = new Date(moment.now.getTime() + Math.max(0, mayActivateIn(key, periods, moment)));
  if (due !== null) return { what: 'becomes active by itself', at: due > mayAt ? due : mayAt };
  return { what: '"cellpass keys rotate" makes it active, from then on', at: mayAt };
}

/** A registry that trusts the CA hears of no revocation: until the last leaf ends it would take what a thief signs. */
function nextOfRevoked({ certificate }: StoredKey, now: Date): NextStep {
  if (certificate === null)
    return { what: 'out of the JWK Set: registries that fetch it must do so now', at: null };
  if (certificate.notAfter <= now) return { what: 'gone: its certificate has expired', at: null };
  return { what: 'registries that trust its certificate take its tokens', at: certificate.notAfter };
}
