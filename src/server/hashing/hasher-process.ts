import { readdirSync } from 'node:fs';
import { setPriority } from 'node:os';
import { passwordHashing } from '../../authn/password-schemes.ts';
import { answerHashing, type HashingQuestion } from './channel.ts';

/**
 * The program of the process that hashes passwords, and does nothing else. `hasher.ts` starts it
 * and sends it what to hash. Importing this file runs the program.
 */

/** Its first message. `problem`: why its priority could not be lowered. */
export interface HasherReady {
  readonly kind: 'ready';
  readonly problem: string | null;
}

/**
 * From -20 to 19; 10 gets about a tenth of the processor time of 0. docs/performance.md compares it
 * with others.
 */
const NICE = 10;

// The process that started this one handles signals and ends it.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
// The process that asks has ended.
process.on('disconnect', () => process.exit());
process.on('message', async (question: HashingQuestion) =>
  tell(await answerHashing(question, passwordHashing)),
);
tell({ kind: 'ready', problem: lowerPriority() });

function tell(message: object): void {
  if (process.connected) process.send?.(message);
}

/**
 * Lowers the priority of this process. Linux has one for each thread, and the threads that hash
 * already run.
 */
function lowerPriority(): string | null {
  try {
    if (process.platform === 'linux')
      for (const thread of readdirSync('/proc/self/task')) setPriority(Number(thread), NICE);
    setPriority(NICE);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : 'unknown';
  }
}
