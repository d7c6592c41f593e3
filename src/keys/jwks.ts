import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { CellpassError } from '../errors.ts';
import type { PublicJwk, StoredKey } from './key-set.ts';

/** A public key with its two ids. */
export type PublicKey = Pick<StoredKey, 'kid' | 'thumbprint' | 'publicJwk'>;

/** An entry of the JWK Set (RFC 7517 §4), with public members only. */
interface Jwk extends PublicJwk {
  readonly kid: string;
  readonly alg: 'RS256';
  readonly use: 'sig';
}

export interface JwkSet {
  readonly keys: readonly Jwk[];
}

/** The JWK Set as an object and as the response body. */
export interface PublishedJwkSet {
  readonly jwks: JwkSet;
  readonly body: string;
  /** A strong entity tag, with its quotes (RFC 9110 §8.8.3). */
  readonly etag: string;
}

/** Libtrust uses 240 bits, so that base32 needs no padding. */
const LIBTRUST_DIGEST_BYTES = 30;
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/**
 * The key id of distribution 2.x and GitLab: SHA-256 of the SubjectPublicKeyInfo, cut to 240 bits,
 * in base32 (RFC 4648 §6), as twelve groups of four characters with colons between.
 */
export function libtrustId(publicKey: KeyObject): string {
  const digest = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest();
  const groups = base32(digest.subarray(0, LIBTRUST_DIGEST_BYTES)).match(/.{4}/g) ?? [];
  return groups.join(':');
}

/** Encodes whole groups of 5 octets only: each fills 8 characters, so there is no padding. */
function base32(octets: Uint8Array): string {
  const bits = Array.from(octets, (octet) => octet.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{5}/g) ?? []).map((group) => BASE32.charAt(Number.parseInt(group, 2))).join('');
}

/** RFC 7638 §3: SHA-256 in base64url of the required members, in lexicographic order. */
export function jwkThumbprint({ e, kty, n }: PublicJwk): string {
  return createHash('sha256').update(JSON.stringify({ e, kty, n })).digest('base64url');
}

/** Computes both ids of an RSA key. Throws `invalid` for other kinds of keys. */
export function identifyKey(publicKey: KeyObject): PublicKey {
  const { kty, n, e } = publicKey.export({ format: 'jwk' });
  if (kty !== 'RSA' || n === undefined || e === undefined) {
    throw new CellpassError(
      'invalid',
      `a signing key must be an RSA key, but this one is ${publicKey.asymmetricKeyType}`,
    );
  }
  const publicJwk = { kty, n, e } as const;
  return { kid: libtrustId(publicKey), thumbprint: jwkThumbprint(publicJwk), publicJwk };
}

/** Imports a JWK. It accepts members with leading zero octets, which RFC 7518 forbids. */
export function importPublicJwk({ kty, n, e }: PublicJwk): KeyObject {
  return createPublicKey({ key: { kty, n, e }, format: 'jwk' });
}

/**
 * Lists every key twice, with its libtrust id and with its thumbprint: a token's `kid` may be
 * either.
 */
export function toJwkSet(keys: readonly PublicKey[]): JwkSet {
  return {
    keys: keys.flatMap(({ kid, thumbprint, publicJwk }) => [
      toJwk(publicJwk, kid),
      toJwk(publicJwk, thumbprint),
    ]),
  };
}

function toJwk({ kty, n, e }: PublicJwk, kid: string): Jwk {
  return { kty, n, e, kid, alg: 'RS256', use: 'sig' };
}

/** Serializes the JWK Set of `keys` and computes its entity tag. */
export function publishJwkSet(keys: readonly PublicKey[]): PublishedJwkSet {
  const jwks = toJwkSet(keys);
  const body = JSON.stringify(jwks);
  return { jwks, body, etag: `"${createHash('sha256').update(body).digest('base64url')}"` };
}
