import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { createWatchdog } from '../../../src/server/hashing/watchdog.ts';

const STUCK_MS = 100;

describe('the watchdog over another process', () => {
  let stuck = 0;
  const create = () => {
    stuck = 0;
    return createWatchdog(STUCK_MS, () => {
      stuck += 1;
    });
  };

  it('notices that no answer comes', async () => {
    const watchdog = create();
    watchdog.asked();
    watchdog.asked();
    await delay(2 * STUCK_MS);
    assert.equal(stuck, 1);
  });

  it('is content while any answers come, however long the last question waits', async () => {
    const watchdog = create();
    for (let i = 0; i < 30; i++) watchdog.asked();
    const startedAt = performance.now();
    for (let i = 0; i < 29 && performance.now() - startedAt < 3 * STUCK_MS; i++) {
      await delay(STUCK_MS / 10);
      watchdog.answered();
    }
    assert.equal(stuck, 0);
    watchdog.stop();
  });

  it('expects nothing when no question is open', async () => {
    const watchdog = create();
    watchdog.asked();
    watchdog.answered();
    await delay(2 * STUCK_MS);
    assert.equal(stuck, 0);
  });

  it('reads the answers first that came while its own process was busy', async () => {
    const watchdog = create();
    watchdog.asked();
    setImmediate(() => {
      for (const end = performance.now() + 2 * STUCK_MS; performance.now() < end; );
      // As an answer does that waits in the channel.
      setImmediate(() => watchdog.answered());
    });
    await delay(3 * STUCK_MS);
    assert.equal(stuck, 0);
  });

  it('is content after its end', async () => {
    const watchdog = create();
    watchdog.asked();
    watchdog.stop();
    await delay(2 * STUCK_MS);
    assert.equal(stuck, 0);
  });
});
