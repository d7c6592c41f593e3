import { CellpassError } from '../errors.ts';
import type { Log } from '../log.ts';
import { within } from '../within.ts';
import { type BoundedQueue, createBoundedQueue, type QueueBound } from './bounded-queue.ts';
import { createLosses, type LossCounts, type Losses } from './losses.ts';
import { createRepeatingRun, type RepeatingRun } from './repeating-run.ts';

export interface BatchWriterOptions<Item> {
  /** Writes one batch. Writing the same batch twice must do no harm, because it is retried. */
  readonly save: (batch: readonly Item[]) => Promise<void>;
  /** About how many bytes of memory an item takes. */
  readonly bytesOf: (item: Item) => number;
  /** How many records an item counts, for the statistics; default 1. */
  readonly countOf?: (item: Item) => number;
  readonly batchItems: number;
  readonly everyMs: number;
  /** Runs before the queues are written, and may add items. It must not throw. */
  readonly beforeWriting?: () => void;
  /** Runs after all queues were written, and never beside `save`. It must not reject. */
  readonly afterWriting?: () => Promise<void>;
  /** Called with each batch that left its queue, whether it was written or lost. */
  readonly onRemoved?: (batch: readonly Item[]) => void;
  /** Messages of the log: a batch failed; items were lost (null: no warning). */
  readonly messages: { readonly failed: string; readonly lost: string | null };
  readonly log: Pick<Log, 'warn'>;
  readonly monotonicMs?: () => number;
  /** How long `close` waits for the last run. */
  readonly closeTimeoutMs?: number;
}

export interface BatchWriterStats {
  readonly waiting: number;
  readonly written: number;
  readonly lost: LossCounts;
}

export interface QueueOptions<Item> extends QueueBound {
  /** False while the database has no room for this queue's items; they are lost then. */
  readonly hasRoom?: () => boolean;
  /** False for an item whose holder has used up their share; it is lost then. */
  readonly hasShare?: (item: Item) => boolean;
}

/** Short of the ten seconds after which container runtimes kill a process. */
const CLOSE_TIMEOUT_MS = 5000;

/**
 * Writes items to the database in batches, behind the requests and within bounds. Items of
 * different queues never share a batch. An item never waits for room: it is queued, or it is lost
 * and counted.
 */
export class BatchWriter<Item> {
  readonly #options: BatchWriterOptions<Item>;
  readonly #queues: BoundedQueue<Item>[] = [];
  readonly #losses: Losses;
  readonly #run: RepeatingRun;
  #written = 0;
  #isFailing = false;
  #isClosed = false;

  constructor(options: BatchWriterOptions<Item>) {
    const { log, messages, monotonicMs = () => performance.now() } = options;
    this.#options = options;
    this.#losses = createLosses({ message: messages.lost, log, monotonicMs });
    this.#run = createRepeatingRun(() => this.#writeAll(), options.everyMs);
  }

  /**
   * A queue of its own. Queues are written in the order in which they were opened.
   * @returns a function that adds an item, and returns false when the item is lost.
   */
  openQueue(options: QueueOptions<Item>): (item: Item) => boolean {
    const { hasRoom = () => true, hasShare = () => true, ...bound } = options;
    const queue = createBoundedQueue(bound, this.#options.bytesOf);
    this.#queues.push(queue);
    return (item) => {
      const cause = this.#isClosed
        ? 'not_written'
        : !hasRoom()
          ? 'no_room'
          : !hasShare(item)
            ? 'share_used_up'
            : 'buffer_full';
      if (cause === 'buffer_full' && queue.add(item)) return true;
      this.#losses.add(cause, this.#countOf([item]));
      return false;
    };
  }

  /** Resolves when the writer has tried to write all items that wait now. */
  flush(): Promise<void> {
    return this.#run.flush();
  }

  stats(): BatchWriterStats {
    return { waiting: this.#countWaiting(), written: this.#written, lost: this.#losses.counts() };
  }

  /** Flushes once more, for a bounded time. Items that still wait then are lost. */
  async close(): Promise<void> {
    await within(this.#options.closeTimeoutMs ?? CLOSE_TIMEOUT_MS, this.#run.close());
    this.#isClosed = true;
    for (const queue of this.#queues) {
      const unwritten = queue.first(queue.size());
      this.#losses.add('not_written', this.#countOf(unwritten));
      this.#remove(queue, unwritten);
    }
    this.#losses.report({ atOnce: true });
  }

  async #writeAll(): Promise<void> {
    if (this.#isClosed) return;
    this.#options.beforeWriting?.();
    this.#losses.report({ atOnce: false });
    for (const queue of this.#queues) {
      while (queue.size() > 0) if (!(await this.#writeBatch(queue))) return;
    }
    await this.#options.afterWriting?.();
  }

  /** False when the database is unavailable: the batch stays in the queue for the next run. */
  async #writeBatch(queue: BoundedQueue<Item>): Promise<boolean> {
    const batch = queue.first(this.#options.batchItems);
    const failure = await failureOf(() => this.#options.save(batch));
    // `close` gave up waiting, and has counted the batch as lost.
    if (this.#isClosed) return false;
    if (failure === null) {
      this.#written += this.#countOf(batch);
      this.#isFailing = false;
    } else {
      const { error } = failure;
      const mustRetry = error instanceof CellpassError && error.code === 'unavailable';
      this.#noteFailure(error, mustRetry ? 0 : this.#countOf(batch));
      if (mustRetry) return false;
    }
    this.#remove(queue, batch);
    return true;
  }

  /** Warns once for each run of failures. */
  #noteFailure(error: unknown, lost: number): void {
    const { log, messages } = this.#options;
    if (this.#isFailing) this.#losses.add('not_written', lost);
    else {
      log.warn({ err: error, waiting: this.#countWaiting(), lost }, messages.failed);
      this.#losses.addReported('not_written', lost);
    }
    this.#isFailing = true;
  }

  #remove(queue: BoundedQueue<Item>, batch: readonly Item[]): void {
    queue.remove(batch.length);
    this.#options.onRemoved?.(batch);
  }

  #countOf(items: readonly Item[]): number {
    const { countOf = () => 1 } = this.#options;
    return items.reduce((sum, item) => sum + countOf(item), 0);
  }

  #countWaiting(): number {
    return this.#queues.reduce((sum, queue) => sum + queue.size(), 0);
  }
}

async function failureOf(work: () => Promise<void>): Promise<{ readonly error: unknown } | null> {
  try {
    await work();
    return null;
  } catch (error) {
    return { error };
  }
}
