import assert from 'node:assert/strict';
import {
  type KeyCertificate,
  type KeySet,
  replaceCertificate,
  type StoredKey,
} from '../../src/keys/key-set.ts';

const T0 = new Date('2026-11-24T10:00:00Z');
const T1 = new Date('2026-11-25T10:00:00Z');

function certificate(pem: string): KeyCertificate {
  return { authorityId: 'ca', pem, notBefore: T0, notAfter: T1 };
}

const ACTIVE: StoredKey = {
  kid: 'A',
  thumbprint: 'a',
  state: 'active',
  publicJwk: { kty: 'RSA', n: 'AQ', e: 'AQAB' },
  encryptedPrivateKey: 'jwe',
  certificate: certificate('old'),
  createdAt: T0,
  activatedAt: T1,
  retiredAt: null,
  revokedAt: null,
  revocationReason: null,
  publishedUntil: null,
  longestTokenSeconds: 600,
};

describe('replacing a certificate', () => {
  const rows: [title: string, key: StoredKey, kid: string, replaced: boolean][] = [
    ['of the key that has it', ACTIVE, 'A', true],
    ['of another key', ACTIVE, 'B', false],
    ['that somebody replaced before', { ...ACTIVE, certificate: certificate('newer') }, 'A', false],
    [
      'of a key whose private half is gone',
      { ...ACTIVE, state: 'retired', encryptedPrivateKey: null },
      'A',
      false,
    ],
  ];
  for (const [title, key, kid, replaced] of rows) {
    it(`${title}: ${replaced ? 'yes' : 'no, and the entry is the same object'}`, () => {
      const set: KeySet = { authorities: [], keys: [key] };
      const [after] = replaceCertificate(set, kid, 'old', certificate('new')).keys;
      if (replaced) assert.deepEqual(after, { ...key, certificate: certificate('new') });
      else assert.equal(after, key);
    });
  }
});
