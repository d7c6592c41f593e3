import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { calculateJwkThumbprint } from 'jose';
import { identifyKey, importPublicJwk, publishJwkSet, toJwkSet } from '../../src/keys/jwks.ts';
import type { PublicJwk } from '../../src/keys/key-set.ts';

/** RFC 7638 §3.1. */
const RFC_KEY: PublicJwk = {
  kty: 'RSA',
  n: '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw',
  e: 'AQAB',
};
const RFC_LIBTRUST = 'VUZD:EDHW:YWLN:RBFQ:KOA3:UVZ2:XKG5:2V2J:WTPI:6SRD:U6PZ:VCO5';
const RFC_THUMBPRINT = 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs';

/** The same number with a zero octet before it, as DER writes it and RFC 7518 §6.3.1 does not. */
function withLeadingZero(value: string): string {
  return Buffer.concat([Buffer.of(0), Buffer.from(value, 'base64url')]).toString('base64url');
}

describe('key ids', () => {
  const rows: [title: string, jwk: PublicJwk][] = [
    ['the key of RFC 7638 §3.1', RFC_KEY],
    ['a modulus with a leading zero octet', { ...RFC_KEY, n: withLeadingZero(RFC_KEY.n) }],
    ['an exponent with a leading zero octet', { ...RFC_KEY, e: withLeadingZero(RFC_KEY.e) }],
  ];
  for (const [title, jwk] of rows) {
    it(`names ${title} by the known ids`, () => {
      assert.deepEqual(identifyKey(importPublicJwk(jwk)), {
        kid: RFC_LIBTRUST,
        thumbprint: RFC_THUMBPRINT,
        publicJwk: RFC_KEY,
      });
    });
  }

  it('writes members without leading zero octets, so that the thumbprint is everybody’s', async () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const key = identifyKey(publicKey);
    assert.notEqual(Buffer.from(key.publicJwk.n, 'base64url')[0], 0);
    assert.equal(Buffer.from(key.publicJwk.n, 'base64url').length, 256);
    assert.equal(key.thumbprint, await calculateJwkThumbprint({ ...key.publicJwk }));
    assert.match(key.kid, /^([A-Z2-7]{4}:){11}[A-Z2-7]{4}$/);
  });

  it('refuses keys that are not RSA', () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    assert.throws(() => identifyKey(publicKey), { code: 'invalid' });
  });
});

describe('the JWK Set', () => {
  const rfcKey = identifyKey(importPublicJwk(RFC_KEY));
  const other = identifyKey(createPublicKey(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey));

  it('lists every key under both ids, in the order given', () => {
    assert.deepEqual(
      toJwkSet([rfcKey, other]).keys.map(({ kid }) => kid),
      [RFC_LIBTRUST, RFC_THUMBPRINT, other.kid, other.thumbprint],
    );
  });

  it('has the public members and no others, even if more is given', () => {
    const leaky = { ...rfcKey, d: 'secret', publicJwk: { ...RFC_KEY, d: 'secret', p: 'secret' } };
    for (const jwk of toJwkSet([leaky]).keys) {
      assert.deepEqual(Object.keys(jwk).sort(), ['alg', 'e', 'kid', 'kty', 'n', 'use']);
      assert.deepEqual([jwk.kty, jwk.alg, jwk.use], ['RSA', 'RS256', 'sig']);
    }
  });

  it('has an entity tag that changes with the keys and not without', () => {
    const [one, same, two] = [
      publishJwkSet([rfcKey]),
      publishJwkSet([rfcKey]),
      publishJwkSet([rfcKey, other]),
    ];
    assert.equal(one.etag, same.etag);
    assert.notEqual(one.etag, two.etag);
    assert.match(one.etag, /^"[\w-]+"$/);
    assert.deepEqual(JSON.parse(two.body), two.jwks);
  });
});
