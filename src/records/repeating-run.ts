/** Runs one piece of work again and again behind the requests, and never twice at a time. */
export interface RepeatingRun {
  /** Resolves when a run that begins after this call is done. */
  flush(): Promise<void>;
  /** Ends the timer and does the last run. */
  close(): Promise<void>;
}

/** @param work must not reject, because no caller handles its errors. */
export function createRepeatingRun(work: () => Promise<void>, everyMs: number): RepeatingRun {
  let last: Promise<void> = Promise.resolve();
  let unfinished = 0;
  const flush = async (): Promise<void> => {
    unfinished += 1;
    last = last.then(work).finally(() => {
      unfinished -= 1;
    });
    await last;
  };
  // The timer skips its turn while a run is under way, so that slow runs do not pile up.
  const timer = setInterval(() => {
    if (unfinished === 0) void flush();
  }, everyMs).unref();
  return {
    flush,
    close: async () => {
      clearInterval(timer);
      await flush();
    },
  };
}
