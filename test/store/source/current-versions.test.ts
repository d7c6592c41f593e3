import assert from 'node:assert/strict';
import { createCurrentVersions, type Versions } from '../../../src/store/source/current-versions.ts';

describe('the current versions of units', () => {
  /** A database that answers when it is told to. */
  const slow = () => {
    const waiting: { asked: readonly string[]; answer(version: string): void; fail(error: Error): void }[] =
      [];
    const read = (asked: readonly string[]) =>
      new Promise<Versions>((resolve, reject) => {
        const answer = (version: string): void =>
          resolve(Object.fromEntries(asked.map((unit) => [unit, version])));
        waiting.push({ asked, answer, fail: reject });
      });
    const current = createCurrentVersions(read);
    return { waiting, current: async (...units: string[]) => ({ ...(await current(units)) }) };
  };
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  /** Turns of the event loop in which a question that could be sent would have been. */
  const SOME_TURNS = 5;
  const turns = async () => {
    for (let n = 0; n < SOME_TURNS; n++) await turn();
  };

  it('is asked once for all who come until then, and never by a question that was sent before they came', async () => {
    const { waiting, current } = slow();
    const first = [current('a', 'b'), current('b', 'c')];
    await turns();
    assert.deepEqual(
      waiting.map(({ asked }) => asked),
      [['a', 'b', 'c']],
    );
    const late = [current('a'), current('d'), current()];
    await turns();
    assert.equal(waiting.length, 1);
    waiting[0]?.answer('old');
    const old = { a: 'old', b: 'old', c: 'old' };
    assert.deepEqual(await Promise.all(first), [old, old]);
    await turns();
    assert.equal(waiting.length, 2);
    const later = current('a');
    waiting[1]?.answer('new');
    const fresh = { a: 'new', d: 'new' };
    assert.deepEqual(await Promise.all(late), [fresh, fresh, fresh]);
    await turns();
    waiting[2]?.answer('newest');
    assert.deepEqual(await later, { a: 'newest' });
    assert.equal(waiting.length, 3);
  });

  it('is asked anew after a failure, which those alone are told who were waiting for it', async () => {
    const { waiting, current } = slow();
    const first = current('a');
    await turns();
    const second = current('a');
    waiting[0]?.fail(new Error('away'));
    await assert.rejects(first, /away/);
    await turns();
    waiting[1]?.answer('back');
    assert.deepEqual(await second, { a: 'back' });
  });
});
