import assert from 'node:assert/strict';
import { createPasswordHasher } from '../../src/authn/password.ts';
import { decoyLike, PASSWORD_SCHEMES, passwordHashing } from '../../src/authn/password-schemes.ts';

const HOLDER = { address: '192.0.2.1', account: 'alice' };

describe('passwords', () => {
  it('are argon2id with the parameters of the policy, and verify', async () => {
    const passwords = await createPasswordHasher();
    const hash = await passwords.hash('correct horse');
    assert.match(hash, /^\$argon2id\$v=19\$m=19456,(t=2,p=1|p=1,t=2)\$/);
    assert.equal(await passwords.verify(hash, 'correct horse'), true);
    assert.equal(await passwords.verify(hash, 'correct horsf'), false);
  });

  it('of nobody are never right, not even the one behind the decoy', async () => {
    const passwords = await createPasswordHasher();
    assert.equal(await passwords.verify(null, 'no account has this password'), false);
  });

  it('of nobody cost what others cost, wherever they are hashed', async () => {
    const asked: string[] = [];
    const passwords = await createPasswordHasher(undefined, {
      hash: async () => 'the decoy',
      verify: async (hash, password) => {
        asked.push(`${hash}, ${password}`);
        return true;
      },
    });
    assert.deepEqual(
      [await passwords.verify('$argon2id$a hash', 'x'), await passwords.verify(null, 'x')],
      [true, false],
    );
    assert.deepEqual(asked, ['$argon2id$a hash, x', 'the decoy, x']);
  });

  for (const hash of ['$2x$10$abcdefghijklmnopqrstuu', '$argon2i$v=19$m=19456', 'argon2id$', '']) {
    it(`by an unknown scheme (${hash || 'an empty hash'}) are never right, and cost a decoy`, async () => {
      const asked: string[] = [];
      const passwords = await createPasswordHasher(undefined, {
        hash: async () => 'the decoy',
        verify: async (given) => {
          asked.push(given);
          return true;
        },
      });
      assert.equal(await passwords.verify(hash, 'x'), false);
      assert.deepEqual(asked, ['the decoy']);
    });
  }

  it('by an unknown scheme are no question for the process that hashes', async () => {
    await assert.rejects(passwordHashing.verify('$2x$10$abc', 'x'), /unknown scheme/);
  });

  it('have schemes that can be told apart by their prefixes', () => {
    for (const { prefix } of PASSWORD_SCHEMES) {
      assert.deepEqual(
        PASSWORD_SCHEMES.filter((scheme) => prefix.startsWith(scheme.prefix)).length,
        1,
        prefix,
      );
    }
  });

  it('over the bound of the queue are refused with 503, and the queue goes on', async () => {
    const passwords = await createPasswordHasher({ concurrency: 1, waiting: 1 });
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map((n) => passwords.hash(`password ${n}`)));
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : 'hashed')),
      ['hashed', 'hashed', 'unavailable', 'unavailable'],
    );
    assert.match(await passwords.hash('again'), /^\$argon2id/);
  });

  it('can be told beforehand that too many wait', async () => {
    const passwords = await createPasswordHasher({ concurrency: 1, waiting: 1 });
    const first = passwords.hash('1');
    passwords.refuseIfFull(HOLDER);
    const second = passwords.hash('2');
    assert.throws(() => passwords.refuseIfFull(HOLDER), { code: 'unavailable' });
    assert.equal(passwords.stats().refused, 1);
    await Promise.all([first, second]);
    passwords.refuseIfFull(HOLDER);
  });

  it('that are refused together are told to come back at different times, soon', async () => {
    const passwords = await createPasswordHasher({ concurrency: 1, waiting: 0 });
    const outcomes = await Promise.allSettled(Array.from({ length: 100 }, () => passwords.hash('x')));
    const waits = outcomes.flatMap((outcome) =>
      outcome.status === 'rejected' ? [outcome.reason.details.retryAfterSeconds] : [],
    );
    assert.deepEqual([...new Set(waits)].sort(), [1, 2, 3, 4]);
  });

  it('that fail to verify give their place in the queue back', async () => {
    const passwords = await createPasswordHasher({ concurrency: 1, waiting: 0 });
    await assert.rejects(passwords.verify('$argon2id$not a hash', 'x'));
    assert.equal(await passwords.verify(null, 'x'), false);
  });

  it('are taken one after the other, with what belongs to each', async () => {
    const passwords = await createPasswordHasher({ concurrency: 1, waiting: 2 });
    const steps: string[] = [];
    const turn = (name: string) =>
      passwords.inTurn(
        HOLDER,
        async (verify) => {
          steps.push(`${name} begins`);
          await verify(null, 'x');
          await new Promise((resolve) => setImmediate(resolve));
          steps.push(`${name} ends`);
        },
        new AbortController().signal,
      );
    await Promise.all([turn('first'), turn('second')]);
    assert.deepEqual(steps, ['first begins', 'first ends', 'second begins', 'second ends']);
  });

  describe('of somebody who has gone', () => {
    const gone = async (promise: Promise<unknown>): Promise<void> => {
      await assert.rejects(promise, { code: 'unavailable', details: { reason: 'client_gone' } });
    };

    it('are not begun', async () => {
      const passwords = await createPasswordHasher();
      await gone(passwords.inTurn(HOLDER, () => assert.fail('begun'), AbortSignal.abort()));
    });

    it('leave their place to others', async () => {
      const passwords = await createPasswordHasher({ concurrency: 1, waiting: 1 });
      const controller = new AbortController();
      const first = passwords.hash('first');
      const waiting = passwords.inTurn(HOLDER, () => assert.fail('begun'), controller.signal);
      const refused = gone(waiting);
      await assert.rejects(passwords.hash('no place'), { code: 'unavailable' });
      controller.abort();
      const next = passwords.hash('next');
      await refused;
      assert.match(await first, /^\$argon2id/);
      assert.match(await next, /^\$argon2id/);
    });

    it('are finished once begun', async () => {
      const passwords = await createPasswordHasher({ concurrency: 1, waiting: 1 });
      const controller = new AbortController();
      const first = passwords.hash('first');
      const second = passwords.inTurn(
        HOLDER,
        async (verify) => {
          controller.abort();
          return verify(null, 'x');
        },
        controller.signal,
      );
      await first;
      assert.equal(await second, false);
    });
  });

  /** Of `correct horse`, as GitLab's own libraries make them. */
  const GITLABS = [
    '$2a$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu',
    '$2b$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu',
    '$2y$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu',
    '$pbkdf2-sha512$20000$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg$xw7u5/qu.5qhQfKZ00OYqbbIqWgcMZ3lOORLmzH/9SwpFJuYvGf09sxksEcABdzNnZGj81KPFgqWXA5/2asTVg',
  ];
  for (const hash of GITLABS) {
    it(`of GitLab verify: ${hash.slice(0, 20)}…`, async () => {
      assert.equal(await passwordHashing.verify(hash, 'correct horse'), true);
      assert.equal(await passwordHashing.verify(hash, 'correct horsf'), false);
    });

    it(`have a decoy of the same scheme and cost: ${hash.slice(0, 20)}…`, async () => {
      const [, scheme, cost] = hash.split('$');
      const decoy = decoyLike(hash);
      assert.deepEqual(decoy.split('$').slice(0, 3), ['', scheme, cost]);
      assert.equal(decoy.length >= 60, true);
      assert.equal(await passwordHashing.verify(decoy, 'correct horse'), false);
    });
  }

  it('of GitLab by PBKDF2 whose fields are damaged are an error, not a match', async () => {
    await assert.rejects(passwordHashing.verify('$pbkdf2-sha512$0$$', 'x'), /no PBKDF2 hash/);
  });

  it('of GitLab by bcrypt that are damaged match nothing', async () => {
    for (const hash of ['$2a$10$short', '$2a$99$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu'])
      assert.equal(await passwordHashing.verify(hash, 'x'), false);
  });

  it('of nobody cost what the directory says', async () => {
    const asked: string[] = [];
    const hashing = {
      hash: async () => 'unused',
      verify: async (hash: string) => {
        asked.push(hash);
        return true;
      },
    };
    const passwords = await createPasswordHasher(undefined, hashing, () => '$2a$13$the decoy');
    assert.equal(await passwords.verify(null, 'x'), false);
    assert.deepEqual(asked, ['$2a$13$the decoy']);
  });
});
