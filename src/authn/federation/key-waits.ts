/** The requests of this process that wait for the keys of an issuer, whichever it is. */
export interface KeyWaits {
  /** False: the work is not done, because it takes too long or too many requests wait. */
  wait(work: Promise<void>): Promise<boolean>;
}

export interface KeyWaitLimits {
  readonly most?: number;
  readonly longestMs?: number;
}

/**
 * A slow issuer must not hold the turns of all other requests: anybody can send tokens with invented
 * key ids, and each of them waits. The default time is less than a client waits for its answer.
 */
export function createKeyWaits({ most = 32, longestMs = 1500 }: KeyWaitLimits = {}): KeyWaits {
  let waiting = 0;
  return {
    async wait(work) {
      if (waiting >= most) return false;
      waiting += 1;
      let timer: NodeJS.Timeout | undefined;
      const tooLong = new Promise<boolean>((resolve) => {
        timer = setTimeout(resolve, longestMs, false);
      });
      try {
        return await Promise.race([work.then(() => true), tooLong]);
      } finally {
        clearTimeout(timer);
        waiting -= 1;
      }
    },
  };
}
