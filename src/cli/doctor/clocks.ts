import { type OtherClock, TOLERANCE_MS } from '../../keys/clock-check.ts';
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

/** Judges the clocks of running servers, as they compared themselves with the database's. */
export function judgeReplicas(clocks: readonly OtherClock[]): Verdict {
  const wrong = clocks.filter(({ aheadMs }) => Math.abs(aheadMs) > TOLERANCE_MS);
  const [first] = wrong;
  if (first === undefined) return ok(`${clocks.length} running processes agree with the database's clock`);
  const seconds = Math.round(first.aheadMs / 1000);
  if (wrong.length === clocks.length && clocks.length > 1) {
    return failed(
      `the clocks of all ${clocks.length} running processes differ from the database's, by ${seconds} s: synchronize the database's machine with a time server`,
    );
  }
  return failed(
    `the clocks of ${wrong.length} of ${clocks.length} running processes differ from the database's by more than 30 s, such as machine ${first.machine} by ${seconds} s: synchronize it with a time server`,
  );
}

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
