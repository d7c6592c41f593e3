import { readdirSync } from 'node:fs';
import { setPriority } from 'node:os';
import { passwordHashing } from '../../authn/password-schemes.ts';
import { answerHashing, type HashingQuestion } from './channel.ts';

/**
 * The entry point of the process that hashes passwords and does nothing else. `hasher.ts` starts it
 * and sends it the passwords.
 */

/** The first message. `problem`: why the process has the usual priority, or null. */
export interface HasherReady {
  readonly kind: 'ready';
  readonly problem: string | null;
}

/**
 * From -20 to 19. At 10, a busy processor gives this process a tenth; docs/performance.md compares
 * other values.
 */
const NICE = 10;

// Only the process that started this one acts on signals. SIGUSR1 would open Node's debugger, which
// any user of this machine can connect to.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const) process.on(signal, () => undefined);
// The parent is gone, so no answer is waited for.
process.on('disconnect', () => process.exit());
process.on('message', async (question: HashingQuestion) =>
  tell(await answerHashing(question, passwordHashing)),
);
tell({ kind: 'ready', problem: lowerPriority() });

function tell(message: object): void {
  if (process.connected) process.send?.(message);
}

/**
 * Lowers the priority below that of the other processes. On Linux each thread has its own priority,
 * and libuv's threads, which hash, are running already. Returns the problem if it fails.
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
