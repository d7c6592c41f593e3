import assert from 'node:assert/strict';
import { createSteadyClock } from '../../src/keys/steady-clock.ts';

const START = new Date('2026-11-24T10:00:00Z').getTime();

/** A wall clock that can be set, beside time that passes. */
function clocks() {
  let passed = 0;
  let offset = START;
  const clock = createSteadyClock(
    () => new Date(passed + offset),
    () => passed,
  );
  return {
    clock,
    pass(ms: number) {
      passed += ms;
    },
    set(ms: number) {
      offset += ms;
    },
  };
}

describe('the steady clock', () => {
  it('has seen no time skipped while the wall clock runs as time passes', () => {
    const { clock, pass } = clocks();
    clock.observe(['K']);
    pass(3_600_000);
    assert.equal(clock.skippedMsSince('K'), 0);
  });

  it('counts what the wall clock was moved forward since a key was seen, each time', () => {
    const { clock, set, pass } = clocks();
    set(5000);
    clock.observe(['K']);
    assert.equal(clock.skippedMsSince('K'), 0);
    set(60_000);
    assert.equal(clock.skippedMsSince('K'), 60_000);
    pass(1000);
    clock.observe(['K', 'L']);
    set(1000);
    assert.equal(clock.skippedMsSince('K'), 61_000);
    assert.equal(clock.skippedMsSince('L'), 1000);
  });

  it('does not take a clock that was set back and right again for time that passed', () => {
    const { clock, set } = clocks();
    set(-60_000);
    clock.observe(['K']);
    set(60_000);
    assert.equal(clock.skippedMsSince('K'), 60_000);
  });

  it('forgets drift, and keys that are no longer there', () => {
    const { clock, set } = clocks();
    clock.observe(['K']);
    set(400);
    assert.equal(clock.skippedMsSince('K'), 0);
    set(1000);
    clock.observe([]);
    clock.observe(['K']);
    assert.equal(clock.skippedMsSince('K'), 0);
  });

  it('remembers the latest time that it ever showed', () => {
    const { clock, set, pass } = clocks();
    pass(1000);
    assert.deepEqual(clock.latest(), new Date(START + 1000));
    set(-500_000);
    pass(1000);
    assert.deepEqual(clock.latest(), new Date(START + 1000));
  });
});
