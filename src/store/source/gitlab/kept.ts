import type { Log } from '../../../log.ts';

/** Something that is read now and then and used in between, such as what a database looks like. */
export interface Kept<T> {
  /** The one that is kept; where it is old, it is read anew behind the answer. */
  get(): Promise<T>;
  /** Reads it anew, unless somebody has done so since `old`. */
  renew(old: T): Promise<T>;
  /** Puts `fresh` in the place of `old`, unless another one has come in between. */
  replace(old: T, fresh: T): void;
  /** The last one that was read; undefined before the first. */
  last(): T | undefined;
}

export interface KeptOptions {
  /** For the log: `GitLab's database`. */
  readonly what: string;
  /** In milliseconds. */
  readonly renewMs: number;
  /** After a failure it is not read for so long: each request would do it. In milliseconds. */
  readonly restMs: number;
  /**
   * Whether a failure counts more than what is kept: it says that this no longer holds, and not only
   * that nobody answered.
   */
  readonly isVerdict: (error: unknown) => boolean;
  readonly monotonicMs: () => number;
  readonly log: Pick<Log, 'warn'>;
}

/** Reads once for all who wait. */
export function keep<T>(read: () => Promise<T>, options: KeptOptions): Kept<T> {
  const { what, renewMs, restMs, isVerdict, monotonicMs, log } = options;
  let kept: T | undefined;
  let reading: Promise<T> | undefined;
  let failure: { readonly error: unknown; readonly atMs: number } | undefined;
  let dueAtMs = 0;

  const readNow = (): Promise<T> => {
    reading ??= read()
      .then((fresh) => {
        kept = fresh;
        failure = undefined;
        dueAtMs = monotonicMs() + renewMs;
        return fresh;
      })
      .catch((error: unknown) => {
        failure = { error, atMs: monotonicMs() };
        throw error;
      })
      .finally(() => {
        reading = undefined;
      });
    return reading;
  };
  const readUnlessFailed = async (): Promise<T> => {
    if (failure !== undefined && monotonicMs() - failure.atMs < restMs) throw failure.error;
    return readNow();
  };
  return {
    async get() {
      if (kept === undefined || isVerdict(failure?.error)) return readUnlessFailed();
      if (monotonicMs() >= dueAtMs && reading === undefined) {
        // Due again at its usual time, also where it fails.
        dueAtMs = monotonicMs() + renewMs;
        readNow().catch((error: unknown) => log.warn({ err: error }, `${what} was not looked at anew`));
      }
      return kept;
    },
    renew: async (old) => (kept !== undefined && kept !== old ? kept : readUnlessFailed()),
    replace: (old, fresh) => {
      if (kept === old) kept = fresh;
    },
    last: () => kept,
  };
}
