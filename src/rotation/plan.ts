import { createHash } from 'node:crypto';
import { activeKey, isPublished, type KeySet, pendingKey, type StoredKey } from '../keys/key-set.ts';
import { type Moment, mayActivateIn } from './permit.ts';

/** The settings that the rotation of keys depends on. */
export interface KeyPeriods {
  /** How long a key is published before it may sign. */
  readonly propagationSeconds: number;
  /** 0: only admins rotate keys. */
  readonly rotateEverySeconds: number;
}

/**
 * The part of `rotateEverySeconds` by which a rotation may come early, so that cells that were set
 * up together don't rotate together.
 */
const JITTER = 0.05;

/** When the active key rotates automatically; null: never. Every replica computes the same time. */
export function rotationDue(active: StoredKey, { rotateEverySeconds }: KeyPeriods): Date | null {
  if (rotateEverySeconds === 0 || active.activatedAt === null) return null;
  const fraction = createHash('sha256').update(active.kid).digest().readUInt32BE() / 2 ** 32;
  return new Date(active.activatedAt.getTime() + rotateEverySeconds * 1000 * (1 - JITTER * fraction));
}

export type PlannedStep = 'stage' | 'rotate';

/**
 * The step that the schedule takes at this moment; null: none. Steps that were missed while
 * cellpass was down follow at once, one after another.
 */
export function plannedStep(set: KeySet, periods: KeyPeriods, moment: Moment): PlannedStep | null {
  const active = activeKey(set);
  const due = active === undefined ? null : rotationDue(active, periods);
  if (due === null) return null;
  const leftMs = due.getTime() - moment.now.getTime();
  const pending = pendingKey(set);
  if (pending === undefined) return leftMs <= periods.propagationSeconds * 1000 ? 'stage' : null;
  return leftMs <= 0 && mayActivateIn(pending, periods, moment) <= 0 ? 'rotate' : null;
}

/**
 * What happens to a key next, in words that `at` completes; `at` null: nothing, or when an admin does
 * it.
 */
export interface NextStep {
  readonly what: string;
  readonly at: Date | null;
}

/** The next step in the life of `key`, for `keys list`. */
export function nextStep(key: StoredKey, set: KeySet, periods: KeyPeriods, moment: Moment): NextStep {
  switch (key.state) {
    case 'pending':
      return nextOfPending(key, set, periods, moment);
    case 'active': {
      const due = rotationDue(key, periods);
      if (due === null) return { what: 'signs until "cellpass keys rotate"', at: null };
      return { what: 'rotates automatically on', at: due };
    }
    case 'retired':
      return isPublished(key, moment.now)
        ? { what: 'leaves the JWK Set on', at: key.publishedUntil }
        : { what: 'no longer published', at: null };
    case 'revoked':
      return nextOfRevoked(key, moment.now);
  }
}

function nextOfPending(key: StoredKey, set: KeySet, periods: KeyPeriods, moment: Moment): NextStep {
  const active = activeKey(set);
  const due = active === undefined ? null : rotationDue(active, periods);
  const mayAt = new Date(moment.now.getTime() + Math.max(0, mayActivateIn(key, periods, moment)));
  if (due !== null) return { what: 'becomes active automatically on', at: due > mayAt ? due : mayAt };
  return { what: 'can become active, by "cellpass keys rotate", from', at: mayAt };
}

/**
 * cellpass can't tell a registry that trusts the CA of a revocation: it accepts the key until the
 * leaf ends.
 */
function nextOfRevoked({ certificate }: StoredKey, now: Date): NextStep {
  if (certificate === null)
    return { what: 'removed from the JWK Set: registries that fetch it must do so now', at: null };
  if (certificate.notAfter <= now)
    return { what: 'no longer accepted: its certificate has expired', at: null };
  return { what: 'registries that trust its certificate accept it until', at: certificate.notAfter };
}

/**
 * For the end of a message about a key that becomes active: the schedule replaces an imported key by
 * one with a certificate of the CA. Empty for other keys, and without a schedule.
 */
export function warnOfImported(key: Pick<StoredKey, 'certificate'>, periods: KeyPeriods): string {
  const isImported = key.certificate === null || key.certificate.authorityId === null;
  if (!isImported || periods.rotateEverySeconds === 0) return '';
  return '. It was imported, and the schedule replaces it by a key of the CA: a registry that trusts only this key then refuses every token. Give every registry the output of "cellpass keys export-ca" before, or set keys.rotate_every_days to 0';
}
