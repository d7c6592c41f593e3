import { readdirSync } from 'node:fs';
import { setPriority } from 'node:os';
import { argon2id } from '../../authn/password.ts';
import { answerHashing, type HashingQuestion } from './channel.ts';

/**
 * The process that hashes passwords, and does nothing else: `hasher.ts` starts it, and its messages say what to hash. It runs by itself when it
 * is loaded.
 */

/** What it says first. `problem`: why it runs as if it were as urgent as the rest. */
export interface HasherReady {
  readonly kind: 'ready';
  readonly problem: string | null;
}

/** From -20 to 19: a tenth of what is as urgent as usual. See docs/performance.md for what others would bring. */
const NICE = 10;

// What signals do is the business of whoever started it.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
// Without it nobody asks any more, or waits for an answer.
process.on('disconnect', () => process.exit());
process.on('message', async (question: HashingQuestion) => tell(await answerHashing(question, argon2id)));
tell({ kind: 'ready', problem: giveWay() });

function tell(message: object): void {
  if (process.connected) process.send?.(message);
}

/** Lets everything else have the processor first. Linux keeps a priority for each thread, and those that hash are there already. */
function giveWay(): string | null {
  try {
    if (process.platform === 'linux')
      for (const thread of readdirSync('/proc/self/task')) setPriority(Number(thread), NICE);
    setPriority(NICE);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : 'unknown';
  }
}
