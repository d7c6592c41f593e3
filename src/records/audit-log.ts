import type { Log } from '../log.ts';
import { createAllowance } from '../shares/allowance.ts';
import type { AuditSize } from '../store/records/issued-token-sizes.ts';
import type { IssuedToken } from '../store/records/issued-tokens.ts';
import { BatchWriter, type BatchWriterStats } from './batch-writer.ts';
import { createRepeatedPulls, isPull } from './repeated-pulls.ts';

/** One value for tokens of known subjects, and one for those of anonymous clients. */
interface ByKind<T> {
  readonly known: T;
  readonly anonymous: T;
}

export interface AuditStats extends BatchWriterStats {
  /** What the records took on disk when this process last looked. */
  readonly bytes: ByKind<number>;
}

export interface AuditLogOptions {
  readonly save: (tokens: readonly IssuedToken[]) => Promise<void>;
  /** The sizes of the records on disk. */
  readonly measure: () => Promise<ByKind<Pick<AuditSize, 'bytes'>>>;
  /** How much there may be on disk. */
  readonly maxBytes: ByKind<number>;
  /** How many processes of this server share a subject's share; default 1. */
  readonly processes?: number;
  readonly log: Pick<Log, 'warn'>;
  readonly monotonicMs?: () => number;
}

/** The audit record of issued tokens. It is written in batches, behind the requests. */
export interface AuditLog {
  add(token: IssuedToken): void;
  /** Writes all records that wait now, and those of repeated pulls. */
  flush(): Promise<void>;
  stats(): AuditStats;
  close(): Promise<void>;
}

const FLUSH_MS = 250;
const MEASURE_MS = 30_000;
const BATCH_ITEMS = 500;
/** About five seconds of all tokens that one process can sign. */
const MAX_WAITING = { items: 10_000, bytes: 16_000_000 };
/** A queue of their own, so that anonymous clients cannot push out records of known subjects. */
const MAX_ANONYMOUS_WAITING = { items: 2500, bytes: 4_000_000 };
/** About what a record takes without its access entries, and an entry without its name. */
const RECORD_BYTES = 400;
const ENTRY_BYTES = 100;

const DAY_MS = 24 * 60 * 60 * 1000;
/**
 * The part of the room on disk that pulls of one subject (of one address, for anonymous clients)
 * may take in a day. It keeps one subject from displacing the records of all others in a short time.
 */
const DAILY_SHARE = 0.1;
/**
 * While more records than this wait, because the database is away, one subject may add only so many
 * grants to push or delete in ten seconds. The others still find room in the queue.
 */
const CROWDED = { waiting: 5000, each: 1000, everyMs: 10_000 };

export function createAuditLog(options: AuditLogOptions): AuditLog {
  const { save, log, monotonicMs = () => performance.now() } = options;
  const room = createRoom(options, monotonicMs);
  const writer: BatchWriter<IssuedToken> = new BatchWriter<IssuedToken>({
    save,
    bytesOf,
    countOf: ({ repeats }) => 1 + (repeats?.count ?? 0),
    batchItems: BATCH_ITEMS,
    everyMs: FLUSH_MS,
    beforeWriting: () => recordRepeats('takeDue'),
    afterWriting: () => room.measureWhenDue(writer.stats().written > 0),
    messages: {
      failed: 'issued tokens could not be recorded',
      lost: 'issued tokens are missing from the audit record',
    },
    log,
    monotonicMs,
  });
  const add = openQueues(writer, room, options.processes ?? 1);
  const repeated = { known: createRepeatedPulls(monotonicMs), anonymous: createRepeatedPulls(monotonicMs) };
  const recordRepeats = (take: 'takeDue' | 'takeAll'): void => {
    for (const kind of ['known', 'anonymous'] as const) {
      for (const record of repeated[kind][take]()) add(record);
    }
  };

  return {
    add(token) {
      if (!repeated[kindOf(token)].count(token)) add(token);
    },
    async flush() {
      recordRepeats('takeAll');
      await writer.flush();
    },
    stats: () => ({ ...writer.stats(), bytes: room.bytes() }),
    async close() {
      recordRepeats('takeAll');
      await writer.close();
    },
  };
}

interface Room {
  readonly maxBytes: ByKind<number>;
  readonly monotonicMs: () => number;
  bytes(): ByKind<number>;
  hasMore(kind: keyof ByKind<unknown>): boolean;
  /** Must not reject. A server that issues no tokens needs no sizes. */
  measureWhenDue(hasWritten: boolean): Promise<void>;
}

function createRoom({ measure, maxBytes, log }: AuditLogOptions, monotonicMs: () => number): Room {
  let bytes: ByKind<number> = { known: 0, anonymous: 0 };
  let measuredMs = Number.NEGATIVE_INFINITY;
  return {
    maxBytes,
    monotonicMs,
    bytes: () => bytes,
    // Retention drops the oldest records before the room is full. It is full only if no replica
    // can drop them, or within a burst.
    hasMore: (kind) => bytes[kind] < maxBytes[kind],
    async measureWhenDue(hasWritten) {
      if (!hasWritten || monotonicMs() - measuredMs < MEASURE_MS) return;
      measuredMs = monotonicMs();
      try {
        const { known, anonymous } = await measure();
        bytes = { known: known.bytes, anonymous: anonymous.bytes };
      } catch (error) {
        log.warn({ err: error }, 'the size of the audit record could not be read; trying again');
      }
    },
  };
}

/**
 * Opens the queues, the most important one first: grants to push or delete, pulls of known
 * subjects, pulls of anonymous clients.
 */
function openQueues(
  writer: BatchWriter<IssuedToken>,
  { maxBytes, monotonicMs, hasMore }: Room,
  processes: number,
): (token: IssuedToken) => void {
  const crowded = createAllowance({ ...CROWDED, monotonicMs });
  const dailyShare = (most: number): ((token: IssuedToken) => boolean) => {
    const each = Math.floor((most * DAILY_SHARE) / processes);
    const shares = createAllowance({ each, everyMs: DAY_MS, monotonicMs });
    return (token) => shares.take(holderOf(token), bytesOf(token));
  };
  const addGrant = writer.openQueue({
    ...MAX_WAITING,
    hasRoom: () => hasMore('known'),
    hasShare: (token) => writer.stats().waiting < CROWDED.waiting || crowded.take(holderOf(token), 1),
  });
  const addPull = writer.openQueue({
    ...MAX_WAITING,
    hasRoom: () => hasMore('known'),
    hasShare: dailyShare(maxBytes.known),
  });
  const addAnonymous = writer.openQueue({
    ...MAX_ANONYMOUS_WAITING,
    hasRoom: () => hasMore('anonymous'),
    hasShare: dailyShare(maxBytes.anonymous),
  });
  return (token) => {
    if (kindOf(token) === 'anonymous') addAnonymous(token);
    else if (isPull(token)) addPull(token);
    else addGrant(token);
  };
}

function kindOf({ authType }: IssuedToken): keyof ByKind<unknown> {
  return authType === 'none' ? 'anonymous' : 'known';
}

function holderOf({ authType, subject, address }: IssuedToken): string {
  return authType === 'none' ? address : `${authType} ${subject}`;
}

function bytesOf({ access }: IssuedToken): number {
  return access.reduce((sum, { name }) => sum + name.length + ENTRY_BYTES, RECORD_BYTES);
}
