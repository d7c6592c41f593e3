import assert from 'node:assert/strict';
import { createAllowance } from '../../src/shares/allowance.ts';

describe('allowance', () => {
  let nowMs: number;
  beforeEach(() => {
    nowMs = 0;
  });
  const start = (options: { each: number; inAll?: number }) =>
    createAllowance({ ...options, everyMs: 1000, monotonicMs: () => nowMs });

  it('one holder takes no more than theirs, and leaves those of others whole', () => {
    const shares = start({ each: 10 });
    assert.deepEqual([shares.take('a', 6), shares.take('a', 5), shares.take('a', 4)], [true, false, true]);
    assert.deepEqual([shares.take('a', 1), shares.take('b', 10)], [false, true]);
  });

  it('all holders together take no more than the bound', () => {
    const shares = start({ each: 10, inAll: 15 });
    assert.deepEqual([shares.take('a', 10), shares.take('b', 10), shares.take('c', 5)], [true, false, true]);
  });

  it('are whole again when the period is over', () => {
    const shares = start({ each: 10, inAll: 10 });
    shares.take('a', 10);
    nowMs = 999;
    assert.equal(shares.take('a', 1), false);
    nowMs = 1000;
    assert.equal(shares.take('a', 10), true);
  });

  it('too many holders share one share, so that new names are no way around it', () => {
    const shares = start({ each: 10 });
    for (let n = 0; n < 50_000; n++) shares.take(`${n}`, 1);
    assert.deepEqual([shares.take('x', 10), shares.take('y', 1), shares.take('7', 9)], [true, false, true]);
  });
});
