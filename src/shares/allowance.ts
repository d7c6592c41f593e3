/** Shares of an amount that is bounded per period, such as bytes of records in a minute. */
export interface Allowance {
  /** True, and takes it, if the holder and all holders together have so much left. */
  take(holder: string, amount: number): boolean;
}

export interface AllowanceOptions {
  /** How much one holder may take in a period. */
  readonly each: number;
  /** How much all holders together may take in a period; default: no bound. */
  readonly inAll?: number;
  /** All shares are whole again when a period ends. */
  readonly everyMs: number;
  readonly monotonicMs: () => number;
}

/** About 5 MB. Holders that come after so many others in a period share one share. */
const MOST_HOLDERS = 50_000;
const OTHERS = '';

export function createAllowance({ each, inAll, everyMs, monotonicMs }: AllowanceOptions): Allowance {
  const most = inAll ?? Number.POSITIVE_INFINITY;
  const taken = new Map<string, number>();
  let takenInAll = 0;
  let beganMs = monotonicMs();
  const beginWhenDue = (): void => {
    if (monotonicMs() - beganMs < everyMs) return;
    beganMs = monotonicMs();
    takenInAll = 0;
    taken.clear();
  };
  return {
    take(name, amount) {
      beginWhenDue();
      const holder = taken.has(name) || taken.size < MOST_HOLDERS ? name : OTHERS;
      const sum = (taken.get(holder) ?? 0) + amount;
      if (sum > each || takenInAll + amount > most) return false;
      taken.set(holder, sum);
      takenInAll += amount;
      return true;
    },
  };
}
