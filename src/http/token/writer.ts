/** Runs one piece of work over and over, behind the requests, and never twice at a time. */
export interface Writer {
  /** Runs it once more; resolves when that run, which begins after this call, is done. */
  flush(): Promise<void>;
  /** The last run. */
  close(): Promise<void>;
}

/** @param write must not reject: nobody waits for it who could be told. */
export function createWriter(write: () => Promise<void>, everyMs: number): Writer {
  let last: Promise<void> = Promise.resolve();
  let unfinished = 0;
  const flush = async (): Promise<void> => {
    unfinished += 1;
    last = last.then(write).finally(() => {
      unfinished -= 1;
    });
    await last;
  };
  // Where a run takes longer than the time to the next, there is no use in runs that queue behind it.
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
