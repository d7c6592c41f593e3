import { failed, ok, type Verdict, warning } from './finding.ts';

export interface ClockTolerance {
  readonly warnSeconds: number;
  readonly failSeconds: number;
}

/** Ages of keys and expiries of tokens are compared across both clocks. */
export const DATABASE_CLOCK: ClockTolerance = { warnSeconds: 2, failSeconds: 30 };
/**
 * cellpass sets `nbf` 5 s back, and registries allow 60 s more (distribution, registry/auth/token).
 */
export const REGISTRY_CLOCK: ClockTolerance = { warnSeconds: 5, failSeconds: 60 };

/** Judges a clock that is `aheadSeconds` ahead of this machine's; a negative number is behind. */
export function judgeClock(whose: string, aheadSeconds: number, tolerance: ClockTolerance): Verdict {
  const apart = Math.abs(aheadSeconds);
  const way = aheadSeconds > 0 ? 'ahead of' : 'behind';
  const message = `${whose} clock is ${apart.toFixed(1)} s ${way} this machine's`;
  if (apart < tolerance.warnSeconds) return ok(message);
  const remedy = 'synchronize both with a time server';
  return apart < tolerance.failSeconds
    ? warning(`${message}: ${remedy}`)
    : failed(`${message}, so tokens are refused: ${remedy}`);
}
