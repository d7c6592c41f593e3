import type { Log } from '../log.ts';
import { type Subject, subjectName } from '../policy/subject.ts';
import { createAllowance } from '../shares/allowance.ts';
import type { StoredRefusal } from '../store/records/refusals.ts';
import { BatchWriter } from './batch-writer.ts';

export interface RefusalLogOptions {
  readonly save: (refusals: readonly StoredRefusal[]) => Promise<void>;
  readonly log: Pick<Log, 'warn'>;
  readonly monotonicMs?: () => number;
}

/** Refusals, for `explain --request`. They are written in batches, behind the requests. */
export interface RefusalLog {
  /**
   * @param subject null: the credentials were not valid.
   * @param network of the client; clients without valid credentials have a share by network.
   */
  add(refusal: StoredRefusal, subject: Subject | null, network: string): void;
  /** Writes all refusals that wait now. */
  flush(): Promise<void>;
  /** How many refusals were lost so far. */
  dropped(): number;
  close(): Promise<void>;
}

interface HeldRefusal extends StoredRefusal {
  /** The subject, or the network of a client without valid credentials. */
  readonly holder: string;
}

const FLUSH_MS = 1000;
const MAX_WAITING = { items: 400, bytes: 8_000_000 };
/** Clients without valid credentials can be refused as often as they like: they get less room. */
const MAX_UNKNOWN_WAITING = { items: 100, bytes: 2_000_000 };
/**
 * How many bytes of refusals are recorded in a minute: of one subject or network, and of all. They
 * bound what clients make the database write, about 300 MB an hour in each process at most.
 */
const EVERY_MS = 60_000;
const KNOWN_SHARE = { each: 256_000, inAll: 4_000_000, everyMs: EVERY_MS };
const UNKNOWN_SHARE = { each: 64_000, inAll: 1_000_000, everyMs: EVERY_MS };
/** About what a refusal takes without its scopes and facts, and what each of those takes. */
const RECORD_BYTES = 500;
const SCOPE_BYTES = 300;
const PROJECT_BYTES = 1000;

export function createRefusalLog(options: RefusalLogOptions): RefusalLog {
  const { save, log, monotonicMs = () => performance.now() } = options;
  const knownShares = createAllowance({ ...KNOWN_SHARE, monotonicMs });
  const unknownShares = createAllowance({ ...UNKNOWN_SHARE, monotonicMs });
  const writer = new BatchWriter<HeldRefusal>({
    save,
    bytesOf,
    batchItems: MAX_WAITING.items,
    everyMs: FLUSH_MS,
    messages: {
      failed: 'refusals could not be recorded',
      lost: 'refusals are missing from the record; "explain --request" does not find them',
    },
    log,
    monotonicMs,
  });
  const addKnown = writer.openQueue({
    ...MAX_WAITING,
    hasShare: (refusal) => knownShares.take(refusal.holder, bytesOf(refusal)),
  });
  const addUnknown = writer.openQueue({
    ...MAX_UNKNOWN_WAITING,
    hasShare: (refusal) => unknownShares.take(refusal.holder, bytesOf(refusal)),
  });
  return {
    add(refusal, subject, network) {
      if (subject === null || subject.kind === 'anonymous') addUnknown({ ...refusal, holder: network });
      else addKnown({ ...refusal, holder: `${subject.kind} ${subjectName(subject)}` });
    },
    flush: () => writer.flush(),
    dropped: () => Object.values(writer.stats().lost).reduce((sum, count) => sum + count, 0),
    close: () => writer.close(),
  };
}

function bytesOf({ record: { question } }: StoredRefusal): number {
  if (question === null) return RECORD_BYTES;
  const { asked, facts } = question;
  const dropped = asked.dropped.reduce((sum, { text }) => sum + text.length, 0);
  return (
    RECORD_BYTES +
    dropped +
    (asked.scopes.length + asked.dropped.length) * SCOPE_BYTES +
    facts.projects.length * PROJECT_BYTES
  );
}
