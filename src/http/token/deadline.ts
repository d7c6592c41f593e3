import { CellpassError } from '../../errors.ts';

/**
 * The answer of `work`, or `unavailable` when it takes longer than `timeoutMs`: whoever waits must hear in time, however many slow steps
 * there are. What is under way then ends by itself, and its outcome counts for nothing; `late` tells it, if it asks.
 */
export async function inTime<T>(
  timeoutMs: number,
  work: (late: () => AbortSignal) => Promise<T>,
): Promise<T> {
  // Most have nothing to wait for, and a signal is not cheap.
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
