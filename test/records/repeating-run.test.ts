import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRepeatingRun } from '../../src/records/repeating-run.ts';

describe('work behind the requests', () => {
  /** Each run ends when it is let go. */
  const heldRuns = () => {
    const ends: (() => void)[] = [];
    const begun = new EventTarget();
    const write = () =>
      new Promise<void>((resolve) => {
        ends.push(resolve);
        begun.dispatchEvent(new Event('run'));
      });
    return { ends, write, next: () => once(begun, 'run') };
  };

  it('runs by itself, and once more at the end', async () => {
    const { ends, write, next } = heldRuns();
    const writer = createRepeatingRun(write, 1);
    await next();
    ends[0]?.();
    await next();
    const last = next();
    const closed = writer.close();
    ends[1]?.();
    await last;
    ends[2]?.();
    await closed;
    assert.equal(ends.length, 3);
  });

  it('never runs twice at a time, and a flush gets a run of its own', async () => {
    const { ends, write, next } = heldRuns();
    const writer = createRepeatingRun(write, 60_000);
    const [first, second] = [writer.flush(), writer.flush()];
    await next();
    assert.equal(ends.length, 1);
    const isNext = next();
    ends[0]?.();
    await first;
    await isNext;
    assert.equal(ends.length, 2);
    ends[1]?.();
    await second;
    const closed = writer.close();
    await next();
    ends[2]?.();
    await closed;
  });
});
