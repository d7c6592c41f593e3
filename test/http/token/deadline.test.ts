import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { withDeadline } from '../../../src/http/token/deadline.ts';

const succeeds = async (): Promise<string> => 'late';
const fails = async (): Promise<string> => Promise.reject(new Error('late'));

describe('an answer in time', () => {
  it('is what the work answers, or throws', async () => {
    assert.equal(await withDeadline(1000, async () => 'done'), 'done');
    await assert.rejects(
      withDeadline(1000, async () => {
        throw new Error('broken');
      }),
      /broken/,
    );
  });

  it('is unavailable where it comes too late, and the work is told; however it ends then', async () => {
    for (const end of [succeeds, fails]) {
      let told: AbortSignal | undefined;
      let toldLater: AbortSignal | undefined;
      const work = async (late: () => AbortSignal): Promise<string> => {
        told = end === fails ? undefined : late();
        await delay(30);
        toldLater = late();
        return end();
      };
      await assert.rejects(withDeadline(1, work), {
        code: 'unavailable',
        details: { reason: 'too_slow', retryAfterSeconds: 1 },
      });
      assert.equal(told?.aborted ?? true, true);
      await delay(40);
      assert.equal(toldLater?.aborted, true);
    }
  });
});
