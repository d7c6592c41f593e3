import assert from 'node:assert/strict';
import { CellpassError } from '../../src/errors.ts';
import { createTurns, sumOf, type Turns, type TurnsOptions } from '../../src/shares/turns.ts';
import type { Holder } from '../../src/shares/waiting-line.ts';

const REFUSAL = { message: 'too many at once', reason: 'password_lane' } as const;

/** Work that ends when the test says so, and notes the order in which it began. */
function open(options: Partial<TurnsOptions>) {
  const turns: Turns = createTurns({ places: 1, refusal: REFUSAL, ...options });
  const begun: string[] = [];
  const running: (() => void)[] = [];
  const enter = (name: string, holder: Holder, clientGone?: AbortSignal): Promise<string> =>
    turns.run(
      holder,
      async () => {
        begun.push(name);
        await new Promise<void>((resolve) => running.push(resolve));
        return name;
      },
      clientGone,
    );
  /** Ends the work that has run longest, and lets the next begin. */
  const endOne = async (): Promise<void> => {
    running.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  const endAll = async (): Promise<void> => {
    while (running.length > 0) await endOne();
  };
  return { turns, begun, enter, endOne, endAll };
}

const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'done',
    (error: unknown) => (error instanceof CellpassError ? error.code : error),
  );
const at = (address: string, account?: string): Holder =>
  account === undefined ? { address } : { address, account };

describe('turns', () => {
  it('go from address to address, however many one of them has waiting', async () => {
    const { begun, enter, endAll } = open({});
    const all = [1, 2, 3, 4].map((n) => enter(`crowd ${n}`, at('a')));
    all.push(enter('b', at('b')), enter('c', at('c')));
    await endAll();
    await Promise.all(all);
    assert.deepEqual(begun, ['crowd 1', 'b', 'c', 'crowd 2', 'crowd 3', 'crowd 4']);
  });

  it('go from account to account at one address', async () => {
    const { begun, enter, endAll } = open({});
    const all = [1, 2, 3].map((n) => enter(`alice ${n}`, at('office', 'alice')));
    all.push(enter('bob', at('office', 'bob')));
    await endAll();
    await Promise.all(all);
    assert.deepEqual(begun, ['alice 1', 'bob', 'alice 2', 'alice 3']);
  });

  it('are those of an account that proved itself, from whatever address it comes next', async () => {
    const { turns, begun, enter, endAll } = open({});
    const first = enter('alice 1', at('a1', 'alice'));
    const all = [2, 3, 4].map((n) => enter(`alice ${n}`, at(`a${n}`, 'alice')));
    all.push(enter('bob', at('b', 'bob')));
    turns.charge('alice');
    await endAll();
    await Promise.all([first, ...all]);
    assert.deepEqual(begun, ['alice 1', 'bob', 'alice 2', 'alice 3', 'alice 4']);
  });

  it('are not lost to an account for which others only claim to speak', async () => {
    const { begun, enter, endAll } = open({});
    const all = [1, 2, 3].map((n) => enter(`guess ${n}`, at('attacker', 'alice')));
    all.push(enter('alice herself', at('home', 'alice')));
    await endAll();
    await Promise.all(all);
    assert.equal(begun[1], 'alice herself');
  });

  it('leave places to other addresses, even while they are free', async () => {
    const { turns, begun, enter, endAll } = open({ places: 4, perAddress: 2 });
    const all = ['a1', 'a2', 'a3'].map((name) => enter(name, at('a')));
    all.push(enter('b1', at('b')));
    assert.deepEqual([begun, turns.stats()], [['a1', 'a2', 'b1'], { held: 3, waiting: 1, refused: 0 }]);
    await endAll();
    await Promise.all(all);
    assert.deepEqual(turns.stats(), { held: 0, waiting: 0, refused: 0 });
  });

  it('that have no room to wait are refused to the address with the most that wait', async () => {
    const { turns, begun, enter, endAll } = open({ waiting: 3 });
    const crowd = [1, 2, 3, 4].map((n) => codeOf(enter(`crowd ${n}`, at('crowd'))));
    turns.refuseIfFull(at('b'));
    assert.throws(() => turns.refuseIfFull(at('crowd')), { code: 'unavailable' });
    const others = [codeOf(enter('b', at('b')))];
    assert.equal(await crowd[3], 'unavailable');
    others.push(codeOf(enter('crowd 5', at('crowd'))));
    assert.equal(await others[1], 'unavailable');
    await endAll();
    assert.deepEqual(begun, ['crowd 1', 'b', 'crowd 2', 'crowd 3']);
    assert.deepEqual(await Promise.all([...crowd, ...others]), [
      ...['done', 'done', 'done', 'unavailable'],
      ...['done', 'unavailable'],
    ]);
    assert.equal(turns.stats().refused, 3);
  });

  it('of clients that have gone pass to others', async () => {
    const { turns, begun, enter, endAll } = open({});
    const gone = new AbortController();
    const first = enter('first', at('a'));
    const second = codeOf(enter('gone', at('b'), gone.signal));
    const third = enter('third', at('c'));
    gone.abort();
    assert.equal(await second, 'unavailable');
    assert.equal(turns.stats().waiting, 1);
    assert.equal(await codeOf(enter('gone before', at('d'), AbortSignal.abort())), 'unavailable');
    await endAll();
    await Promise.all([first, third]);
    assert.deepEqual(begun, ['first', 'third']);
  });

  it('end once, whether the work says so, ends or fails', async () => {
    const turns = createTurns({ places: 2, refusal: REFUSAL });
    await turns.run(at('a'), async (end) => {
      assert.equal(turns.stats().held, 1);
      end();
      end();
      assert.equal(turns.stats().held, 0);
    });
    await assert.rejects(
      turns.run(at('a'), () => Promise.reject(new Error('failed'))),
      /failed/,
    );
    assert.equal(turns.stats().held, 0);
  });

  it('of ten thousand addresses are remembered, and no more', async () => {
    const turns = createTurns({ places: 1, refusal: REFUSAL });
    for (let n = 0; n < 30_000; n++) await turns.run(at(`${n}`, `user ${n}`), () => Promise.resolve());
    assert.deepEqual(turns.stats(), { held: 0, waiting: 0, refused: 0 });
  });

  it('of several resources add up', () => {
    assert.deepEqual(
      sumOf([
        { held: 1, waiting: 2, refused: 3 },
        { held: 10, waiting: 20, refused: 30 },
      ]),
      { held: 11, waiting: 22, refused: 33 },
    );
  });
});
