import { activeKey } from '../../keys/key-set.ts';
import type { AuthorityListing, KeyListing, KeySetListing } from '../../rotation/listing.ts';
import { type Finding, failed, named, ok, type Verdict, warning } from './finding.ts';

/** What is known of the keys, from the database or from a running server. */
export interface KeyFacts {
  readonly listing: KeySetListing;
  /** The active key's certificate; null where it has none. */
  readonly leaf: Validity | null;
}

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

interface Circumstances {
  /** 0: by hand alone. */
  readonly rotateEveryDays: number;
  readonly now: Date;
}

const DAY_MS = 24 * 60 * 60 * 1000;
/** Without a schedule a key may sign for a year before anybody is asked to think of it. */
const UNSCHEDULED_DAYS = 365;
const OVERDUE = 1.5;
const AUTHORITY_NOTICE_DAYS = 90;
const IMPORTED_NOTICE_DAYS = 30;
/** A running server issues a leaf anew at a quarter of its life. */
const LEAF_LEFT_ALONE = 0.75;

export const NO_KEYS_YET = ok('no keys yet: the first start makes them');

/** Age and certificates of the keys and the CA. Pure. */
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
    ...listing.authorities.flatMap((authority) => checkAuthority(authority, at)),
  ];
}

function checkActive(key: KeyListing | undefined, { rotateEveryDays, now }: Circumstances): Verdict {
  if (key === undefined) {
    return failed(
      'no key is active, so no token can be signed: "cellpass keys activate", or "keys stage" before it',
    );
  }
  const days = daysBetween(key.activated_at ?? key.created_at, now);
  const age = `${key.kid} signs for ${Math.floor(days)} days`;
  if (rotateEveryDays === 0) {
    if (days <= UNSCHEDULED_DAYS) return ok(age);
    return warning(`${age}, and keys.rotate_every_days is 0: "cellpass keys rotate", or set it`);
  }
  if (days <= OVERDUE * rotateEveryDays) return ok(age);
  return warning(
    `${age}, though keys.rotate_every_days is ${rotateEveryDays}: no server is up, or a registry refuses the next key; "cellpass keys rotate" says which`,
  );
}

function checkPending({ kid, created_at }: KeyListing, { rotateEveryDays, now }: Circumstances): Verdict {
  const days = daysBetween(created_at, now);
  if (days <= (rotateEveryDays || UNSCHEDULED_DAYS)) return ok(`${kid} waits since ${created_at}`);
  return warning(
    `${kid} waits since ${created_at}, longer than a rotation: "cellpass keys rotate" makes it active or says what is in the way, "cellpass keys retire ${kid}" drops it`,
  );
}

function checkLeaf({ notBefore, notAfter }: Validity, { now }: Circumstances): Verdict {
  const until = `valid until ${notAfter.toISOString()}`;
  const restart = 'a running server issues it anew: start one, or look for "certificate" in its log';
  if (notAfter <= now) return failed(`was ${until}, and registries refuse every token: ${restart}`);
  if (notBefore > now) {
    return failed(
      `valid only from ${notBefore.toISOString()}: this machine's clock was ahead, or is behind; set it`,
    );
  }
  const used = (now.getTime() - notBefore.getTime()) / (notAfter.getTime() - notBefore.getTime());
  return used < LEAF_LEFT_ALONE
    ? ok(until)
    : warning(`${until}, and no server has issued it anew: ${restart}`);
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

const LEAVE_IMPORTED =
  'give registries "cellpass keys export-ca", restart them, then "cellpass keys rotate" to a key of the CA';

function checkAuthority(authority: AuthorityListing, { now }: Circumstances): readonly Finding[] {
  if (authority.state === 'retired') return [];
  const findings = [named(`${authority.state} CA`, checkAuthorityDates(authority, now))];
  if (authority.state === 'active') return findings;
  const waits = warning(
    `${authority.id} waits since ${authority.created_at} and issues nothing: give every registry "cellpass keys export-ca", restart it, then "cellpass keys activate-ca"; or "cellpass keys discard-ca"`,
  );
  return findings[0]?.outcome === 'ok' ? [named('pending CA', waits)] : findings;
}

function checkAuthorityDates({ id, state, not_after }: AuthorityListing, now: Date): Verdict {
  const replace =
    state === 'active'
      ? '"cellpass keys stage-ca", give every registry "cellpass keys export-ca", restart it, then "cellpass keys activate-ca"'
      : '"cellpass keys discard-ca", then stage another';
  const days = daysBetween(now, not_after);
  if (days <= 0) return failed(`${id} expired ${not_after}, and registries refuse its tokens: ${replace}`);
  if (days < AUTHORITY_NOTICE_DAYS) return warning(`${id} expires ${not_after}: ${replace}`);
  return ok(`${id} is valid until ${not_after}`);
}

function daysBetween(from: string | Date, to: string | Date): number {
  return (new Date(to).getTime() - new Date(from).getTime()) / DAY_MS;
}
