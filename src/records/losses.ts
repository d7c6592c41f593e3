import type { Log } from '../log.ts';

/**
 * Why a record was lost: its queue was full, one holder had used up their share, the room on disk
 * was full, or the database refused it.
 */
type LossCause = 'buffer_full' | 'share_used_up' | 'no_room' | 'not_written';

export type LossCounts = Readonly<Record<LossCause, number>>;

/** Counts lost records by cause, and warns about them once in a while. */
export interface Losses {
  add(cause: LossCause, count: number): void;
  /** For losses that another log line has already reported. */
  addReported(cause: LossCause, count: number): void;
  counts(): LossCounts;
  /** Logs one line for all new losses; at most once in ten seconds, unless `atOnce`. */
  report(options: { readonly atOnce: boolean }): void;
}

export interface LossesOptions {
  /** Null: losses are counted, but not worth a warning. */
  readonly message: string | null;
  readonly log: Pick<Log, 'warn'>;
  readonly monotonicMs: () => number;
}

const REPORT_MS = 10_000;

export function createLosses({ message, log, monotonicMs }: LossesOptions): Losses {
  const counts = { buffer_full: 0, share_used_up: 0, no_room: 0, not_written: 0 };
  let unreported = 0;
  let reportedMs = Number.NEGATIVE_INFINITY;
  return {
    add(cause, count) {
      counts[cause] += count;
      unreported += count;
    },
    addReported(cause, count) {
      counts[cause] += count;
    },
    counts: () => ({ ...counts }),
    report({ atOnce }) {
      if (unreported === 0 || message === null) return;
      if (!atOnce && monotonicMs() - reportedMs < REPORT_MS) return;
      log.warn({ lost: unreported, in_all: { ...counts } }, message);
      unreported = 0;
      reportedMs = monotonicMs();
    },
  };
}
