import type { Worker } from 'node:cluster';
import { addUp, type Snapshot } from '../http/metrics/report.ts';

/** What a worker answers when it is asked. */
export interface MetricsAnswer {
  readonly kind: 'metrics';
  readonly id: number;
  readonly metrics: Snapshot;
}

/** What the primary asks; the answer has the same id. */
export interface MetricsQuestion {
  readonly kind: 'metrics';
  readonly id: number;
}

export interface WorkerMetrics {
  /** From now on until it ends this worker is asked. */
  watch(worker: Worker): void;
  /** Of each worker, and of all that have ended. */
  gather(): Promise<readonly Snapshot[]>;
}

/** Under the 10 s after which Prometheus gives up. */
const ANSWER_MS = 1000;

/**
 * Workers' metrics over the cluster's messages. What a worker has counted stays counted when it ends, and when it doesn't answer: a sum that
 * fell would look like a restart. prom-client's own way of gathering fails as a whole when one worker doesn't answer.
 */
export function createWorkerMetrics(): WorkerMetrics {
  const latest = new Map<Worker, Snapshot>();
  let ended: readonly Snapshot[] = [];
  let questions = 0;
  return {
    watch(worker) {
      latest.set(worker, []);
      worker.once('exit', () => {
        ended = [...ended, countedBy(latest.get(worker) ?? [])];
        latest.delete(worker);
      });
    },
    async gather() {
      await Promise.all(
        [...latest.keys()].map(async (worker) => {
          questions += 1;
          const answer = await ask(worker, { kind: 'metrics', id: questions });
          if (answer !== undefined && latest.has(worker)) latest.set(worker, answer);
        }),
      );
      const before = ended;
      const sum = await addUp(before).getMetricsAsJSON();
      // Unless another worker ended meanwhile, or somebody else asked and was first: then the next time.
      if (ended === before) ended = [sum];
      return [...latest.values(), ...ended];
    },
  };
}

/** What is now is nobody's any more. */
function countedBy(snapshot: Snapshot): Snapshot {
  return snapshot.filter(({ type }) => String(type) !== 'gauge');
}

function ask(worker: Worker, question: MetricsQuestion): Promise<Snapshot | undefined> {
  return new Promise((resolve) => {
    const finish = (metrics?: Snapshot): void => {
      clearTimeout(overdue);
      worker.off('message', onMessage);
      worker.off('exit', onExit);
      resolve(metrics);
    };
    const onMessage = (message: MetricsAnswer | { readonly kind: string }): void => {
      if ('metrics' in message && message.id === question.id) finish(message.metrics);
    };
    const onExit = (): void => finish();
    const overdue = setTimeout(finish, ANSWER_MS);
    worker.on('message', onMessage);
    worker.once('exit', onExit);
    if (worker.isConnected()) worker.send(question, () => undefined);
  });
}
