/**
 * Detects when the wall clock jumps: an admin sets it, the host of a virtual machine corrects it,
 * or the time server answers for the first time.
 */
export interface SteadyClock {
  /**
   * By how many milliseconds the wall clock was moved forward since `observe` first got `id`.
   * Registries did not have this time to fetch the key.
   */
  skippedMsSince(id: string): number;
  /** The latest time that the wall clock has shown. */
  latest(): Date;
  /** Compares the clocks, and replaces the tracked ids by `ids`. */
  observe(ids: readonly string[]): void;
}

/** Drift and rounding between two comparisons stay below this. */
const UNNOTICED_MS = 500;

/**
 * @param monotonicMs elapsed milliseconds from an arbitrary start; setting the wall clock doesn't
 * change it.
 */
export function createSteadyClock(now: () => Date, monotonicMs: () => number): SteadyClock {
  let offset = now().getTime() - monotonicMs();
  let skippedMs = 0;
  let latestMs = now().getTime();
  const skippedAtFirst = new Map<string, number>();
  const compare = (): void => {
    const nowMs = now().getTime();
    latestMs = Math.max(latestMs, nowMs);
    const current = nowMs - monotonicMs();
    const moved = current - offset;
    if (moved > UNNOTICED_MS) skippedMs += moved;
    offset = current;
  };
  return {
    skippedMsSince(id) {
      compare();
      return skippedMs - (skippedAtFirst.get(id) ?? skippedMs);
    },
    latest() {
      compare();
      return new Date(latestMs);
    },
    observe(ids) {
      compare();
      for (const id of [...skippedAtFirst.keys()]) if (!ids.includes(id)) skippedAtFirst.delete(id);
      for (const id of ids) if (!skippedAtFirst.has(id)) skippedAtFirst.set(id, skippedMs);
    },
  };
}
