import { setTimeout as delay } from 'node:timers/promises';

import type { KeySet } from '../keys/key-set.ts';
import type { Log } from '../log.ts';
import type { KeyOutcome } from './key-change.ts';
import type { Moment } from './permit.ts';
import { type KeyPeriods, plannedStep } from './plan.ts';

export interface ScheduleOptions {
  readonly periods: KeyPeriods;
  readonly currentSet: () => KeySet;
  readonly moment: () => Moment;
  /** Runs `work` unless another replica runs it; see `Database.tryExclusively`. */
  readonly exclusively: (work: () => Promise<void>) => Promise<boolean>;
  readonly stage: () => Promise<KeyOutcome>;
  readonly rotate: () => Promise<KeyOutcome>;
  readonly log: Pick<Log, 'info' | 'warn'>;
}

/** Rotates keys automatically. */
export interface Schedule {
  /** Takes the step that is due, if any. Resolves to whether this replica had its turn. */
  tick(): Promise<boolean>;
  start(): void;
  close(): Promise<void>;
}

/** The actor of the schedule's steps in the audit record. */
export const SCHEDULE_ACTOR = 'schedule';

const TICK_MS = 1000;
/** The pause after a failed step: each attempt sends a request to every registry. */
const RETRY_MS = 60_000;

/** Creates a schedule that checks every second whether a step is due, once started. */
export function createSchedule(options: ScheduleOptions): Schedule {
  const { log } = options;
  const stopped = new AbortController();
  let running: Promise<void> | undefined;
  const tick = async (): Promise<boolean> => {
    if (plannedStep(options.currentSet(), options.periods, options.moment()) === null) return false;
    return options.exclusively(async () => {
      // Another replica may have taken the step before this one got the lock.
      const step = plannedStep(options.currentSet(), options.periods, options.moment());
      if (step === null) return;
      const { message, activated, staged } = await options[step]();
      log.info({ activated, staged }, `key rotation: ${message}`);
    });
  };
  const run = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      const pauseMs = await tick().then(
        () => TICK_MS,
        (error: unknown) => {
          log.warn({ err: error }, 'the scheduled key rotation failed; retrying');
          return RETRY_MS;
        },
      );
      await delay(pauseMs, undefined, { signal: stopped.signal, ref: false }).catch(() => undefined);
    }
  };
  return {
    tick,
    start() {
      running ??= run();
    },
    async close() {
      stopped.abort();
      await running;
    },
  };
}
