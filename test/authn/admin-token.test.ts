import assert from 'node:assert/strict';
import {
  adminTokenDigest,
  isAdminTokenSecret,
  newAdminTokenSecret,
  parseAdminBearer,
} from '../../src/authn/admin-token.ts';

describe('the secret of an admin token', () => {
  const secret = newAdminTokenSecret();

  it('is new each time, of a form of its own, and kept as a SHA-256', () => {
    assert.ok(isAdminTokenSecret(secret));
    assert.notEqual(newAdminTokenSecret(), secret);
    assert.equal(adminTokenDigest(secret).length, 32);
    assert.notDeepEqual(adminTokenDigest(secret), adminTokenDigest(newAdminTokenSecret()));
  });

  const headers: [header: string | undefined, read: string | null][] = [
    [undefined, null],
    ['', null],
    [`Bearer ${secret}`, secret],
    [`bearer   ${secret} `, secret],
    [`Basic ${secret}`, null],
    [secret, null],
    [`Bearer ${secret}x`, null],
    [`Bearer ${secret} ${secret}`, null],
    [`Bearer glpat-${secret.slice(5)}`, null],
  ];
  for (const [header, read] of headers) {
    const shown = header?.replaceAll(secret, 'SECRET').replaceAll(secret.slice(5), 'SECRET');
    it(`${read === null ? 'is not in' : 'is in'} the header ${JSON.stringify(shown)}`, () => {
      assert.equal(parseAdminBearer(header), read);
    });
  }
});
