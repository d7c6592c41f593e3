/** Tells how far the wall clock was moved while this process looked: by hand, by a guest's host, or by a time server's first answer. */
export interface SteadyClock {
  /**
   * By how much the clock was moved forward since `id` was first seen, in milliseconds. A time that passed on a clock which was moved
   * did not pass for a registry.
   */
  skippedMsSince(id: string): number;
  /** The latest time that the wall clock showed at any look. */
  latest(): Date;
  /** Looks at both clocks, and remembers which ids there are from now on. */
  observe(ids: readonly string[]): void;
}

/** What drift and rounding may add between two looks. */
const UNNOTICED_MS = 500;

/** `monotonicMs` counts the time that really passes, from any beginning. */
export function createSteadyClock(now: () => Date, monotonicMs: () => number): SteadyClock {
  let offset = now().getTime() - monotonicMs();
  let skippedMs = 0;
  let latestMs = now().getTime();
  const skippedAtFirst = new Map<string, number>();
  const look = (): void => {
    const nowMs = now().getTime();
    latestMs = Math.max(latestMs, nowMs);
    const current = nowMs - monotonicMs();
    const moved = current - offset;
    if (moved > UNNOTICED_MS) skippedMs += moved;
    offset = current;
  };
  return {
    skippedMsSince(id) {
      look();
      return skippedMs - (skippedAtFirst.get(id) ?? skippedMs);
    },
    latest() {
      look();
      return new Date(latestMs);
    },
    observe(ids) {
      look();
      for (const id of [...skippedAtFirst.keys()]) if (!ids.includes(id)) skippedAtFirst.delete(id);
      for (const id of ids) if (!skippedAtFirst.has(id)) skippedAtFirst.set(id, skippedMs);
    },
  };
}
