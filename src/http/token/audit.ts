import type { Middleware } from 'koa';
import { CellpassError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { AuditSize, IssuedToken } from '../../store/records/issued-tokens.ts';
import type { RequestState } from '../request-state.ts';
import { createWriter } from './writer.ts';

/** Around the token endpoint, inside `keepRefusals`: keeps what was issued, and never delays or fails the answer. */
export function keepIssued(audit: Pick<AuditLog, 'add'>): Middleware<RequestState> {
  return async (ctx, next) => {
    await next();
    const { trail, clientAddress, requestId } = ctx.state;
    if (trail.issued === undefined) return;
    const { claims, kid, cell } = trail.issued;
    audit.add({
      jti: claims.jti,
      kid,
      subject: claims.sub,
      authType: claims.auth_type,
      service: claims.aud,
      access: claims.access,
      address: clientAddress.text,
      issuedAt: trail.now,
      expiresAt: new Date(claims.exp * 1000),
      requestId,
      cell,
    });
  };
}

/** Why a record was not kept: too many waited, a share of the room was used up, the room was, or the database refused it. */
type LostBecause = 'buffer_full' | 'share_used_up' | 'no_room' | 'not_written';

export interface AuditUse {
  readonly waiting: number;
  readonly written: number;
  readonly lost: Readonly<Record<LostBecause, number>>;
  /** On disk, when last looked. */
  readonly bytes: Sizes<number>;
}

interface Sizes<T> {
  readonly known: T;
  readonly anonymous: T;
}

export interface AuditLogOptions {
  readonly save: (tokens: readonly IssuedToken[]) => Promise<void>;
  /** Drops what is too old or too much; what is left. */
  readonly trim: () => Promise<Sizes<AuditSize>>;
  /** How much there may be on disk. */
  readonly mostBytes: Sizes<number>;
  readonly log: Pick<Log, 'warn'>;
  readonly monotonicMs?: () => number;
}

/** Writes in batches, behind the requests. */
export interface AuditLog {
  add(token: IssuedToken): void;
  /** Writes what is waiting. */
  flush(): Promise<void>;
  use(): AuditUse;
  close(): Promise<void>;
}

const FLUSH_MS = 250;
const TRIM_MS = 30_000;
const LOST_LINE_MS = 10_000;
const BATCH = 500;
/** About five seconds of all that one process can sign. Whoever is nobody gets a quarter, so that they push out nobody else's. */
const MOST_WAITING = 10_000;
const MOST_WAITING_CHARACTERS = 16_000_000;
const ANONYMOUS_SHARE = 4;
/** Of a record without its access. */
const RECORD_CHARACTERS = 400;
/** Once today's records take half of all the room, one subject (or address, of nobody) has this many a minute in each process. */
const SHARE_PER_MINUTE = 60;
const MINUTE_MS = 60_000;

type Kind = keyof Sizes<unknown>;
type Room = 'enough' | 'tight' | 'none';

export function createAuditLog(options: AuditLogOptions): AuditLog {
  const { save, trim, mostBytes, log, monotonicMs = () => performance.now() } = options;
  const lost = { buffer_full: 0, share_used_up: 0, no_room: 0, not_written: 0 };
  const queues = { known: createQueue(1), anonymous: createQueue(ANONYMOUS_SHARE) };
  const shares = createShares(monotonicMs);
  let room: Sizes<Room> = { known: 'enough', anonymous: 'enough' };
  let bytes: Sizes<number> = { known: 0, anonymous: 0 };
  let written = 0;
  let hasWarned = false;
  let trimmedMs = Number.NEGATIVE_INFINITY;
  const tellLost = createLossTeller(lost, log, monotonicMs);

  const whyNot = (kind: Kind, token: IssuedToken): LostBecause | null => {
    if (room[kind] === 'none') return 'no_room';
    if (room[kind] === 'tight' && !shares.take(token.subject || token.address)) return 'share_used_up';
    return queues[kind].add(token) ? null : 'buffer_full';
  };

  /** False where it must be tried again. */
  const writeBatch = async (queue: Queue): Promise<boolean> => {
    const batch = queue.first(BATCH);
    try {
      await save(batch);
      written += batch.length;
      hasWarned = false;
    } catch (error) {
      // One line for each run of failures, not four a second.
      if (!hasWarned) log.warn({ err: error, waiting: queue.size() }, 'issued tokens could not be recorded');
      hasWarned = true;
      if (error instanceof CellpassError && error.code === 'unavailable') return false;
      lost.not_written += batch.length;
    }
    queue.remove(batch.length);
    return true;
  };
  const look = async (): Promise<void> => {
    trimmedMs = monotonicMs();
    try {
      const { known, anonymous } = await trim();
      bytes = { known: known.bytes, anonymous: anonymous.bytes };
      room = {
        known: roomLeft(known, mostBytes.known),
        anonymous: roomLeft(anonymous, mostBytes.anonymous),
      };
    } catch (error) {
      log.warn({ err: error }, 'old records of issued tokens could not be dropped; trying again');
    }
  };
  const write = async (): Promise<void> => {
    tellLost(false);
    for (const queue of [queues.known, queues.anonymous]) {
      while (queue.size() > 0) if (!(await writeBatch(queue))) return;
    }
    // Not before the first token: a server that issues none keeps nothing.
    if (written > 0 && monotonicMs() - trimmedMs >= TRIM_MS) await look();
  };
  const writer = createWriter(write, FLUSH_MS);

  return {
    add(token) {
      const because = whyNot(token.authType === 'none' ? 'anonymous' : 'known', token);
      if (because !== null) lost[because] += 1;
    },
    flush: writer.flush,
    use: () => ({
      waiting: queues.known.size() + queues.anonymous.size(),
      written,
      lost: { ...lost },
      bytes,
    }),
    async close() {
      await writer.close();
      lost.not_written += queues.known.size() + queues.anonymous.size();
      tellLost(true);
    },
  };
}

function roomLeft({ bytesToday }: AuditSize, most: number): Room {
  if (bytesToday >= most) return 'none';
  return bytesToday >= most / 2 ? 'tight' : 'enough';
}

interface Queue {
  /** False, and nothing is added, where it is full. */
  add(token: IssuedToken): boolean;
  first(count: number): readonly IssuedToken[];
  remove(count: number): void;
  size(): number;
}

function createQueue(share: number): Queue {
  const tokens: IssuedToken[] = [];
  let characters = 0;
  return {
    add(token) {
      const more = charactersOf(token);
      if (tokens.length >= MOST_WAITING / share) return false;
      if (characters + more > MOST_WAITING_CHARACTERS / share) return false;
      characters += more;
      tokens.push(token);
      return true;
    },
    first: (count) => tokens.slice(0, count),
    remove(count) {
      for (const token of tokens.splice(0, count)) characters -= charactersOf(token);
    },
    size: () => tokens.length,
  };
}

function charactersOf({ access }: IssuedToken): number {
  return access.reduce((sum, { name }) => sum + name.length + RECORD_CHARACTERS / 4, RECORD_CHARACTERS);
}

/** So many records a minute for each name. */
function createShares(monotonicMs: () => number): { take(name: string): boolean } {
  const taken = new Map<string, number>();
  let beganMs = monotonicMs();
  return {
    take(name) {
      if (monotonicMs() - beganMs >= MINUTE_MS) {
        taken.clear();
        beganMs = monotonicMs();
      }
      const count = taken.get(name) ?? 0;
      if (count >= SHARE_PER_MINUTE || (count === 0 && taken.size >= MOST_WAITING)) return false;
      taken.set(name, count + 1);
      return true;
    },
  };
}

/** One line for all that was lost in a while. */
function createLossTeller(
  lost: Readonly<Record<LostBecause, number>>,
  log: Pick<Log, 'warn'>,
  monotonicMs: () => number,
): (atOnce: boolean) => void {
  const sum = (): number => Object.values(lost).reduce((total, count) => total + count, 0);
  let told = 0;
  let toldMs = Number.NEGATIVE_INFINITY;
  return (atOnce) => {
    const total = sum();
    if (total === told || (!atOnce && monotonicMs() - toldMs < LOST_LINE_MS)) return;
    log.warn({ lost: total - told, in_all: { ...lost } }, 'issued tokens are missing from the audit record');
    told = total;
    toldMs = monotonicMs();
  };
}
