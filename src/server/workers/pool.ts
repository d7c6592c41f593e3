import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { PasswordHashing } from '../../authn/password-schemes.ts';
import type { RailsRules } from '../../config/rails.ts';
import { CellpassError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Certificate } from '../certificate.ts';
import type { Followed } from '../followed.ts';
import { answerHashing, type HashingQuestion, isHashingQuestion } from '../hashing/channel.ts';
import { watchHeartbeat } from './heartbeat.ts';
import type { PrimaryMessage, StartReport, WorkerMessage } from './messages.ts';
import type { StandIn } from './stand-in.ts';

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
/**
 * A worker that ran this long did not die because it could not start, so the next pause is the
 * first again.
 */
const SETTLED_MS = 60_000;
/** A worker that takes longer to start hangs. */
const START_MS = 60_000;

interface ListeningWorker {
  readonly worker: Worker;
  readonly publicUrl: string;
  readonly listen: string;
}

export interface PoolOptions {
  readonly log: Log;
  /** How long `stop` waits before it kills a worker. */
  readonly graceMs: number;
  /** Hashes the passwords of all workers. */
  readonly hasher: PasswordHashing;
  /** With these workers begin to listen. */
  readonly certificate: Pick<Certificate, 'current'>;
  readonly rules: Pick<Followed<RailsRules | null>, 'current'>;
  /** Holds the port while no worker listens. */
  readonly standIn: StandIn;
  readonly onListening: (worker: Worker) => void;
}

/** The workers of this process. */
export class WorkerPool {
  readonly #options: PoolOptions;
  readonly #workers = new Set<Worker>();
  /** Those that have asked for the port. */
  readonly #listening = new Set<Worker>();
  readonly #stopping = new AbortController();
  #isReplacing = false;
  #pauseMs = FIRST_PAUSE_MS;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /**
   * Starts a worker; resolves when it listens.
   * @throws {CellpassError} `conflict` when it can't start, with its own message.
   */
  async fork(): Promise<ListeningWorker> {
    const worker = cluster.fork();
    this.#workers.add(worker);
    worker.once('exit', () => this.#workers.delete(worker));
    this.#watchPort(worker);
    const overdue = setTimeout(() => worker.process.kill('SIGKILL'), START_MS);
    const report = await this.#startReportOf(worker).finally(() => clearTimeout(overdue));
    // A worker that was still starting has not received the `stop` of the others.
    if (this.#stopping.signal.aborted) send(worker, { kind: 'stop' });
    if (report.kind === 'failed') throw new CellpassError('conflict', report.message);
    watchHeartbeat(worker, this.#options.log);
    this.#options.onListening(worker);
    return { worker, publicUrl: report.publicUrl, listen: report.listen };
  }

  /** From now on, a worker that dies is replaced. */
  replaceDead(): void {
    this.#isReplacing = true;
    for (const worker of this.#workers) this.#watch(worker);
  }

  /** Sends `message` to every worker. */
  send(message: PrimaryMessage): void {
    for (const worker of this.#workers) send(worker, message);
  }

  /**
   * Tells every worker to finish its requests and exit, and kills those that take longer than
   * `graceMs`.
   */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#options.standIn.end();
    const exits = [...this.#workers].map((worker) => once(worker, 'exit'));
    this.send({ kind: 'stop' });
    const overdue = setTimeout(() => {
      for (const worker of this.#workers) worker.process.kill('SIGKILL');
    }, this.#options.graceMs);
    await Promise.all(exits);
    clearTimeout(overdue);
  }

  /** Answers the worker's messages from now on. Resolves when its start has succeeded or failed. */
  #startReportOf(worker: Worker): Promise<StartReport> {
    const report = new Promise<StartReport>((resolve) => {
      worker.on('message', (message: WorkerMessage) => {
        if (isHashingQuestion(message)) void this.#hash(worker, message);
        else if (message.kind === 'about_to_listen') send(worker, this.#beginning());
        else if (message.kind === 'listening' || message.kind === 'failed') resolve(message);
      });
    });
    const exit = once(worker, 'exit').then(
      ([code, signal]): StartReport => ({ kind: 'failed', message: `a worker ended: ${signal ?? code}` }),
    );
    return Promise.race([report, exit]);
  }

  #beginning(): PrimaryMessage {
    const { certificate, rules } = this.#options;
    return { kind: 'listen', tls: certificate.current(), rules: rules.current() };
  }

  /**
   * Hands the port over between the workers and the stand-in, in one turn of the event loop: only a
   * connection that arrives in it is refused.
   */
  #watchPort(worker: Worker): void {
    const { standIn } = this.#options;
    // Node's own message by which a worker asks for a port. The cluster module gets it after this
    // listener, and binds the port in the same turn of the event loop.
    worker.process.prependListener('internalMessage', (message: { readonly act?: unknown }) => {
      if (message.act !== 'queryServer') return;
      standIn.end();
      this.#listening.add(worker);
    });
    const onGone = (): void => {
      // The cluster module closes the worker's share of the port when the channel is closed, at
      // whichever of the two events finds it so.
      if (worker.isConnected()) return;
      this.#listening.delete(worker);
      if (this.#listening.size > 0 || !this.#isReplacing || this.#stopping.signal.aborted) return;
      standIn.begin();
    };
    worker.once('disconnect', onGone);
    worker.once('exit', onGone);
  }

  async #hash(worker: Worker, question: HashingQuestion): Promise<void> {
    send(worker, await answerHashing(question, this.#options.hasher));
  }

  #watch(worker: Worker): void {
    const startedAt = performance.now();
    worker.once('exit', (code, signal) => {
      if (this.#stopping.signal.aborted) return;
      this.#options.log.error({ worker: worker.id, code, signal }, 'a worker ended; starting another');
      if (performance.now() - startedAt > SETTLED_MS) this.#pauseMs = FIRST_PAUSE_MS;
      void this.#replace();
    });
  }

  /** Retries until a new worker listens, with pauses that double up to 5 s. */
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
        this.#options.log.error({ err: error }, 'a worker could not start; retrying');
      }
    }
  }
}

/** Does nothing when the worker has closed its channel: it is about to exit. */
function send(worker: Worker, message: PrimaryMessage): void {
  if (worker.isConnected()) worker.send(message, () => undefined);
}
