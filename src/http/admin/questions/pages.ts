import { setTimeout as pause } from 'node:timers/promises';

/** A candidate that was decided, and where the next page begins if this one ends here. */
export interface Step<T> {
  /** Null: the candidate has no access. */
  readonly row: T | null;
  readonly place: string;
}

export interface Page<T> {
  readonly rows: readonly T[];
  /** Undefined: there are no more rows. */
  readonly next: string | undefined;
}

/** How many candidates are read and decided between two turns of the event loop. */
export const BATCH = 10;

/**
 * Between two batches, in milliseconds, and at least as long as the batch took: questions take half
 * of the time at most. A token request takes several turns of the event loop, and would wait for a
 * batch in each of them.
 */
const SHORTEST_PAUSE_MS = 2;

/** After this, a page ends with what it has: the work for one answer is bounded. */
const LONGEST_WORK_MS = 700;

/**
 * The first rows of `steps`, at most `limit`. It reads on to the row after them, so that `next` is
 * there only if there are more, or if the time was up.
 */
export async function takePage<T>(
  steps: AsyncIterable<readonly Step<T>[]>,
  limit: number,
  monotonicMs: () => number = () => performance.now(),
): Promise<Page<T>> {
  let begunMs = monotonicMs();
  const deadlineMs = begunMs + LONGEST_WORK_MS;
  const rows: T[] = [];
  let next: string | undefined;
  for await (const batch of steps) {
    for (const { row, place } of batch) {
      if (row !== null && rows.length === limit) return { rows, next };
      if (row !== null) rows.push(row);
      next = place;
    }
    if (batch.length > 0 && monotonicMs() > deadlineMs) return { rows, next };
    await pause(Math.max(SHORTEST_PAUSE_MS, monotonicMs() - begunMs));
    begunMs = monotonicMs();
  }
  return { rows, next: undefined };
}
