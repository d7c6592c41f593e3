import { setTimeout as delay } from 'node:timers/promises';

import type { KeySet } from '../keys/key-set.ts';
import type { KeyOutcome } from './key-change.ts';
import { type KeyPeriods, type Moment, plannedStep } from './plan.ts';

export interface ScheduleOptions {
  readonly periods: KeyPeriods;
  readonly currentSet: () => KeySet;
  readonly moment: () => Moment;
  /** Runs `work` unless another replica is at it; see `Database.tryExclusively`. */
  readonly exclusively: (work: () => Promise<void>) => Promise<boolean>;
  readonly stage: () => Promise<KeyOutcome>;
  readonly rotate: () => Promise<KeyOutcome>;
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
}

/** Rotation that nobody has to think of. */
export interface Schedule {
  /** Takes the step that is due, if any. Whether it did. */
  tick(): Promise<boolean>;
  start(): void;
  close(): Promise<void>;
}

/** The actor of what the schedule does, in the audit record. */
export const SCHEDULE_ACTOR = 'schedule';

const TICK_MS = 1000;
/** A step that was refused, such as by a registry, is tried again after a minute: each try asks every registry. */
const RETRY_MS = 60_000;

export function createSchedule(options: ScheduleOptions): Schedule {
  const { log } = options;
  const stopped = new AbortController();
  let running: Promise<void> | undefined;
  const tick = async (): Promise<boolean> => {
    if (plannedStep(options.currentSet(), options.periods, options.moment()) === null) return false;
    return options.exclusively(async () => {
      // Once more, now that nobody else is at it.
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
          log.warn({ err: error }, 'the scheduled key rotation could not take its step; trying again');
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
