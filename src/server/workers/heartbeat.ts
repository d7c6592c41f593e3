import type { Worker } from 'node:cluster';
import type { Log } from '../../log.ts';
import type { PrimaryMessage, WorkerMessage } from './messages.ts';

const PING_MS = 1000;
/** A worker that does not answer for about ten seconds answers no client either. */
const MOST_MISSED = 10;

/**
 * Asks a worker every second whether it answers, and kills it after ten seconds without an answer,
 * so that it is replaced. Missed questions count, rather than the time: a primary that was itself
 * stopped, or busy, asks only once in that time.
 */
export function watchHeartbeat(worker: Worker, log: Pick<Log, 'error'>, pingMs = PING_MS): void {
  const ping: PrimaryMessage = { kind: 'ping' };
  let isAnswered = true;
  let missed = 0;
  const timer = setInterval(() => {
    if (isAnswered) {
      isAnswered = false;
      missed = 0;
      if (worker.isConnected()) worker.send(ping, () => undefined);
      return;
    }
    missed += 1;
    if (missed < MOST_MISSED) return;
    log.error({ worker: worker.id, missed }, 'a worker no longer answers; ending it');
    worker.process.kill('SIGKILL');
    clearInterval(timer);
  }, pingMs).unref();
  worker.on('message', (message: WorkerMessage) => {
    if (message.kind === 'alive') isAnswered = true;
  });
  worker.once('exit', () => clearInterval(timer));
}
