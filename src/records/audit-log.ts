import type { Log } from '../log.ts';
import type { AuditSize, IssuedToken } from '../store/records/issued-tokens.ts';
import { BatchWriter, type BatchWriterStats } from './batch-writer.ts';

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
  /** Drops records that are too old or too many, and returns the sizes of those that are left. */
  readonly trim: () => Promise<ByKind<AuditSize>>;
  /** How much there may be on disk. */
  readonly maxBytes: ByKind<number>;
  readonly log: Pick<Log, 'warn'>;
  readonly monotonicMs?: () => number;
}

/** The audit record of issued tokens. It is written in batches, behind the requests. */
export interface AuditLog {
  add(token: IssuedToken): void;
  /** Writes all records that wait now. */
  flush(): Promise<void>;
  stats(): AuditStats;
  close(): Promise<void>;
}

const FLUSH_MS = 250;
const TRIM_MS = 30_000;
const BATCH_ITEMS = 500;
/** About five seconds of all tokens that one process can sign. */
const MAX_WAITING = { items: 10_000, bytes: 16_000_000 };
/** A queue of their own, so that anonymous clients cannot push out records of known subjects. */
const MAX_ANONYMOUS_WAITING = { items: 2500, bytes: 4_000_000 };
/** About what a record takes without its access entries, and an entry without its name. */
const RECORD_BYTES = 400;
const ENTRY_BYTES = 100;

export function createAuditLog(options: AuditLogOptions): AuditLog {
  const { save, trim, maxBytes, log, monotonicMs = () => performance.now() } = options;
  let isFull: ByKind<boolean> = { known: false, anonymous: false };
  let bytes: ByKind<number> = { known: 0, anonymous: 0 };
  let trimmedMs = Number.NEGATIVE_INFINITY;

  const trimWhenDue = async (): Promise<void> => {
    // A server that issues no tokens leaves old records alone.
    if (writer.stats().written === 0 || monotonicMs() - trimmedMs < TRIM_MS) return;
    trimmedMs = monotonicMs();
    try {
      const { known, anonymous } = await trim();
      bytes = { known: known.bytes, anonymous: anonymous.bytes };
      // Today's records are never dropped, so no more fit when they alone fill the room.
      isFull = {
        known: known.bytesToday >= maxBytes.known,
        anonymous: anonymous.bytesToday >= maxBytes.anonymous,
      };
    } catch (error) {
      log.warn({ err: error }, 'old records of issued tokens could not be dropped; trying again');
    }
  };
  const writer = new BatchWriter<IssuedToken>({
    save,
    bytesOf,
    batchItems: BATCH_ITEMS,
    everyMs: FLUSH_MS,
    afterWriting: trimWhenDue,
    messages: {
      failed: 'issued tokens could not be recorded',
      lost: 'issued tokens are missing from the audit record',
    },
    log,
    monotonicMs,
  });
  const addKnown = writer.openQueue({ ...MAX_WAITING, hasRoom: () => !isFull.known });
  const addAnonymous = writer.openQueue({ ...MAX_ANONYMOUS_WAITING, hasRoom: () => !isFull.anonymous });

  return {
    add(token) {
      if (token.authType === 'none') addAnonymous(token);
      else addKnown(token);
    },
    flush: () => writer.flush(),
    stats: () => ({ ...writer.stats(), bytes }),
    close: () => writer.close(),
  };
}

function bytesOf({ access }: IssuedToken): number {
  return access.reduce((sum, { name }) => sum + name.length + ENTRY_BYTES, RECORD_BYTES);
}
