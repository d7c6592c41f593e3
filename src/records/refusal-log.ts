import type { Log } from '../log.ts';
import type { Subject } from '../policy/subject.ts';
import type { StoredRefusal } from '../store/records/refusals.ts';
import { BatchWriter } from './batch-writer.ts';

export interface RefusalLogOptions {
  readonly save: (refusals: readonly StoredRefusal[]) => Promise<void>;
  readonly log: Pick<Log, 'warn'>;
  readonly monotonicMs?: () => number;
}

/** Refusals, for `explain --request`. They are written in batches, behind the requests. */
export interface RefusalLog {
  /** @param subject null: the credentials were not valid. */
  add(refusal: StoredRefusal, subject: Subject | null): void;
  /** Writes all refusals that wait now. */
  flush(): Promise<void>;
  /** How many refusals were lost so far. */
  dropped(): number;
  close(): Promise<void>;
}

const FLUSH_MS = 1000;
const MAX_WAITING = { items: 400, bytes: 8_000_000 };
/** Clients without valid credentials can be refused as often as they like: they get less room. */
const MAX_UNKNOWN_WAITING = { items: 100, bytes: 2_000_000 };
/** About what a refusal takes without its scopes and facts, and what each of those takes. */
const RECORD_BYTES = 500;
const SCOPE_BYTES = 300;
const PROJECT_BYTES = 1000;

export function createRefusalLog({ save, log, monotonicMs }: RefusalLogOptions): RefusalLog {
  const writer = new BatchWriter<StoredRefusal>({
    save,
    bytesOf,
    batchItems: MAX_WAITING.items,
    everyMs: FLUSH_MS,
    messages: {
      failed: 'refusals could not be recorded',
      lost: 'refusals are missing from the record; "explain --request" does not find them',
    },
    log,
    ...(monotonicMs && { monotonicMs }),
  });
  const addKnown = writer.openQueue(MAX_WAITING);
  const addUnknown = writer.openQueue(MAX_UNKNOWN_WAITING);
  return {
    add(refusal, subject) {
      if (subject === null || subject.kind === 'anonymous') addUnknown(refusal);
      else addKnown(refusal);
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
