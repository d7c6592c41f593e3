import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  type Attempt,
  createFailedAttempts,
  type FailureCounter,
  type Lockout,
} from '../../src/authn/failed-attempts.ts';
import { CellpassError } from '../../src/errors.ts';

const SECONDS = 180;
const anAttempt = (secret: string, loginKey = 'bob', network = '192.0.2.1'): Attempt => ({
  network,
  loginKey,
  digest: createHash('sha256').update(secret).digest(),
});

/** Counters in memory, on a clock that stands still, and whose database may be away. */
function open({ address = 4, account = 2 } = {}) {
  const world = { nowMs: 0, isAway: false, asked: 0 };
  const lockouts: Lockout[] = [];
  const counter = (): FailureCounter & { readonly keys: Map<string, number> } => {
    const keys = new Map<string, number>();
    const answer = async (key: string, step: number) => {
      world.asked += 1;
      if (world.isAway) throw new CellpassError('unavailable', 'away');
      keys.set(key, (keys.get(key) ?? 0) + step);
      return { failures: keys.get(key) ?? 0, endsInMs: SECONDS * 1000 - world.nowMs };
    };
    return {
      keys,
      read: (key) => answer(key, 0),
      add: (key) => answer(key, 1),
      forget: async (key) => void keys.delete(key),
    };
  };
  const counters = { address: counter(), account: counter() };
  const attempts = createFailedAttempts({
    counters,
    limits: { address, account },
    seconds: SECONDS,
    monotonicMs: () => world.nowMs,
    onLockout: (lockout) => lockouts.push(lockout),
  });
  /** The code that a wrong token is answered with. */
  const token = async (secret: string, loginKey?: string): Promise<string> =>
    (await attempts.tokenFailed(anAttempt(secret, loginKey), 'unknown')).code;
  const password = async (secret: string, loginKey?: string): Promise<string> => {
    try {
      const attempt = await attempts.admitPassword(anAttempt(secret, loginKey));
      return (await attempt.failed('wrong_password')).code;
    } catch (error) {
      assert.ok(error instanceof CellpassError);
      return error.code;
    }
  };
  return { world, counters, attempts, lockouts, token, password };
}

