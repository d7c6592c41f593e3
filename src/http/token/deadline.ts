import { CellpassError } from '../../errors.ts';

/**
 * The answer of `work`. Slow work goes on alone after the deadline, and its result is dropped.
 * @param work gets a function that returns a signal for the deadline, for work that can be stopped.
 * @throws {CellpassError} `unavailable` when `work` takes longer than `timeoutMs`.
 */
export async function withDeadline<T>(
  timeoutMs: number,
  work: (late: () => AbortSignal) => Promise<T>,
): Promise<T> {
  // Made only on demand: most work never waits, and a signal is not cheap.
  let late: AbortController | undefined;
  let isLate = false;
  let timer: NodeJS.Timeout | undefined;
  const overdue = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      isLate = true;
      late?.abort();
      reject(
        new CellpassError('unavailable', 'the answer takes too long; try again', {
          reason: 'too_slow',
          retryAfterSeconds: 1,
        }),
      );
    }, timeoutMs);
  });
  const signal = (): AbortSignal => {
    if (isLate) return AbortSignal.abort();
    late ??= new AbortController();
    return late.signal;
  };
  try {
    return await Promise.race([work(signal), overdue]);
  } finally {
    clearTimeout(timer);
  }
}
