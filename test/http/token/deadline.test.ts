import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { type Deadline, withDeadline } from '../../../src/http/token/deadline.ts';

/** A moment in the future, as deadlines are given. */
const inMs = (ms: number): number => performance.now() + ms;
const succeeds = async (): Promise<string> => 'late';
const fails = async (): Promise<string> => Promise.reject(new Error('late'));

describe('an answer in time', () => {
  it('is what the work answers, or throws', async () => {
    assert.equal(await withDeadline(inMs(1000), async () => 'done'), 'done');
    await assert.rejects(
      withDeadline(inMs(1000), async () => {
        throw new Error('broken');
      }),
      /broken/,
    );
  });

  it('is unavailable where it comes too late, and the work is told; however it ends then', async () => {
    for (const end of [succeeds, fails]) {
      let told: AbortSignal | undefined;
      let toldLater: AbortSignal | undefined;
      const work = async (deadline: Deadline): Promise<string> => {
        told = end === fails ? undefined : deadline.signal();
        await delay(30);
        toldLater = deadline.signal();
        return end();
      };
      await assert.rejects(withDeadline(inMs(1), work), {
        code: 'unavailable',
        details: { reason: 'too_slow', retryAfterSeconds: 1 },
      });
      assert.equal(told?.aborted ?? true, true);
      await delay(40);
      assert.equal(toldLater?.aborted, true);
    }
  });

  it('may come later where the work moves the deadline, and must come sooner where it moves it back', async () => {
    const late = withDeadline(inMs(20), async (deadline) => {
      deadline.moveTo(inMs(60_000));
      await delay(60);
      assert.equal(deadline.signal().aborted, false);
      return 'done';
    });
    assert.equal(await late, 'done');
    const tooLate = withDeadline(inMs(60_000), async (deadline) => {
      deadline.moveTo(inMs(1));
      await delay(1000, undefined, { signal: deadline.signal() });
    });
    await assert.rejects(tooLate, { details: { reason: 'too_slow', retryAfterSeconds: 1 } });
  });
});
