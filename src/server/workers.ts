import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { PasswordHashing } from '../authn/password-schemes.ts';
import type { Config } from '../config/load.ts';
import { CellpassError } from '../errors.ts';
import type { Log } from '../log.ts';
import {
  answerHashing,
  createHashingClient,
  type HashingAnswer,
  type HashingClient,
  type HashingQuestion,
  isHashingQuestion,
} from './hashing/channel.ts';
import { type RunningServer, startPrimary, startWorker } from './start.ts';
import { createWorkerMetrics, type MetricsAnswer, type MetricsQuestion } from './worker-metrics.ts';

/** What a worker tells the primary first. */
type StartReport =
  | { readonly kind: 'listening'; readonly publicUrl: string }
  | { readonly kind: 'failed'; readonly message: string };
type Report = StartReport | MetricsAnswer | HashingQuestion;
/** What the primary tells a worker. */
type Order = 'reload' | 'stop' | MetricsQuestion | HashingAnswer;

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
/** Whoever lived this long did not die of its start. */
const SETTLED_MS = 60_000;
/** Longer than a worker takes to end when it has drained. */
const GRACE_MS = 15_000;

/**
 * Several processes behind one listener, and one that keeps them: it owns the admin API and what is to be done once. A worker that
 * dies is replaced. Throws what the first worker that can't start says.
 */
export async function startWorkers(config: Config, log: Log): Promise<RunningServer> {
  const metrics = createWorkerMetrics();
  const primary = await startPrimary(config, log, () => metrics.gather());
  const pool = new WorkerPool({
    log,
    graceMs: config.drainSeconds * 1000 + GRACE_MS,
    hasher: primary.hasher,
    onListening: (worker) => metrics.watch(worker),
  });
  try {
    const [first] = await Promise.all(Array.from({ length: config.workers }, () => pool.fork()));
    pool.keep();
    return {
      publicUrl: first?.publicUrl ?? '',
      reload: () => {
        pool.order('reload');
        return primary.reload();
      },
      close: async () => {
        primary.drain();
        await pool.stop();
        await primary.close();
      },
    };
  } catch (error) {
    await pool.stop();
    await primary.close();
    throw error;
  }
}

interface Forked {
  readonly worker: Worker;
  readonly publicUrl: string;
}

interface PoolOptions {
  readonly log: Log;
  readonly graceMs: number;
  /** One for all workers. */
  readonly hasher: PasswordHashing;
  readonly onListening: (worker: Worker) => void;
}

/** The forked processes of this one. */
class WorkerPool {
  readonly #log: Log;
  readonly #graceMs: number;
  readonly #hasher: PasswordHashing;
  readonly #onListening: (worker: Worker) => void;
  readonly #workers = new Set<Worker>();
  readonly #stopping = new AbortController();
  #pauseMs = FIRST_PAUSE_MS;

  constructor({ log, graceMs, hasher, onListening }: PoolOptions) {
    this.#log = log;
    this.#graceMs = graceMs;
    this.#hasher = hasher;
    this.#onListening = onListening;
  }

  /** Resolves when the new worker listens. */
  async fork(): Promise<Forked> {
    const worker = cluster.fork();
    this.#workers.add(worker);
    worker.once('exit', () => this.#workers.delete(worker));
    const report = new Promise<StartReport>((resolve) => {
      worker.on('message', (said: Report) => {
        if (isHashingQuestion(said)) void this.#answer(worker, said);
        else if (said.kind !== 'metrics') resolve(said);
      });
    });
    const gone = once(worker, 'exit').then(
      ([code, signal]): StartReport => ({ kind: 'failed', message: `a worker ended: ${signal ?? code}` }),
    );
    const answer = await Promise.race([report, gone]);
    // An order that came before it could listen to orders was lost.
    if (this.#stopping.signal.aborted) send(worker, 'stop');
    if (answer.kind === 'listening') {
      this.#onListening(worker);
      return { worker, publicUrl: answer.publicUrl };
    }
    throw new CellpassError('conflict', answer.message);
  }

  /** From now on a worker that dies is replaced. */
  keep(): void {
    for (const worker of this.#workers) this.#watch(worker);
  }

  order(order: Order): void {
    for (const worker of this.#workers) send(worker, order);
  }

  /** Lets every worker answer what it has begun; one that doesn't come to an end is ended. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const exits = [...this.#workers].map((worker) => once(worker, 'exit'));
    this.order('stop');
    const overdue = setTimeout(() => {
      for (const worker of this.#workers) worker.process.kill('SIGKILL');
    }, this.#graceMs);
    await Promise.all(exits);
    clearTimeout(overdue);
  }

  async #answer(worker: Worker, question: HashingQuestion): Promise<void> {
    send(worker, await answerHashing(question, this.#hasher));
  }

  #watch(worker: Worker): void {
    const startedAt = performance.now();
    worker.once('exit', (code, signal) => {
      if (this.#stopping.signal.aborted) return;
      this.#log.error({ worker: worker.id, code, signal }, 'a worker ended; starting another');
      if (performance.now() - startedAt > SETTLED_MS) this.#pauseMs = FIRST_PAUSE_MS;
      void this.#replace();
    });
  }

  async #replace(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await delay(this.#pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
      try {
        const { worker } = await this.fork();
        this.#watch(worker);
        return;
      } catch (error) {
        this.#log.error({ err: error }, 'a worker could not start; trying again');
      }
    }
  }
}

/** A worker that ends by itself needs no order any more. */
function send(worker: Worker, order: Order): void {
  if (worker.isConnected()) worker.send(order, () => undefined);
}

/** One worker's life: what signals do to the whole group of processes is the primary's business. */
export async function runWorker(config: Config, log: Log): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
  const stop = new Promise<void>((resolve) => {
    process.on('message', (order: Order) => {
      if (order === 'stop') resolve();
    });
    // Without a primary nobody would ever stop it.
    process.on('disconnect', () => resolve());
  });
  try {
    const server = await startWorker(config, log, hasherOfPrimary());
    process.on('message', (order: Order) => {
      if (order === 'reload') reload(server, log);
      if (typeof order === 'object' && order.kind === 'metrics') void tellMetrics(server, order, log);
    });
    tell({ kind: 'listening', publicUrl: server.publicUrl });
    await stop;
    await server.close();
  } catch (error) {
    log.error({ err: error }, 'the worker could not start');
    tell({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
    process.exitCode = 1;
  }
  if (process.connected) process.disconnect();
}

function hasherOfPrimary(): HashingClient {
  const client = createHashingClient(tell);
  process.on('message', (order: Order) => {
    if (typeof order === 'object') client.receive(order);
  });
  process.on('disconnect', () => client.lose());
  return client;
}

async function tellMetrics(
  server: { metrics(): Promise<MetricsAnswer['metrics']> },
  { id }: MetricsQuestion,
  log: Log,
): Promise<void> {
  try {
    tell({ kind: 'metrics', id, metrics: await server.metrics() });
  } catch (error) {
    log.warn({ err: error }, 'the metrics of this worker could not be read');
  }
}

function tell(report: Report): void {
  if (process.connected) process.send?.(report);
}

/** Wrong files leave the old certificate in use. */
export function reload(server: Pick<RunningServer, 'reload'>, log: Log): void {
  try {
    const done = server.reload();
    log.info(
      {},
      done ? 'read the TLS certificate again' : 'SIGHUP: without TLS there is nothing to read again',
    );
  } catch (error) {
    log.error({ err: error }, 'the TLS certificate could not be read again; keeping the old one');
  }
}
