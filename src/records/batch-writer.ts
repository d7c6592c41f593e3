import { CellpassError } from '../errors.ts';
import type { Log } from '../log.ts';
import { type BoundedQueue, createBoundedQueue, type QueueBound } from './bounded-queue.ts';
import { createLosses, type LossCounts } from './losses.ts';
import { createRepeatingRun } from './repeating-run.ts';

export interface BatchWriterOptions<Item> {
  /** Writes one batch. Writing the same batch twice must do no harm, because it is retried. */
  readonly save: (batch: readonly Item[]) => Promise<void>;
  /** About how many bytes of memory an item takes. */
  readonly bytesOf: (item: Item) => number;
  readonly batchItems: number;
  readonly everyMs: number;
  /** Runs after all queues were written, and never beside `save`. It must not reject. */
  readonly afterWriting?: () => Promise<void>;
  /** Told of each batch that left its queue, whether it was written or lost. */
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

export interface QueueOptions extends QueueBound {
  /** False while the database has no room for this queue's items; they are lost then. */
  readonly hasRoom?: () => boolean;
}

/**
 * Writes items to the database in batches, behind the requests and within bounds. Items of
 * different queues never share a batch, and an item never waits for room: it is written, or it is
 * lost and counted.
 */
export interface BatchWriter<Item> {
  /** A queue of its own. Queues are written in the order in which they were opened. */
  openQueue(options: QueueOptions): (item: Item) => boolean;
  /** Resolves when everything that waits now was tried. */
  flush(): Promise<void>;
  stats(): BatchWriterStats;
  /** Flushes once more, for a bounded time. Items that still wait then are lost. */
  close(): Promise<void>;
}

/** Short of the ten seconds after which container runtimes kill a process. */
const CLOSE_TIMEOUT_MS = 5000;

export function createBatchWriter<Item>(options: BatchWriterOptions<Item>): BatchWriter<Item> {
  const { bytesOf, log, messages, monotonicMs = () => performance.now() } = options;
  const queues: BoundedQueue<Item>[] = [];
  const losses = createLosses({ message: messages.lost, log, monotonicMs });
  let written = 0;
  let isFailing = false;
  let isClosed = false;
  const countWaiting = (): number => queues.reduce((sum, queue) => sum + queue.size(), 0);
  const removeFrom = (queue: BoundedQueue<Item>, batch: readonly Item[]): void => {
    queue.remove(batch.length);
    options.onRemoved?.(batch);
  };

  /** Warns once for each run of failures. */
  const noteFailure = (error: unknown, lost: number): void => {
    if (isFailing) losses.add('not_written', lost);
    else {
      log.warn({ err: error, waiting: countWaiting(), lost }, messages.failed);
      losses.addReported('not_written', lost);
    }
    isFailing = true;
  };

  /** False when the database is unavailable: the batch stays in the queue for the next run. */
  const writeBatch = async (queue: BoundedQueue<Item>): Promise<boolean> => {
    const batch = queue.first(options.batchItems);
    const failure = await failureOf(() => options.save(batch));
    if (isClosed) return false;
    if (failure === null) {
      written += batch.length;
      isFailing = false;
    } else {
      const mustRetry = failure.error instanceof CellpassError && failure.error.code === 'unavailable';
      noteFailure(failure.error, mustRetry ? 0 : batch.length);
      if (mustRetry) return false;
    }
    removeFrom(queue, batch);
    return true;
  };
  const run = createRepeatingRun(async () => {
    if (isClosed) return;
    losses.report({ atOnce: false });
    for (const queue of queues) {
      while (queue.size() > 0) if (!(await writeBatch(queue))) return;
    }
    await options.afterWriting?.();
  }, options.everyMs);

  return {
    openQueue({ hasRoom = () => true, ...bound }) {
      const queue = createBoundedQueue(bound, bytesOf);
      queues.push(queue);
      return (item) => {
        const cause = isClosed ? 'not_written' : hasRoom() ? 'buffer_full' : 'no_room';
        if (cause === 'buffer_full' && queue.add(item)) return true;
        losses.add(cause, 1);
        return false;
      };
    },
    flush: run.flush,
    stats: () => ({ waiting: countWaiting(), written, lost: losses.counts() }),
    async close() {
      await within(options.closeTimeoutMs ?? CLOSE_TIMEOUT_MS, run.close());
      isClosed = true;
      for (const queue of queues) {
        losses.add('not_written', queue.size());
        removeFrom(queue, queue.first(queue.size()));
      }
      losses.report({ atOnce: true });
    },
  };
}

async function failureOf(work: () => Promise<void>): Promise<{ readonly error: unknown } | null> {
  try {
    await work();
    return null;
  } catch (error) {
    return { error };
  }
}

/** Resolves when the work is done, or when the time is up; the work then goes on alone. */
async function within(timeoutMs: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, timeUp]).finally(() => clearTimeout(timer));
}
