import { CompactSign } from 'jose';
import type { SigningKey } from '../keys/signing-key.ts';

export interface HeaderSettings {
  readonly kid: 'libtrust' | 'thumbprint';
  readonly x5c: boolean;
}

/** RS256, compact: what every registry verifies. */
export async function signToken(claims: object, key: SigningKey, header: HeaderSettings): Promise<string> {
  return new CompactSign(encodeClaims(claims))
    .setProtectedHeader({
      alg: 'RS256',
      typ: 'JWT',
      kid: header.kid === 'libtrust' ? key.kid : key.thumbprint,
      ...(header.x5c && key.x5c.length > 0 && { x5c: [...key.x5c] }),
    })
    .sign(key.privateKey);
}

/**
 * JSON in ASCII and without `>`, `?` and `~`: only those can put `-` or `_` into base64url, and Jib decodes a payload
 * with the standard alphabet.
 */
export function encodeClaims(claims: object): Uint8Array {
  const json = JSON.stringify(claims).replace(
    /[>?~\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return Buffer.from(json, 'ascii');
}
