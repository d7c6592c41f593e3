import assert from 'node:assert/strict';
import type { Worker } from 'node:cluster';
import { EventEmitter } from 'node:events';
import { Counter, Registry } from 'prom-client';
import { addUp, type Snapshot } from '../../../src/http/metrics/report.ts';
import { createWorkerMetrics, type MetricsQuestion } from '../../../src/server/workers/metrics.ts';

async function counted(number: number): Promise<Snapshot> {
  const registry = new Registry();
  new Counter({ name: 'answers', help: 'Answers', registers: [registry] }).inc(number);
  return registry.getMetricsAsJSON();
}

/** Answers as a worker does, over the messages of an emitter. */
function fakeWorker(snapshot: Snapshot): Worker {
  const emitter = new EventEmitter();
  return Object.assign(emitter, {
    isConnected: () => true,
    send: ({ id }: MetricsQuestion) =>
      queueMicrotask(() => emitter.emit('message', { kind: 'metrics', id, metrics: snapshot })),
  }) as unknown as Worker;
}

async function sumOf(snapshots: readonly Snapshot[]): Promise<number | undefined> {
  const [answers] = await addUp(snapshots).getMetricsAsJSON();
  return (answers as { values: { value: number }[] } | undefined)?.values[0]?.value;
}

describe("workers' metrics", () => {
  it('lose nothing of workers that have ended, however many ask at once', async () => {
    const metrics = createWorkerMetrics();
    const workers = [
      fakeWorker(await counted(1)),
      fakeWorker(await counted(2)),
      fakeWorker(await counted(4)),
    ];
    for (const worker of workers) metrics.watch(worker);
    assert.equal(await sumOf(await metrics.gather()), 7);
    for (const worker of workers.slice(0, 2)) worker.emit('exit');
    const asked = await Promise.all(Array.from({ length: 5 }, () => metrics.gather()));
    assert.deepEqual(await Promise.all(asked.map(sumOf)), [7, 7, 7, 7, 7]);
    assert.equal(await sumOf(await metrics.gather()), 7);
  });
});