describe('attempts that fail', () => {
  it('are counted by address, and passwords by account, too', async () => {
    const { counters, token, password } = open();
    await token('a');
    await password('b');
    assert.deepEqual([...counters.address.keys], [['192.0.2.1', 2]]);
    const counts = [...counters.account.keys];
    assert.match(counts.map(([key]) => key).join(), /^192\.0\.2\.1 token [\w-]{22},192\.0\.2\.1 [\w-]{22}$/);
    assert.deepEqual(
      counts.map(([, failures]) => failures),
      [1, 1],
    );
  });

  it('of one account count for the address five times, and of as many accounts each time', async () => {
    const { counters, password } = open({ address: 30, account: 30 });
    for (let n = 0; n < 30; n++) await password(`guess ${n}`, 'alice');
    assert.equal(counters.address.keys.get('192.0.2.1'), 5);
    for (let n = 0; n < 24; n++) assert.equal(await password('Summer2026', `user-${n}`), 'unauthorized');
    assert.equal(await password('Summer2026', 'user-24'), 'unauthorized');
    assert.equal(await password('Summer2026', 'user-25'), 'too_many_failures');
  });

  it('of one old token, again and again, leave the address to others', async () => {
    const { counters, token, world } = open({ address: 30, account: 30 });
    for (let n = 0; n < 1000; n++) {
      world.nowMs += 10_000 / 7;
      assert.equal(await token('an old token'), 'unauthorized');
    }
    assert.equal(counters.address.keys.get('192.0.2.1'), 5);
  });

  it('are told as wrong until there are too many, once as a lockout', async () => {
    const { token, lockouts, attempts } = open();
    const codes: string[] = [];
    for (const secret of ['a', 'b', 'c', 'd', 'e', 'f']) codes.push(await token(secret));
    assert.deepEqual(codes, [...Array(4).fill('unauthorized'), 'too_many_failures', 'too_many_failures']);
    assert.deepEqual(lockouts, [{ by: 'address', network: '192.0.2.1' }]);
    assert.deepEqual(attempts.lockouts(), { address: 1, account: 0 });
  });

  it('say how long to wait, in whole seconds', async () => {
    const { token, attempts, world } = open({ address: 1 });
    await token('a');
    world.nowMs = 100;
    const { details } = await attempts.tokenFailed(anAttempt('b'), 'unknown');
    assert.deepEqual([details.retryAfterSeconds, details.reason], [180, 'too_many_failures']);
    world.nowMs = 179_001;
    assert.equal((await attempts.tokenFailed(anAttempt('b'), 'unknown')).details.retryAfterSeconds, 1);
  });

  it('are asked for in vain no more once they are too many', async () => {
    const { token, password, world } = open({ address: 1 });
    await token('a');
    world.asked = 0;
    assert.deepEqual([await token('b'), await password('c')], Array(2).fill('too_many_failures'));
    assert.equal(world.asked, 0);
  });

  it('are known from others when a password comes, before it costs anything', async () => {
    const { counters, password, attempts } = open();
    for (let n = 0; n < 4; n++) await counters.address.add('192.0.2.1');
    assert.equal(await password('a'), 'too_many_failures');
    await assert.rejects(attempts.admitPassword(anAttempt('b')), { code: 'too_many_failures' });
  });

  it('that this process knows of are refused without asking anybody', async () => {
    const { counters, password, attempts } = open();
    attempts.refuseKnown(anAttempt('a'));
    for (let n = 0; n < 4; n++) await counters.address.add('192.0.2.1');
    attempts.refuseKnown(anAttempt('a'));
    await password('a');
    assert.throws(() => attempts.refuseKnown(anAttempt('b')), { code: 'too_many_failures' });
  });

  it('are known from others when a token fails, who have told of the lockout', async () => {
    const { counters, token, lockouts } = open();
    for (let n = 0; n < 4; n++) await counters.address.add('192.0.2.1');
    assert.equal(await token('a'), 'too_many_failures');
    assert.deepEqual(lockouts, []);
  });

  it('refuse a password that was admitted before they were too many', async () => {
    const { attempts, password } = open();
    const waiting = await attempts.admitPassword(anAttempt('waiting'));
    waiting.refuseIfLimited();
    await password('a');
    await password('b');
    assert.throws(() => waiting.refuseIfLimited(), { code: 'too_many_failures' });
    assert.equal((await waiting.failed('wrong_password')).code, 'too_many_failures');
  });

  it('are forgotten by a success for its own account, and not for the address', async () => {
    const { attempts, counters, password } = open();
    await password('a');
    await password('b', 'alice');
    const attempt = await attempts.admitPassword(anAttempt('right'));
    await attempt.succeeded();
    assert.equal(counters.address.keys.get('192.0.2.1'), 2);
    assert.deepEqual([...counters.account.keys.values()], [1]);
  });

  it('are one with the same secret within ten seconds, three times', async () => {
    const { counters, token, world } = open({ address: 100 });
    const counted = async (): Promise<number | undefined> => {
      await token('same');
      return counters.address.keys.get('192.0.2.1');
    };
    assert.deepEqual([await counted(), await counted(), await counted(), await counted()], [1, 1, 1, 1]);
    assert.equal(await counted(), 2);
    world.nowMs = 10_001;
    assert.equal(await counted(), 3);
    await token('same', 'alice');
    assert.equal(counters.address.keys.get('192.0.2.1'), 4);
  });

  it('that could not be counted are counted when they come again', async () => {
    const { counters, token, world } = open();
    world.isAway = true;
    await assert.rejects(token('same'), { code: 'unavailable' });
    world.isAway = false;
    assert.equal(await token('same'), 'unauthorized');
    assert.equal(counters.address.keys.get('192.0.2.1'), 1);
  });

  const bounds: [
    what: string,
    limits: { address: number; account: number },
    tokens: string,
    passwords: string,
  ][] = [
    ['of an address alone', { address: 1, account: 0 }, 'too_many_failures', 'too_many_failures'],
    ['of an account alone', { address: 0, account: 1 }, 'unauthorized', 'too_many_failures'],
    ['of nothing', { address: 0, account: 0 }, 'unauthorized', 'unauthorized'],
  ];
  for (const [what, limits, tokens, passwords] of bounds) {
    it(`can be too many ${what}`, async () => {
      const { token, password } = open(limits);
      await password('a');
      assert.deepEqual([await token('b'), await password('c')], [tokens, passwords]);
    });
  }

  it('are admitted at once after a recheck, when the counts are gone', async () => {
    const { counters, attempts, password } = open({ account: 2 });
    await password('a');
    await password('b');
    assert.equal(await password('c'), 'too_many_failures');
    counters.account.keys.clear();
    assert.equal(await password('c'), 'too_many_failures');
    attempts.recheck();
    assert.equal(await password('c'), 'unauthorized');
  });

  it('that were read before a recheck limit nothing after it', async () => {
    const { counters, attempts, password } = open({ account: 2 });
    await password('a');
    await password('b');
    attempts.recheck();
    const late = password('c');
    counters.account.keys.clear();
    attempts.recheck();
    await late;
    assert.equal(await password('d'), 'unauthorized');
  });

  it('at a limited key ask the counter again after 10 seconds', async () => {
    const { world, counters, password } = open({ account: 2 });
    await password('a');
    await password('b');
    assert.equal(await password('c'), 'too_many_failures');
    counters.account.keys.clear();
    world.nowMs = 9_999;
    assert.equal(await password('c'), 'too_many_failures');
    world.nowMs = 10_000;
    assert.equal(await password('c'), 'unauthorized');
  });
});
