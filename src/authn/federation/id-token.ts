import { createHash } from 'node:crypto';
import { lowerCaseAscii } from '../../ascii.ts';
import { isMapping } from '../../mapping.ts';
import type { Credentials } from '../basic.ts';
import type { IdTokenClaims } from './claims.ts';

/** What a text says that has the form of a JWT. Nothing of it is proven. */
export interface UnverifiedIdToken {
  readonly text: string;
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: IdTokenClaims;
}

const COMPACT = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/;

/**
 * RFC 7519 section 7.2, without the signature. Null: the text is no JWT, or is written in another
 * way than any encoder does, so that no two texts are the same token.
 */
export function readIdToken(text: string): UnverifiedIdToken | null {
  const [, headerPart = '', claimsPart = '', signature = ''] = COMPACT.exec(text) ?? [];
  const header = toObject(headerPart);
  const claims = header && toObject(claimsPart);
  return header === null || claims === null || decode(signature) === null ? null : { text, header, claims };
}

/** Null: bits are set that no byte has. */
function decode(base64url: string): Buffer | null {
  const bytes = Buffer.from(base64url, 'base64url');
  return bytes.toString('base64url') === base64url ? bytes : null;
}

function toObject(base64url: string): Readonly<Record<string, unknown>> | null {
  const bytes = decode(base64url);
  if (bytes === null || bytes.length === 0) return null;
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return isMapping(value) ? value : null;
  } catch {
    return null;
  }
}

/** The user name with which a client says that its password is an ID token. */
export const ID_TOKEN_USERNAME = 'oidc';

export function isIdTokenUsername(username: string): boolean {
  return lowerCaseAscii(username) === ID_TOKEN_USERNAME;
}

/** How GitLab's tokens begin: one is no ID token, whatever the user name says. */
const OTHER_TOKEN = /^gl[a-z]{1,10}-/;

/**
 * Whether these credentials are an ID token, right or wrong: by the form of the password, or by the
 * user name.
 */
export function isIdToken({ username, password }: Credentials): boolean {
  if (readIdToken(password) !== null) return true;
  return isIdTokenUsername(username) && !OTHER_TOKEN.test(password);
}

/** RFC 7519 section 4.1.3: the audiences, which may be one text or a list. */
export function audiencesOf({ aud }: IdTokenClaims): readonly string[] {
  const list: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  return list.filter((one) => typeof one === 'string');
}

/** A text claim; null: it is missing, empty or something else. */
export function textOf(claim: unknown): string | null {
  return typeof claim === 'string' && claim !== '' ? claim : null;
}

/** Under which one ID token is on record: a digest, because a `jti` may be long. */
export function idTokenKey(issuer: string, jti: string): string {
  return createHash('sha256')
    .update(JSON.stringify([issuer, jti]))
    .digest('base64url');
}
