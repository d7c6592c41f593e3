import type { SigningKey } from '../keys/signing-key.ts';

/** How the header of a service's tokens names the key. */
export interface HeaderSettings {
  readonly kid: 'libtrust' | 'thumbprint';
  readonly x5c: boolean;
}

/** Signs a compact JWS (RFC 7515 §7.1) with RS256, which every registry can verify. */
export function signToken(claims: object, key: SigningKey, header: HeaderSettings): string {
  const signingInput = `${headerOf(key, header)}.${encode(toAsciiJson(claims))}`;
  return `${signingInput}.${key.sign(signingInput).toString('base64url')}`;
}

/**
 * Encoded headers by key: a header with a certificate is longer than most payloads, and never
 * changes.
 */
const headers = new WeakMap<SigningKey, Map<string, string>>();

function headerOf(key: SigningKey, settings: HeaderSettings): string {
  const known = headers.get(key) ?? new Map<string, string>();
  const cacheKey = `${settings.kid} ${settings.x5c}`;
  const header = known.get(cacheKey) ?? encode(toHeader(key, settings));
  headers.set(key, known.set(cacheKey, header));
  return header;
}

function toHeader(key: SigningKey, header: HeaderSettings): string {
  return JSON.stringify({
    alg: 'RS256',
    typ: 'JWT',
    kid: header.kid === 'libtrust' ? key.kid : key.thumbprint,
    ...(header.x5c && key.x5c.length > 0 && { x5c: key.x5c }),
  });
}

function encode(ascii: string): string {
  return Buffer.from(ascii, 'ascii').toString('base64url');
}

/**
 * JSON in ASCII without `>`, `?` and `~`. Only those characters lead to `-` or `_` in base64url,
 * and Jib decodes a payload with the standard alphabet.
 */
export function toAsciiJson(claims: object): string {
  return JSON.stringify(claims).replace(
    /[>?~\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
