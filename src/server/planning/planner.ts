import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isRecord } from '../../config/issues.ts';
import type { ApplyDependencies } from '../../directory/apply.ts';
import { CellpassError } from '../../errors.ts';
import type { DirectoryResource } from '../../http/admin/directory.ts';
import { oneAfterAnother } from '../../shares/one-after-another.ts';
import { endOf, withoutSettings } from '../hashing/hasher.ts';
import type { FromPlanner, PlanningJob } from './channel.ts';
import { type JobLimits, runJob } from './run-job.ts';

/** Applies and exports directory documents in a process of low priority. */
export interface Planner extends DirectoryResource {
  /** Ends the process; documents that are not applied yet fail with `unavailable`. */
  close(): Promise<void>;
}

interface PlannerLimits extends JobLimits {
  /** After how long without work the process ends, which gives its memory back. */
  readonly idleMs: number;
}

const LIMITS: PlannerLimits = { silenceMs: 60_000, heapMb: 2048, idleMs: 60_000 };

/** `.ts` in tests, `.js` when built. */
const ENTRY = fileURLToPath(new URL(`planner-process${extname(import.meta.url)}`, import.meta.url));

/**
 * The process starts with the first document, and again after it ended. It gets one document after
 * the other. The process that answers requests only passes statements on to the database, so that
 * even a large document doesn't block its event loop.
 */
export function createPlanner(services: ApplyDependencies, limits: PlannerLimits = LIMITS): Planner {
  let running: Promise<ChildProcess> | undefined;
  let idle: NodeJS.Timeout | undefined;
  let isClosing = false;
  const inTurn = oneAfterAnother();
  const start = (): Promise<ChildProcess> => {
    const child = forkPlanner(limits);
    const ended = endOf(child);
    const started = untilReady(child, ended);
    void ended.then(() => {
      if (running === started) running = undefined;
    });
    return started;
  };
  const endRunning = async (): Promise<void> => {
    clearTimeout(idle);
    const last = running;
    // A document that comes now needs another process.
    running = undefined;
    const child = await last?.catch(() => undefined);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await endOf(child);
  };
  const run = async (job: PlanningJob): Promise<unknown> => {
    if (isClosing) throw away('the server is stopping');
    clearTimeout(idle);
    running ??= start();
    try {
      return await runJob(await running, job, { services, limits });
    } finally {
      idle = setTimeout(() => void endRunning(), limits.idleMs).unref();
    }
  };
  const enqueue = (job: PlanningJob): Promise<unknown> => inTurn(() => run(job));
  return {
    apply: async (given, options) => {
      const nowMs = services.now().getTime();
      const { refusesExamples = false, issuers = null, tokenDays } = services;
      const result = await enqueue({
        kind: 'apply',
        given,
        options,
        refusesExamples,
        issuers,
        tokenDays,
        nowMs,
      });
      if (isApplied(result)) return result;
      throw new Error('the planning process gave no result');
    },
    export: async () => String(await enqueue({ kind: 'export' })),
    close: async () => {
      isClosing = true;
      await endRunning();
      await inTurn(async () => undefined);
      clearTimeout(idle);
    },
  };
}

function isApplied(result: unknown): result is object & { readonly change_id: number | null } {
  return isRecord(result) && (result['change_id'] === null || typeof result['change_id'] === 'number');
}

function forkPlanner({ heapMb }: PlannerLimits): ChildProcess {
  return fork(ENTRY, {
    env: withoutSettings(process.env),
    execArgv: [...process.execArgv, `--max-old-space-size=${heapMb}`],
    // Faster than JSON for long texts, and it keeps dates and bytes.
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
}

async function untilReady(child: ChildProcess, ended: Promise<string>): Promise<ChildProcess> {
  const ready = new Promise<FromPlanner>((resolve) => child.once('message', resolve));
  const first = await Promise.race([ready, ended]);
  if (typeof first === 'string')
    throw away(`the process that plans directory documents could not start: ${first}`);
  return child;
}

function away(problem: string): CellpassError {
  return new CellpassError('unavailable', problem, { retryAfterSeconds: 1 });
}
