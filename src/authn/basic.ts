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
const COLON = ':';
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * RFC 7617: `Basic base64(user-id:password)` in UTF-8; the user-id ends at the first colon, the
 * password may contain more. Null for no header, another scheme, and `Og==` (empty:empty), which
 * some clients send without credentials.
 * @throws {CellpassError} `unauthorized` for a Basic header that doesn't parse, or is not in UTF-8,
 * the encoding that the challenge names.
 */
export function parseBasic(header: string | undefined): Credentials | null {
  const match = BASIC.exec(header ?? '');
  if (match === null) return null;
  const encoded = match[1]?.trim() ?? '';
  const bytes = Buffer.from(encoded, 'base64');
  if (!BASE64.test(encoded) || !bytes.includes(COLON)) throw unauthorized('malformed_basic');
  const text = decodeUtf8(bytes);
  const colon = text.indexOf(':');
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
  if (`${username}${password}`.includes(REPLACEMENT_CHARACTER)) throw unauthorized('not_utf8');
  return { username, password };
}

/** What a lenient decoder, such as that of `URLSearchParams`, puts in place of invalid UTF-8. */
const REPLACEMENT_CHARACTER = '\ufffd';

/** @throws {CellpassError} `unauthorized` for other encodings, such as Latin-1. */
function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw unauthorized('not_utf8');
  }
}

function hasControlCharacter(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the point
  return /[\u0000-\u001f\u007f]/.test(text);
}
