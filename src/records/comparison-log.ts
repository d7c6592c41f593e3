import type { ComparisonOutcome } from '../comparison/outcome.ts';
import type { Log } from '../log.ts';
import { createAllowance } from '../shares/allowance.ts';
import type { ComparisonCount, StoredDifference } from '../store/records/differences.ts';
import { within } from '../within.ts';
import { BatchWriter } from './batch-writer.ts';
import { createRepeatingRun } from './repeating-run.ts';

export interface ComparisonLogOptions {
  readonly save: (differences: readonly StoredDifference[]) => Promise<void>;
  readonly addCounts: (counts: readonly ComparisonCount[]) => Promise<void>;
  /** For the metrics. */
  readonly onCount: (outcome: ComparisonOutcome) => void;
  readonly log: Pick<Log, 'warn'>;
  readonly monotonicMs?: () => number;
}

/** What came of comparisons with GitLab Rails. Written in batches, behind the requests. */
export interface ComparisonLog {
  count(outcome: ComparisonOutcome, at: Date): void;
  add(difference: StoredDifference): void;
  /** Writes all that waits now. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

const FLUSH_MS = 1000;
const MAX_WAITING = { items: 400, bytes: 8_000_000 };
/** Bytes of one address, and of all, so that nobody fills the record with differences. */
const SHARE = { each: 256_000, inAll: 4_000_000, everyMs: 60_000 };
const HOUR_MS = 3_600_000;
const CLOSE_TIMEOUT_MS = 5000;
/** About what a difference takes without its scopes and facts, and what each of those takes. */
const RECORD_BYTES = 1500;
const SCOPE_BYTES = 600;
const PROJECT_BYTES = 1000;

export function createComparisonLog(options: ComparisonLogOptions): ComparisonLog {
  const { save, addCounts, onCount, log, monotonicMs = () => performance.now() } = options;
  const share = createAllowance({ ...SHARE, monotonicMs });
  const writer = new BatchWriter<StoredDifference>({
    save,
    bytesOf,
    batchItems: MAX_WAITING.items,
    everyMs: FLUSH_MS,
    messages: {
      failed: 'differences from GitLab Rails could not be recorded',
      lost: 'differences from GitLab Rails are missing from the record',
    },
    log,
    monotonicMs,
  });
  const addDifference = writer.openQueue({
    ...MAX_WAITING,
    hasShare: (difference) => share.take(difference.record.client, bytesOf(difference)),
  });
  /** By outcome and hour. */
  let counts = new Map<string, ComparisonCount>();
  const countMore = ({ outcome, hour, count }: ComparisonCount): void => {
    const key = `${outcome} ${hour.getTime()}`;
    counts.set(key, { outcome, hour, count: (counts.get(key)?.count ?? 0) + count });
  };
  const writeCounts = async (): Promise<void> => {
    const waiting = [...counts.values()];
    if (waiting.length === 0) return;
    counts = new Map();
    try {
      await addCounts(waiting);
    } catch (error) {
      log.warn({ err: error }, 'comparisons with GitLab Rails could not be counted; trying again');
      for (const one of waiting) countMore(one);
    }
  };
  const run = createRepeatingRun(writeCounts, FLUSH_MS);
  return {
    count(outcome, at) {
      onCount(outcome);
      countMore({ outcome, hour: new Date(Math.floor(at.getTime() / HOUR_MS) * HOUR_MS), count: 1 });
    },
    add: (difference) => {
      addDifference(difference);
    },
    flush: async () => {
      await Promise.all([writer.flush(), run.flush()]);
    },
    close: async () => {
      await Promise.all([writer.close(), within(CLOSE_TIMEOUT_MS, run.close())]);
    },
  };
}

function bytesOf({ record: { question, rails, cellpass } }: StoredDifference): number {
  const entries = (rails.token?.access.length ?? 0) + (cellpass.token?.access.length ?? 0);
  const scopes = entries + (question?.asked.scopes.length ?? 0) + (question?.asked.dropped.length ?? 0);
  return RECORD_BYTES + scopes * SCOPE_BYTES + (question?.facts.projects.length ?? 0) * PROJECT_BYTES;
}
