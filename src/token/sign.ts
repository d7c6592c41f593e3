import type { SigningKey } from '../keys/signing-key.ts';

export interface HeaderSettings {
  readonly kid: 'libtrust' | 'thumbprint';
  readonly x5c: boolean;
}

/** RS256, compact (RFC 7515 §7.1): what every registry verifies. */
export function signToken(claims: object, key: SigningKey, header: HeaderSettings): string {
  const signingInput = `${headerOf(key, header)}.${encode(toAsciiJson(claims))}`;
  return `${signingInput}.${key.sign(signingInput).toString('base64url')}`;
}

/** With a certificate in it a header is longer than most payloads, and for one key always the same. */
const headers = new WeakMap<SigningKey, Map<string, string>>();

function headerOf(key: SigningKey, settings: HeaderSettings): string {
  const known = headers.get(key) ?? new Map<string, string>();
  const name = `${settings.kid} ${settings.x5c}`;
  const header = known.get(name) ?? encode(toHeader(key, settings));
  headers.set(key, known.set(name, header));
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
 * JSON in ASCII and without `>`, `?` and `~`: only those can put `-` or `_` into base64url, and Jib decodes a payload
 * with the standard alphabet.
 */
export function toAsciiJson(claims: object): string {
  return JSON.stringify(claims).replace(
    /[>?~\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
