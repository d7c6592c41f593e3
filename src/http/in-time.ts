import { CellpassError } from '../errors.ts';

/**
 * The answer of `work`, or `unavailable` when it takes longer than `timeoutMs`: whoever waits must hear in time, however many slow steps
 * there are. What is under way then ends by itself, and its outcome counts for nothing; `late` tells it.
 */
export async function inTime<T>(timeoutMs: number, work: (late: AbortSignal) => Promise<T>): Promise<T> {
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const overdue = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      late.abort();
      reject(
        new CellpassError('unavailable', 'the answer takes too long; try again', {
          reason: 'too_slow',
          retryAfterSeconds: 1,
        }),
      );
    }, timeoutMs);
  });
  try {
    return await Promise.race([work(late.signal), overdue]);
  } finally {
    clearTimeout(timer);
  }
}
