import type { IssuedToken } from '../store/records/issued-tokens.ts';

/**
 * Counts repeated pulls in one record. The first token of a credential, address, service, key and
 * access is recorded at once. Its repeats within a minute become one more record.
 */
export interface RepeatedPulls {
  /** True: the token repeats a recorded one, and is counted. False: the caller records it. */
  count(token: IssuedToken): boolean;
  /** Removes and returns the records of repeats whose minute is over. */
  takeDue(): readonly IssuedToken[];
  /** Removes and returns the records of all repeats. */
  takeAll(): readonly IssuedToken[];
}

/** A token that is on record, and its repeats since. */
interface Entry {
  repeats: IssuedToken | null;
  readonly beganMs: number;
  readonly bytes: number;
}

const PERIOD_MS = 60_000;
/** Over it, a token that is not yet known is not remembered, so each repeat has its own record. */
const MAX_BYTES = 4_000_000;
const ENTRY_BYTES = 300;

export function createRepeatedPulls(monotonicMs: () => number): RepeatedPulls {
  /** In the order in which their periods began. */
  const entries = new Map<string, Entry>();
  let bytes = 0;

  const begin = (key: string, entryBytes: number): void => {
    entries.set(key, { repeats: null, beganMs: monotonicMs(), bytes: entryBytes });
    bytes += entryBytes;
  };
  const end = (key: string, entry: Entry): void => {
    entries.delete(key);
    bytes -= entry.bytes;
  };

  return {
    count(token) {
      if (!isPull(token)) return false;
      const key = keyOf(token);
      const entry = entries.get(key);
      if (entry !== undefined) {
        // A record belongs to one day, as its partition does.
        if (entry.repeats !== null && dayOf(entry.repeats) !== dayOf(token)) return false;
        entry.repeats = entry.repeats === null ? token : countAlso(entry.repeats, token);
        return true;
      }
      const entryBytes = ENTRY_BYTES + 2 * key.length;
      if (bytes + entryBytes <= MAX_BYTES) begin(key, entryBytes);
      return false;
    },
    takeDue() {
      const due: IssuedToken[] = [];
      for (const [key, entry] of entries) {
        if (monotonicMs() - entry.beganMs < PERIOD_MS) break;
        end(key, entry);
        if (entry.repeats === null) continue;
        due.push(entry.repeats);
        // Its next repeats belong to the next minute's record.
        begin(key, entry.bytes);
      }
      return due;
    },
    takeAll() {
      const all: IssuedToken[] = [];
      for (const entry of entries.values()) {
        if (entry.repeats !== null) all.push(entry.repeats);
        entry.repeats = null;
      }
      return all;
    },
  };
}

/** Grants at most pulls from repositories; a login grants nothing. */
export function isPull({ access }: IssuedToken): boolean {
  return access.every(({ type, actions }) => type === 'repository' && actions.every((one) => one === 'pull'));
}

/** UTC, `yyyy-mm-dd`. */
function dayOf({ issuedAt }: IssuedToken): string {
  return issuedAt.toISOString().slice(0, 'yyyy-mm-dd'.length);
}

function keyOf(token: IssuedToken): string {
  const { authType, subject, address, service, kid, access, credential, identity } = token;
  const names = access.map(({ name }) => name);
  return JSON.stringify([
    authType,
    subject,
    address,
    service,
    kid,
    names,
    credential,
    ...(identity ? [identity] : []),
  ]);
}

function countAlso(record: IssuedToken, token: IssuedToken): IssuedToken {
  const isLater = token.expiresAt > record.expiresAt;
  return {
    ...record,
    expiresAt: isLater ? token.expiresAt : record.expiresAt,
    repeats: {
      count: (record.repeats?.count ?? 0) + 1,
      lastJti: token.jti,
      lastIssuedAt: token.issuedAt,
    },
  };
}
