import assert from 'node:assert/strict';
import type { PasswordHashing } from '../../../src/authn/password-schemes.ts';
import {
  answerHashing,
  createHashingClient,
  type HashingAnswer,
  type HashingQuestion,
  hasherAway,
} from '../../../src/server/hashing/channel.ts';

/** A client whose questions are answered by `hashing`, as soon as each is asked. */
function clientOf(hashing: PasswordHashing) {
  const client = createHashingClient(async (question) =>
    client.receive(await answerHashing(question, hashing)),
  );
  return client;
}

describe('asking another process for a hash', () => {
  const AWAY = { code: 'unavailable', details: { reason: 'password_hasher', retryAfterSeconds: 1 } };

  it('gives what it says', async () => {
    const client = clientOf({
      hash: async (password) => `hash of ${password}`,
      verify: async (hash, password) => hash === `hash of ${password}`,
    });
    assert.equal(await client.hash('a'), 'hash of a');
    assert.equal(await client.verify('hash of a', 'a'), true);
    assert.equal(await client.verify('hash of a', 'b'), false);
  });

  const failures: readonly [what: string, thrown: unknown, expected: object][] = [
    [
      'is wrong, as an error that is no fault of the channel',
      new Error('no hash'),
      { name: 'Error', message: 'no hash' },
    ],
    ['finds nobody, as unavailable', hasherAway('gone'), { ...AWAY, message: 'gone' }],
    ['fails with something that is no error', 'x', { name: 'Error', message: 'unknown' }],
  ];
  for (const [what, thrown, expected] of failures) {
    it(`tells a question that ${what}`, async () => {
      const fail = () => Promise.reject(thrown);
      const client = clientOf({ hash: fail, verify: fail });
      await assert.rejects(client.hash('a'), expected);
      await assert.rejects(client.verify('h', 'a'), expected);
    });
  }

  describe('takes no answer but its own:', () => {
    const asked: HashingQuestion[] = [];
    const begin = () => {
      asked.length = 0;
      return createHashingClient((question) => asked.push(question));
    };

    it('each question has an id', async () => {
      const client = begin();
      const [right, wrong] = [client.verify('h', 'right'), client.verify('h', 'wrong')];
      const [first, second] = asked;
      // In the other order.
      client.receive({ kind: 'verified', id: second!.id, matches: false } as HashingAnswer);
      client.receive({ kind: 'verified', id: first!.id, matches: true } as HashingAnswer);
      assert.deepEqual(await Promise.all([right, wrong]), [true, false]);
    });

    it('one that nobody asked for, or that came before, is left alone', async () => {
      const client = begin();
      const answer = client.verify('h', 'x');
      const { id } = asked[0]!;
      client.receive({ kind: 'metrics' });
      client.receive({ kind: 'verified', id: id + 1, matches: true } as HashingAnswer);
      client.receive({ kind: 'verified', id, matches: false } as HashingAnswer);
      client.receive({ kind: 'verified', id, matches: true } as HashingAnswer);
      assert.equal(await answer, false);
    });

    it('a hash is no verdict, and a verdict no hash', async () => {
      const client = begin();
      const [verdict, hash] = [client.verify('h', 'x'), client.hash('x')];
      client.receive({ kind: 'hashed', id: asked[0]!.id, hash: 'h' } as HashingAnswer);
      client.receive({ kind: 'verified', id: asked[1]!.id, matches: true } as HashingAnswer);
      await assert.rejects(verdict, /another question/);
      await assert.rejects(hash, /another question/);
    });
  });

  it('is unavailable when the other end is lost, for who waits and for who comes later', async () => {
    const client = createHashingClient(() => undefined);
    const waiting = client.verify('h', 'x');
    client.lose();
    await assert.rejects(waiting, AWAY);
    await assert.rejects(client.verify('h', 'x'), AWAY);
    await assert.rejects(client.hash('x'), AWAY);
  });
});
