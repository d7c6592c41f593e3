import assert from 'node:assert/strict';
import { createPasswordHasher } from '../../src/authn/password.ts';

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
    assert.equal(await passwords.verify(null, 'nobody has this password'), false);
  });

  it('over the bound of the queue are refused with 503, and the lane goes on', async () => {
    const passwords = await createPasswordHasher({ lanes: 1, queue: 1 });
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map((n) => passwords.hash(`password ${n}`)));
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : 'hashed')),
      ['hashed', 'hashed', 'unavailable', 'unavailable'],
    );
    assert.match(await passwords.hash('again'), /^\$argon2id/);
  });

  it('that fail to verify give their place in the lane back', async () => {
    const passwords = await createPasswordHasher({ lanes: 1, queue: 0 });
    await assert.rejects(passwords.verify('not a hash', 'x'));
    assert.equal(await passwords.verify(null, 'x'), false);
  });
});
