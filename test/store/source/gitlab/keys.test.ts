import assert from 'node:assert/strict';
import { deriveKeys } from '../../../../src/store/source/gitlab/keys.ts';

/** Values that GitLab's own libraries make of example keys; see docs/gitlab.md. */
const K1 = 'a'.repeat(128);
const K2 = '0123456789abcdef'.repeat(8);
const K3 = 'short-key';
const K4 = 'é'.repeat(40);

const ACCESS = 'glpat-aaaaaaaaaaaaaaaaaaaa';
const DEPLOY = 'gldt-bbbbbbbbbbbbbbbbbbbb';
const JOB = 'glcbt-64_cccccccccccccccccccc';

const DIGESTS: readonly (readonly [key: string, digest: string])[] = [
  [K1, 'CSUY8R/vA2PGcY1zXF5Zqt9bHfPM+Xv9nifEMAGsDYU='],
  [K2, '4T6XX0ydkbXqCxLYR7KUpazGrTrGbyO8XA2NkytMn5Q='],
  [K3, '2b9rayhhIfW04KXnWwz/16hDFBSulJ1m8TIhczswkG8='],
  [K4, 'wPMFwvhirL+T/XXZTI1hv/+wa8eSJRWYNgkZ3qAVAUs='],
];
const ENCRYPTED: readonly (readonly [key: string, secret: string, dynamic: string, fixed: string])[] = [
  [
    K1,
    DEPLOY,
    '|Z2lnV97Ymlz0L2Ejh3yvhuMiDlvBV1aFosG8H0YlUvZsatRBG0ZoDx8=1b3fea1f30e2',
    'WZGa7tsVTbAsbhCVY0o74LUYI3KG0ADml/Eu4XTlEjEqzfFi9j2iPZU=',
  ],
  [
    K2,
    DEPLOY,
    '|f96xTE51fM7kZLcRUmRY8Km6iNpfHezJhnVLocnfQqcggYtbgNt7lmA=1b3fea1f30e2',
    '/sWDTm6o+nmXZ0Hf0WYeRSDktq11qggJRiw+V+4+rmaq0SQIh8KxtU4=',
  ],
  [
    K3,
    DEPLOY,
    '|ZzMf5uJ8RTepcIGdL79r2CKSGFX3deJjNnAunP/2qR3zWA+bstLlgJ4=1b3fea1f30e2',
    'A5XDaqAX1dedZEN9t3FuX7sLqHUcWhDWnvZ13NYrlX5YPsLF1JtG7MM=',
  ],
  [
    K4,
    DEPLOY,
    '|MUFYritsDFBNFLC/FKok/OvLFuH5JnU9NXAQM2T7dFLle83aEuWQv7E=1b3fea1f30e2',
    'NGIjOOzI7tqOVObaLqBZCrRBQe1SBiRjDZIxneDSUumQfNml3golG4k=',
  ],
  [
    K1,
    JOB,
    '|6YrbKEi24vtzyrawXQuLkOATynvuR6AobeqK1Dz+4zs0WlLpUgGsQAEEsfDce0731fd1baee',
    'WZGd+IJaGeYRbxGUYks64bQZInOH0QHnlmhIWwx+wZAU50Lkzqc8vJNVyQvY',
  ],
  [
    K2,
    JOB,
    '|7WbAiEEixXHvzwRWFqUy/Ka+2mxL7Ed98/2ExYm5byoV1HtI01FpoEJyDJNle0731fd1baee',
    '/sWEWDfnri+qZkDe0GcfRCHlt6x0qwkIR+yseqoi9zOUGFp/rDQ1syAwwzHf',
  ],
];

describe('the keys of GitLab', () => {
  for (const [key, digest] of DIGESTS) {
    it(`digest an access token under ${key.slice(0, 9)}…`, () => {
      assert.deepEqual(deriveKeys([key]).accessTokenDigests(ACCESS), [digest]);
    });
  }

  for (const [key, secret, dynamic, fixed] of ENCRYPTED) {
    it(`encrypt ${secret.slice(0, 6)}… under ${key.slice(0, 9)}…, and decrypt it`, () => {
      const keys = deriveKeys([key]);
      assert.deepEqual(keys.encryptedTokens(secret), [dynamic, fixed]);
      assert.deepEqual([keys.decryptToken(dynamic), keys.decryptToken(fixed)], [secret, secret]);
      assert.equal(deriveKeys([`other ${key}`]).decryptToken(dynamic), null);
    });
  }

  it('give the current key, which is the last, first', () => {
    const both = deriveKeys([K1, K2]);
    assert.deepEqual(both.accessTokenDigests(ACCESS), [DIGESTS[1]?.[1], DIGESTS[0]?.[1]]);
    assert.deepEqual(both.encryptedTokens(DEPLOY), [
      ...deriveKeys([K2]).encryptedTokens(DEPLOY),
      ...deriveKeys([K1]).encryptedTokens(DEPLOY),
    ]);
  });

  it('digest a routable token as a whole', () => {
    const routable = 'glpat-bzoxCnU6MWkAAQIDBAUGBwgJCgsMDQ4PEA.0y1hlg37g';
    const digest = '4hfrWMj0zM5z/Gqv4nBS0Y1+mFcKjWACIotcrLJO3EM=';
    assert.deepEqual(deriveKeys([K2]).accessTokenDigests(routable), [digest]);
  });

  it('decrypt an attribute by whichever key it was encrypted with', () => {
    const iv = Buffer.from('000102030405060708090a0b', 'hex');
    const value = Buffer.from('4580d710b638a1c5cfb218d016efba619f63a7771041d9d7100f93eadbab7c27a3', 'hex');
    for (const keys of [[K2], [K2, K1], [K1, K2]])
      assert.equal(deriveKeys(keys).decryptAttribute(value, iv)?.toString(), 'hello signing key');
    assert.equal(deriveKeys([K1]).decryptAttribute(value, iv), null);
  });

  it('decrypt nothing that is cut off or of another form', () => {
    const keys = deriveKeys([K2]);
    for (const stored of ['', '|', 'AAAA', `|AAAA1b3fea1f30e2`, 'not base64 at all']) {
      assert.equal(keys.decryptToken(stored), null);
    }
    assert.equal(keys.decryptAttribute(Buffer.alloc(40), Buffer.alloc(3)), null);
  });
});
