import type { Worker } from 'node:cluster';
import { addUp, type Snapshot } from '../../http/metrics/report.ts';

/** The primary's question; the answer has the same id. */
export interface MetricsQuestion {
  readonly kind: 'metrics';
  readonly id: number;
}

/** A worker's answer. */
export interface MetricsAnswer {
  readonly kind: 'metrics';
  readonly id: number;
  readonly metrics: Snapshot;
}

export interface WorkerMetrics {
  /** Includes this worker in `gather` from now on. */
  watch(worker: Worker): void;
  /** The metrics of each worker, and one sum of the counters of all workers that have ended. */
  gather(): Promise<readonly Snapshot[]>;
}

/** Well under the 10 s after which Prometheus gives up. */
const ANSWER_MS = 1000;

/**
 * Gathers workers' metrics over the cluster's messages. The counts of a worker that ends, or does
 * not answer in time, stay in the sum: Prometheus would take a falling counter for a restart.
 * prom-client's own cluster support fails as a whole when one worker does not answer.
 */
export function createWorkerMetrics(): WorkerMetrics {
  const latest = new Map<Worker, Snapshot>();
  let ended: readonly Snapshot[] = [];
  let questions = 0;
  return {
    watch(worker) {
      latest.set(worker, []);
      worker.once('exit', () => {
        ended = [...ended, countersOf(latest.get(worker) ?? [])];
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
      // Replace the list by its sum, unless another worker ended, or another `gather` replaced it,
      // in the meantime.
      if (ended === before) ended = [sum];
      return [...latest.values(), ...ended];
    },
  };
}

/** Drop the gauges: a dead worker's values mean nothing. */
function countersOf(snapshot: Snapshot): Snapshot {
  return snapshot.filter(({ type }) => String(type) !== 'gauge');
}

/** Undefined when the worker ends or does not answer in time. */
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
