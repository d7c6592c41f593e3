import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { CellpassError } from '../errors.ts';
import type { PublicJwk, StoredKey } from './key-set.ts';

/** A public key as its two ids name it. */
export type PublicKey = Pick<StoredKey, 'kid' | 'thumbprint' | 'publicJwk'>;

/** An entry of the published set (RFC 7517 §4): public members only. */
export interface Jwk extends PublicJwk {
  readonly kid: string;
  readonly alg: 'RS256';
  readonly use: 'sig';
}

export interface JwkSet {
  readonly keys: readonly Jwk[];
}

/** The JWK Set as it is served. */
export interface PublishedJwkSet {
  readonly jwks: JwkSet;
  readonly body: string;
  /** A strong entity tag, with its quotes (RFC 9110 §8.8.3). */
  readonly etag: string;
}

/** Libtrust takes 240 bits, so that base32 needs no padding. */
const LIBTRUST_DIGEST_BYTES = 30;
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/**
 * The key id of distribution 2.x and GitLab: SHA-256 of the SubjectPublicKeyInfo, cut to 240 bits, in base32 (RFC 4648 §6),
 * twelve groups of four with colons between.
 */
export function libtrustId(publicKey: KeyObject): string {
  const digest = createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest();
  const groups = base32(digest.subarray(0, LIBTRUST_DIGEST_BYTES)).match(/.{4}/g) ?? [];
  return groups.join(':');
}

/** For whole groups of 5 octets only: they fill 8 characters and need no padding. */
function base32(octets: Uint8Array): string {
  const bits = Array.from(octets, (octet) => octet.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{5}/g) ?? []).map((group) => BASE32.charAt(Number.parseInt(group, 2))).join('');
}

/** RFC 7638 §3: SHA-256 of the required members in lexicographic order, without white space, in base64url. */
export function jwkThumbprint({ e, kty, n }: PublicJwk): string {
  return createHash('sha256').update(JSON.stringify({ e, kty, n })).digest('base64url');
}

/** Names an RSA key by both ids. Throws `invalid` for keys of another kind. */
export function identifyKey(publicKey: KeyObject): PublicKey {
  const { kty, n, e } = publicKey.export({ format: 'jwk' });
  if (kty !== 'RSA' || n === undefined || e === undefined) {
    throw new CellpassError('invalid', 'a signing key must be an RSA key');
  }
  const publicJwk = { kty, n, e } as const;
  return { kid: libtrustId(publicKey), thumbprint: jwkThumbprint(publicJwk), publicJwk };
}

/** The key that a JWK stands for; members with leading zero octets, which RFC 7518 forbids, are read all the same. */
export function importPublicJwk({ kty, n, e }: PublicJwk): KeyObject {
  return createPublicKey({ key: { kty, n, e }, format: 'jwk' });
}

/** Every key twice, first under its libtrust id, then under its thumbprint: either may be a token's `kid`. */
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

export function publishJwkSet(keys: readonly PublicKey[]): PublishedJwkSet {
  const jwks = toJwkSet(keys);
  const body = JSON.stringify(jwks);
  return { jwks, body, etag: `"${createHash('sha256').update(body).digest('base64url')}"` };
}
