import type { ChildProcess } from 'node:child_process';
import type { ApplyDependencies } from '../../directory/apply.ts';
import { CellpassError } from '../../errors.ts';
import { answerCalls, type JobCalls } from './calls.ts';
import type { FromPlanner, PlanningCall, PlanningFailure, PlanningJob, ToPlanner } from './channel.ts';

export interface JobLimits {
  /** How long the process may compute without asking the server for anything. */
  readonly silenceMs: number;
  /** How much memory the process may take for JavaScript objects. */
  readonly heapMb: number;
}

interface JobContext {
  readonly services: Pick<ApplyDependencies, 'database' | 'passwords'>;
  readonly limits: JobLimits;
}

/** The exit code and the signal of a process that V8 ends because it finds no more memory. */
const OUT_OF_MEMORY = ['134', 'SIGABRT'];

/**
 * Runs one job in a planning process, and rolls back what the job has not committed.
 * @throws {CellpassError} what the job throws; `size` if it computes for too long, for which the
 * process is ended, or needs too much memory; `unavailable` if the process ends.
 */
export async function runJob(child: ChildProcess, job: PlanningJob, context: JobContext): Promise<unknown> {
  const calls = answerCalls(context.services);
  const exchange = openExchange(child, calls, context.limits);
  try {
    return await exchange.run(job);
  } finally {
    exchange.close();
    await calls.end();
  }
}

/** The messages of one job, in both directions. */
function openExchange(child: ChildProcess, calls: JobCalls, { silenceMs, heapMb }: JobLimits) {
  const refusals = new Map<number, unknown>();
  let silence: NodeJS.Timeout | undefined;
  let isTooSlow = false;
  let isClosed = false;
  let succeed = (_result: unknown): void => undefined;
  let fail = (_error: unknown): void => undefined;
  const send = (message: ToPlanner | { readonly kind: 'answer'; id: number; value: unknown }): void => {
    if (isClosed) return;
    silence = setTimeout(() => {
      isTooSlow = true;
      child.kill('SIGKILL');
    }, silenceMs);
    // A message that can't be sent is lost with the process.
    child.send(message, () => undefined);
  };
  const reply = async (id: number, call: PlanningCall): Promise<void> => {
    try {
      send({ kind: 'answer', id, value: await calls.answer(call) });
    } catch (error) {
      refusals.set(id, error);
      send({ kind: 'refusal', id });
    }
  };
  const onMessage = (message: FromPlanner): void => {
    clearTimeout(silence);
    if (message.kind === 'call') void reply(message.id, message.call);
    if (message.kind === 'done') succeed(message.result);
    if (message.kind === 'failed') fail(toError(message.failure, refusals));
  };
  const onExit = (): void => {
    const how = String(child.signalCode ?? child.exitCode);
    fail(isTooSlow ? tooLarge(`${silenceMs / 1000} s of computing`) : endedEarly(how, heapMb));
  };
  return {
    run: (job: PlanningJob): Promise<unknown> =>
      new Promise((resolve, reject) => {
        succeed = resolve;
        fail = reject;
        child.on('message', onMessage).once('exit', onExit);
        if (child.exitCode !== null || child.signalCode !== null) onExit();
        else send({ kind: 'job', job });
      }),
    close: (): void => {
      isClosed = true;
      clearTimeout(silence);
      child.off('message', onMessage).off('exit', onExit);
    },
  };
}

function toError(failure: PlanningFailure, refusals: ReadonlyMap<number, unknown>): unknown {
  switch (failure.kind) {
    case 'refused':
      return refusals.get(failure.id);
    case 'coded':
      return new CellpassError(failure.code, failure.message, {
        ...(failure.problems !== null && { problems: failure.problems }),
      });
    case 'unexpected':
      return new Error(`planning failed: ${failure.stack}`);
  }
}

function endedEarly(how: string, heapMb: number): CellpassError {
  if (OUT_OF_MEMORY.includes(how)) return tooLarge(`${heapMb} MB of memory`);
  return new CellpassError(
    'unavailable',
    `the process that plans directory documents ended (${how}): nothing was applied, try again`,
    { retryAfterSeconds: 1 },
  );
}

function tooLarge(limit: string): CellpassError {
  return new CellpassError(
    'size',
    `planning the document took more than ${limit}: nothing was applied; apply it in several parts`,
  );
}
