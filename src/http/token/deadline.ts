import { CellpassError } from '../../errors.ts';

/**
 * The deadline from the point of view of the work that it bounds. Moments are milliseconds as
 * `performance.now()` gives them.
 */
export interface Deadline {
  /** For work that can be stopped: aborted at the deadline. */
  signal(): AbortSignal;
  /** Moves the deadline, unless it has passed. */
  moveTo(atMs: number): void;
}

/**
 * The answer of `work`. Slow work goes on alone after the deadline, and its result is dropped.
 * @throws {CellpassError} `unavailable` when `work` is not done at `atMs`.
 */
export async function withDeadline<T>(atMs: number, work: (deadline: Deadline) => Promise<T>): Promise<T> {
  // Made only on demand: most work never waits, and a signal is not cheap.
  let late: AbortController | undefined;
  let isLate = false;
  const { promise: overdue, reject } = withReject();
  const expire = (): void => {
    isLate = true;
    late?.abort();
    reject(tooSlow());
  };
  let timer = setTimeout(expire, msUntil(atMs));
  const deadline: Deadline = {
    signal: () => {
      if (isLate) return AbortSignal.abort();
      late ??= new AbortController();
      return late.signal;
    },
    moveTo: (laterMs) => {
      if (isLate) return;
      clearTimeout(timer);
      timer = setTimeout(expire, msUntil(laterMs));
    },
  };
  try {
    return await Promise.race([work(deadline), overdue]);
  } finally {
    clearTimeout(timer);
  }
}

function withReject(): { readonly promise: Promise<never>; readonly reject: (error: Error) => void } {
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<never>((_, rejectPromise) => {
    reject = rejectPromise;
  });
  return { promise, reject };
}

function msUntil(momentMs: number): number {
  return Math.max(1, momentMs - performance.now());
}

function tooSlow(): CellpassError {
  return new CellpassError('unavailable', 'the answer takes too long; try again', {
    reason: 'too_slow',
    retryAfterSeconds: 1,
  });
}
