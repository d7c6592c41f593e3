import assert from 'node:assert/strict';
import { CellpassError } from '../../src/errors.ts';
import { BatchWriter, type BatchWriterOptions } from '../../src/records/batch-writer.ts';

const BOUND = { items: 4, bytes: 100 };

describe('writing behind the requests', () => {
  let batches: string[][];
  let lines: { readonly message: string; readonly [field: string]: unknown }[];
  let failure: Error | null;
  let nowMs: number;
  beforeEach(() => {
    batches = [];
    lines = [];
    failure = null;
    nowMs = 0;
  });

  const start = (options: Partial<BatchWriterOptions<string>> = {}) =>
    new BatchWriter<string>({
      save: async (batch) => {
        if (failure !== null) throw failure;
        batches.push([...batch]);
      },
      bytesOf: (item) => item.length,
      batchItems: 3,
      everyMs: 60_000,
      messages: { failed: 'failed', lost: 'lost' },
      log: { warn: (fields, message) => void lines.push({ message, ...fields }) },
      monotonicMs: () => nowMs,
      ...options,
    });

  it('writes batches of one queue at a time, in the order in which the queues were opened', async () => {
    const writer = start();
    const [addFirst, addSecond] = [writer.openQueue(BOUND), writer.openQueue(BOUND)];
    addSecond('x');
    for (const item of ['a', 'b', 'c', 'd']) addFirst(item);
    await writer.close();
    assert.deepEqual(batches, [['a', 'b', 'c'], ['d'], ['x']]);
    assert.equal(writer.stats().written, 5);
  });

  it('refuses what is over the bound by number or by bytes, each queue by its own', async () => {
    const writer = start();
    const [addFirst, addSecond] = [writer.openQueue(BOUND), writer.openQueue(BOUND)];
    const long = 'n'.repeat(60);
    assert.deepEqual(
      [addFirst(long), addFirst(long), addFirst('a'), addFirst('b'), addFirst('c'), addFirst('d')],
      [true, false, true, true, true, false],
    );
    assert.equal(addSecond(long), true);
    assert.deepEqual(writer.stats().lost, { buffer_full: 2, share_used_up: 0, no_room: 0, not_written: 0 });
    await writer.flush();
    assert.equal(addFirst(long), true, 'there is room again');
    await writer.close();
  });

  it('loses what the database has no room for', async () => {
    let hasRoom = false;
    const writer = start();
    const add = writer.openQueue({ ...BOUND, hasRoom: () => hasRoom });
    assert.equal(add('a'), false);
    hasRoom = true;
    assert.equal(add('b'), true);
    await writer.close();
    assert.deepEqual([batches, writer.stats().lost.no_room], [[['b']], 1]);
  });

  it('keeps a batch while the database is unavailable, and writes it later', async () => {
    const writer = start();
    const add = writer.openQueue(BOUND);
    failure = new CellpassError('unavailable', 'away');
    add('a');
    await writer.flush();
    assert.equal(writer.stats().waiting, 1);
    failure = null;
    await writer.close();
    assert.deepEqual([batches, writer.stats().lost.not_written], [[['a']], 0]);
  });

  it('loses a batch that the database refuses, and writes the next', async () => {
    const removed: string[][] = [];
    const writer = start({ onRemoved: (batch) => void removed.push([...batch]) });
    const add = writer.openQueue(BOUND);
    failure = new Error('a value that it does not take');
    add('a');
    await writer.flush();
    failure = null;
    add('b');
    await writer.close();
    assert.deepEqual([batches, removed.slice(0, 2)], [[['b']], [['a'], ['b']]]);
    assert.equal(writer.stats().lost.not_written, 1);
  });

  it('warns once for each run of failures, and once in a while for all that is lost', async () => {
    const writer = start();
    const add = writer.openQueue(BOUND);
    const messages = (): string[] => lines.map(({ message, lost }) => `${message} ${lost}`);
    failure = new Error('refused');
    for (const item of ['a', 'b', 'c']) {
      add(item);
      await writer.flush();
    }
    assert.deepEqual(messages(), ['failed 1', 'lost 1'], 'the first report comes at once');
    nowMs += 11_000;
    await writer.flush();
    assert.deepEqual(messages(), ['failed 1', 'lost 1', 'lost 1']);
    failure = null;
    add('d');
    await writer.flush();
    failure = new Error('refused');
    add('e');
    await writer.close();
    assert.deepEqual(messages().slice(3), ['failed 1'], 'another run, another line');
  });

  it('ends in a bounded time, and counts what still waits as lost', async () => {
    let letGo = (): void => undefined;
    const hanging = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const writer = start({ save: () => hanging, closeTimeoutMs: 1 });
    const add = writer.openQueue(BOUND);
    add('a');
    await writer.close();
    letGo();
    await writer.flush();
    add('b');
    const { waiting, written, lost } = writer.stats();
    assert.deepEqual([waiting, written, lost.not_written], [0, 0, 2]);
    assert.deepEqual(
      lines.map(({ message }) => message),
      ['lost'],
    );
  });
});
