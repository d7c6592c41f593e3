import assert from 'node:assert/strict';
import { LineWriter, type LineWriterOptions } from '../../../src/server/output/line-writer.ts';
import type { Sink } from '../../../src/server/output/sink.ts';
import { until } from '../../support/processes/child.ts';

type Outcome = number | 'all' | NodeJS.ErrnoException['code'] | 'hangs';

/** Takes what each outcome says, in turn; then everything. */
function sinkOf(kind: 'stream' | 'file', ...outcomes: Outcome[]) {
  let taken = '';
  let fallback: Outcome = 'all';
  const next = (bytes: Buffer): number => {
    const outcome = outcomes.shift() ?? fallback;
    if (typeof outcome === 'string' && outcome !== 'all')
      throw Object.assign(new Error(outcome), { code: outcome });
    const count = outcome === 'all' ? bytes.length : Math.min(Number(outcome), bytes.length);
    taken += bytes.subarray(0, count).toString();
    return count;
  };
  const hangs = (): boolean => (outcomes[0] ?? fallback) === 'hangs';
  const sink: Sink = {
    pieceBytes: 64,
    write: (bytes) => {
      if (kind === 'stream') return next(bytes);
      if (hangs()) return new Promise(() => undefined);
      return Promise.resolve(bytes).then(next);
    },
    writeSync: next,
  };
  return {
    sink,
    taken: () => taken,
    from: (outcome: Outcome) => {
      outcomes.length = 0;
      fallback = outcome;
    },
  };
}

const OPTIONS: LineWriterOptions = { maxBytes: 1000, flushBytes: 0, flushMs: 1, onLost: () => undefined };
const LONG_MS = 30_000;

describe('the writer of log lines', () => {
  const errors = ['ENOSPC', 'EPIPE', 'EAGAIN', 'EBADF', 'EIO'] as const;
  for (const kind of ['stream', 'file'] as const) {
    for (const error of errors) {
      it(`loses nothing of a ${kind} that fails for a while with ${error}`, async () => {
        const { sink, taken } = sinkOf(kind, error, error, 3, error, 1);
        const writer = new LineWriter(sink, OPTIONS);
        writer.write('first\n');
        writer.write('second: é\n');
        await writer.flush(LONG_MS);
        assert.equal(taken(), 'first\nsecond: é\n');
        assert.equal(writer.lost(), 0);
      });
    }

    it(`keeps the order of lines in a ${kind}, and joins them up to the size of a piece`, async () => {
      const { sink, taken } = sinkOf(kind);
      const writer = new LineWriter(sink, { ...OPTIONS, flushBytes: 100 });
      const lines = Array.from({ length: 50 }, (_, at) => `line ${at}\n`);
      for (const line of lines) writer.write(line);
      await writer.flush(LONG_MS);
      assert.equal(taken(), lines.join(''));
    });

    it(`counts what it has no room for, and reports it when the ${kind} takes lines again`, async () => {
      const { sink, taken, from } = sinkOf(kind);
      from('ENOSPC');
      const reports: number[] = [];
      const onLost = (lines: number) => {
        reports.push(lines);
        writer.write(`lost ${lines}\n`);
      };
      const writer: LineWriter = new LineWriter(sink, { ...OPTIONS, maxBytes: 100, onLost });
      for (let i = 0; i < 30; i++) writer.write('123456789\n');
      assert.equal(writer.lost(), 20);
      assert.deepEqual(reports, []);
      from('all');
      await writer.flush(LONG_MS);
      await until(
        () => (taken().endsWith('lost 20\n') ? true : undefined),
        () => taken(),
      );
      assert.deepEqual(reports, [20]);
      assert.equal(taken().match(/123456789\n/g)?.length, 10);
    });

    it(`gives up after a while on a ${kind} that takes nothing`, async () => {
      const { sink, from } = sinkOf(kind);
      from(kind === 'file' ? 'hangs' : 'EAGAIN');
      const writer = new LineWriter(sink, OPTIONS);
      writer.write('x\n');
      const startedAt = performance.now();
      await writer.flush(20);
      writer.flushSync();
      assert.ok(performance.now() - startedAt < 2000);
    });
  }

  it('writes what waits at the exit, also to a reader that is slow', () => {
    const { sink, taken } = sinkOf('stream', 2, 'EAGAIN', 'EAGAIN', 'all');
    const writer = new LineWriter(sink, { ...OPTIONS, flushBytes: 100, flushMs: LONG_MS });
    writer.write('first\n');
    writer.write('second\n');
    assert.equal(taken(), '');
    writer.flushSync();
    assert.equal(taken(), 'first\nsecond\n');
  });

  it('leaves a piece that is on its way to the thread that writes it', async () => {
    const { sink, taken } = sinkOf('file');
    const writer = new LineWriter(sink, OPTIONS);
    writer.write('first\n');
    writer.write('second\n');
    writer.flushSync();
    assert.equal(taken(), '');
    await writer.flush(LONG_MS);
    assert.equal(taken(), 'first\nsecond\n');
  });
});
