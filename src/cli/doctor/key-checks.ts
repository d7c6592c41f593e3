import { activeKey } from '../../keys/key-set.ts';
import type { AuthorityListing, KeyListing, KeySetListing } from '../../rotation/listing.ts';
import { type Finding, failed, named, ok, type Verdict, warning } from './finding.ts';

/** Facts about the keys, from the database or from a running server. */
export interface KeyFacts {
  readonly listing: KeySetListing;
  /** The certificate of the active key; null when it has none. */
  readonly leaf: Validity | null;
}

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

interface Circumstances {
  /** 0: there is no schedule. */
  readonly rotateEveryDays: number;
  readonly now: Date;
}

const DAY_MS = 24 * 60 * 60 * 1000;
/** Without a schedule, a warning comes when a key has signed for a year. */
const UNSCHEDULED_DAYS = 365;
const OVERDUE = 1.5;
const AUTHORITY_NOTICE_DAYS = 90;
const IMPORTED_NOTICE_DAYS = 30;
/** A running server renews a leaf at a quarter of its life. */
const LEAF_LEFT_ALONE = 0.75;

export const NO_KEYS_YET = ok('no keys yet: the first start generates them');

/** Checks the age and the certificates of the keys and the CAs. Pure. */
export function checkKeys({ listing, leaf }: KeyFacts, at: Circumstances): readonly Finding[] {
  if (listing.keys.length === 0) return [named('active key', NO_KEYS_YET)];
  const active = activeKey(listing);
  const pending = listing.keys.filter(({ state }) => state === 'pending');
  return [
    named('active key', checkActive(active, at)),
    ...pending.map((key) => named('pending key', checkPending(key, at))),
    ...(active?.certificate?.imported === false && leaf !== null
      ? [named('leaf certificate', checkLeaf(leaf, at))]
      : []),
    ...[active, ...pending].flatMap((key) => checkImported(key, at)),
    ...checkRotationAway(active, at),
    ...listing.authorities.flatMap((authority) => checkAuthority(authority, at)),
  ];
}

function checkActive(key: KeyListing | undefined, { rotateEveryDays, now }: Circumstances): Verdict {
  if (key === undefined) {
    return failed(
      'no key is active, so no token can be signed: run "cellpass keys activate", or first "cellpass keys stage"',
    );
  }
  const days = daysBetween(key.activated_at ?? key.created_at, now);
  const age = `${key.kid} has been signing for ${Math.floor(days)} days`;
  if (rotateEveryDays === 0) {
    if (days <= UNSCHEDULED_DAYS) return ok(age);
    return warning(
      `${age}, and keys.rotate_every_days is 0: run "cellpass keys rotate", or set keys.rotate_every_days`,
    );
  }
  if (days <= OVERDUE * rotateEveryDays) return ok(age);
  return warning(
    `${age}, though keys.rotate_every_days is ${rotateEveryDays}: no server is running, or a registry refuses the next key; run "cellpass keys rotate" to see which`,
  );
}

function checkPending({ kid, created_at }: KeyListing, { rotateEveryDays, now }: Circumstances): Verdict {
  const days = daysBetween(created_at, now);
  if (days <= (rotateEveryDays || UNSCHEDULED_DAYS)) return ok(`${kid} has been pending since ${created_at}`);
  return warning(
    `${kid} has been pending since ${created_at}, longer than a rotation: run "cellpass keys rotate" to activate it or to see why it can't be activated, or "cellpass keys retire ${kid}" to drop it`,
  );
}

function checkLeaf({ notBefore, notAfter }: Validity, { now }: Circumstances): Verdict {
  const until = `valid until ${notAfter.toISOString()}`;
  const restart = 'a running server renews it: start a server, or look for "certificate" in its log';
  if (notAfter <= now) return failed(`it was ${until}, and registries refuse every token: ${restart}`);
  if (notBefore > now) {
    return failed(
      `it is valid only from ${notBefore.toISOString()}: this machine's clock was ahead, or is behind; set it right`,
    );
  }
  const used = (now.getTime() - notBefore.getTime()) / (notAfter.getTime() - notBefore.getTime());
  return used < LEAF_LEFT_ALONE ? ok(until) : warning(`${until}, and no server has renewed it: ${restart}`);
}

function checkImported(key: KeyListing | undefined, { now }: Circumstances): readonly Finding[] {
  if (key?.certificate?.imported !== true) return [];
  const { not_after } = key.certificate;
  const days = daysBetween(now, not_after);
  const verdict =
    days <= 0
      ? failed(`${key.kid}: expired ${not_after}, and registries refuse its tokens: ${LEAVE_IMPORTED}`)
      : days < IMPORTED_NOTICE_DAYS
        ? warning(`${key.kid}: expires ${not_after}: ${LEAVE_IMPORTED}`)
        : ok(`${key.kid}: valid until ${not_after}`);
  return [named('imported certificate', verdict)];
}

/** An active key that was imported, which the schedule replaces by a key of the CA. */
function checkRotationAway(
  key: KeyListing | undefined,
  { rotateEveryDays }: Circumstances,
): readonly Finding[] {
  const isImported = key !== undefined && (key.certificate === null || key.certificate.imported);
  if (!isImported || rotateEveryDays === 0) return [];
  const { what, at } = key.next;
  const verdict = warning(
    `${key.kid} was imported, and the schedule replaces it by a key of the CA (${what}${at === null ? '' : `: ${at}`}): registries that trust only this key then refuse every token; give them "cellpass keys export-ca" before, or set keys.rotate_every_days to 0`,
  );
  return [named('imported key', verdict)];
}

const LEAVE_IMPORTED =
  'give registries "cellpass keys export-ca", restart them, then run "cellpass keys rotate" to change to a key of the CA';

function checkAuthority(authority: AuthorityListing, { now }: Circumstances): readonly Finding[] {
  if (authority.state === 'retired') return [];
  const findings = [named(`${authority.state} CA`, checkAuthorityDates(authority, now))];
  if (authority.state === 'active') return findings;
  const waits = warning(
    `${authority.id} has been pending since ${authority.created_at} and issues nothing: give every registry "cellpass keys export-ca", restart it, then run "cellpass keys activate-ca"; or run "cellpass keys discard-ca"`,
  );
  return findings[0]?.outcome === 'ok' ? [named('pending CA', waits)] : findings;
}

function checkAuthorityDates({ id, state, not_after }: AuthorityListing, now: Date): Verdict {
  const replace =
    state === 'active'
      ? 'run "cellpass keys stage-ca", give every registry "cellpass keys export-ca", restart it, then run "cellpass keys activate-ca"'
      : 'run "cellpass keys discard-ca", then stage another CA';
  const days = daysBetween(now, not_after);
  if (days <= 0) return failed(`${id} expired ${not_after}, and registries refuse its tokens: ${replace}`);
  if (days < AUTHORITY_NOTICE_DAYS) return warning(`${id} expires ${not_after}: ${replace}`);
  return ok(`${id} is valid until ${not_after}`);
}

function daysBetween(from: string | Date, to: string | Date): number {
  return (new Date(to).getTime() - new Date(from).getTime()) / DAY_MS;
}
