import { CellpassError, type Reason } from '../errors.ts';

/** User name and password of one request, not verified. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** One message for every cause, so that a client can't learn which part was wrong. */
export const UNAUTHORIZED_MESSAGE = 'invalid username or password';

export function unauthorized(reason: Reason): CellpassError {
  return new CellpassError('unauthorized', UNAUTHORIZED_MESSAGE, { reason });
}

const BASIC = /^basic(?:[ \t]+(.*))?$/i;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * RFC 7617: `Basic base64(user-id:password)` in UTF-8; the user-id ends at the first colon, the
 * password may contain more. Null for no header, another scheme, and `Og==` (empty:empty), which
 * some clients send without credentials.
 * @throws {CellpassError} `unauthorized` for a Basic header that doesn't parse.
 */
export function parseBasic(header: string | undefined): Credentials | null {
  const match = BASIC.exec(header ?? '');
  if (match === null) return null;
  const text = decodeBase64Utf8(match[1]?.trim() ?? '');
  const colon = text?.indexOf(':') ?? -1;
  if (text === null || colon < 0) throw unauthorized('malformed_basic');
  return toCredentials(text.slice(0, colon), text.slice(colon + 1));
}

/**
 * Null when both parts are empty.
 * @throws {CellpassError} `unauthorized` for control characters, which RFC 7617 section 2 forbids
 * and no stored name has, and for what a lenient decoder made of invalid UTF-8.
 */
export function toCredentials(username: string, password: string): Credentials | null {
  if (username === '' && password === '') return null;
  if (hasControlCharacter(username) || hasControlCharacter(password))
    throw unauthorized('malformed_credentials');
  return { username, password };
}

function decodeBase64Utf8(encoded: string): string | null {
  if (!BASE64.test(encoded)) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(encoded, 'base64'));
  } catch {
    return null;
  }
}

function hasControlCharacter(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the point
  return /[\u0000-\u001f\u007f\ufffd]/.test(text);
}
