import type { FailedAttemptsOptions, Lockout } from '../../authn/failed-attempts.ts';
import type { Database, Row, Sql } from '../database/drivers.ts';
import { KEY_CHANNEL } from '../keys.ts';
import { searchInTime } from './bounded-search.ts';

/** Who is locked out, from the counts of failed attempts; see `failure-counter.ts` for the table. */
export interface StoredLockout extends Lockout {
  /** `loginDigest` of the login name; null for a lockout by address. */
  readonly loginDigest: string | null;
  /** How many attempts failed. */
  readonly failed: number;
  readonly until: Date;
}

/** A count at or above the limit is a lockout. 0: no limit, so no lockout. */
type Limits = FailedAttemptsOptions['limits'];

export interface LockoutQuestion {
  readonly limits: Limits;
  readonly now: Date;
  /** The place of the page before; null for the first page. */
  readonly after: LockoutPlace | null;
  readonly limit: number;
}

/** No key, because a key holds the digest of a login name. */
export interface LockoutPlace {
  readonly untilMs: number;
  /** How many lockouts with this end were on the pages before. */
  readonly skip: number;
}

interface CountRow extends Row {
  readonly key: string;
  readonly points: number;
  readonly expire: number;
}

/**
 * Whether a count is a lockout now. $1 is the time in milliseconds, $2 the limit by address, $3 that
 * by account. Counts of refused tokens have no limit.
 */
const IS_LOCKOUT = `expire > $1::bigint AND CASE WHEN key LIKE 'address:%' THEN $2::bigint > 0 AND points >= $2
  ELSE $3::bigint > 0 AND points >= $3 AND key LIKE 'account:%' AND split_part(key, ' ', 2) <> 'token' END`;

const LIST = `
  SELECT key, points, expire FROM failed_attempts
  WHERE ${IS_LOCKOUT} AND ($4::bigint IS NULL OR expire <= $4)
  ORDER BY expire DESC, key OFFSET $5 LIMIT $6`;

/**
 * Those that end last first. `next` is null on the last page.
 * @throws {CellpassError} `unavailable`, also when the search takes too long.
 */
export async function searchLockouts(
  database: Pick<Database, 'transaction'>,
  { limits, now, after, limit }: LockoutQuestion,
): Promise<{ readonly lockouts: readonly StoredLockout[]; readonly next: LockoutPlace | null }> {
  const place = [after?.untilMs ?? null, after?.skip ?? 0];
  const values = [now.getTime(), limits.address, limits.account, ...place, limit + 1];
  const found = await searchInTime(database, (sql) => sql.query<CountRow>(LIST, values));
  const page = found.slice(0, limit);
  return { lockouts: page.map(toLockout), next: found.length > limit ? placeAfter(page, after) : null };
}

function placeAfter(page: readonly CountRow[], before: LockoutPlace | null): LockoutPlace | null {
  const untilMs = page.at(-1)?.expire;
  if (untilMs === undefined) return null;
  const same = page.filter(({ expire }) => expire === untilMs).length;
  return { untilMs, skip: same + (before?.untilMs === untilMs ? before.skip : 0) };
}

/** `address:NETWORK`, `account:NETWORK DIGEST` */
function toLockout({ key, points, expire }: CountRow): StoredLockout {
  const [place = '', digest = null] = key.split(' ');
  const colon = place.indexOf(':');
  return {
    by: place.slice(0, colon) === 'address' ? 'address' : 'account',
    network: place.slice(colon + 1),
    loginDigest: digest,
    failed: points,
    until: new Date(expire),
  };
}

/** Whose failed attempts to forget: all from a network, or those at an account from everywhere. */
type ClearedKeys = { readonly network: string } | { readonly loginDigest: string };

export interface Clearing {
  readonly keys: ClearedKeys;
  readonly limits: Limits;
  readonly now: Date;
  /** Such as `admin token ci (3)`. */
  readonly actor: string;
  /** The address or the account, for the audit. */
  readonly subject: string;
}

const FIND_LOCKOUTS = `SELECT key FROM failed_attempts WHERE ${IS_LOCKOUT} AND key = ANY ($4::text[])`;

/** $1 a network or null, $2 a digest or null. Counts of refused tokens stay: they lock nobody out. */
const FIND_KEYS = `
  SELECT key FROM failed_attempts
  WHERE key = 'address:' || $1::text
    OR (key LIKE 'account:%' AND split_part(key, ' ', 1) = 'account:' || $1 AND split_part(key, ' ', 2) <> 'token')
    OR (key LIKE 'account:%' AND split_part(key, ' ', 2) = $2::text)`;

const FORGET = 'DELETE FROM failed_attempts WHERE key = ANY ($1::text[])';

const INSERT_EVENT = `
  INSERT INTO audit_events (happened_at, actor, area, action, subject) VALUES ($1, $2, 'lockouts', 'clear', $3)`;

/**
 * Forgets failed attempts, if a lockout is among them, and tells every process. The audit gets one
 * event.
 * @returns how many lockouts ended; 0: nothing was changed.
 */
export function clearStoredLockouts(
  database: Pick<Database, 'transaction'>,
  { keys, limits, now, actor, subject }: Clearing,
): Promise<number> {
  const meant = ['network' in keys ? keys.network : null, 'loginDigest' in keys ? keys.loginDigest : null];
  return database.transaction(async (sql) => {
    const found = (await sql.query<{ key: string }>(FIND_KEYS, meant)).map(({ key }) => key);
    const values = [now.getTime(), limits.address, limits.account, found];
    const { length: count } = await sql.query(FIND_LOCKOUTS, values);
    if (count === 0) return 0;
    await sql.query(FORGET, [found]);
    await sql.query(INSERT_EVENT, [now, actor, subject]);
    await tellProcesses(sql);
    return count;
  });
}

/** By the channel of the keys: one of its own would cost each process a connection. */
async function tellProcesses(sql: Sql): Promise<void> {
  await sql.query("SELECT pg_notify($1, '')", [KEY_CHANNEL]);
}
