import { createHash, randomBytes } from 'node:crypto';

/** 256 random bits: too many to guess at any rate, so that a fast digest protects them. */
const SECRET_BYTES = 32;
const PREFIX = 'cpat-';
const FORM = /^cpat-[A-Za-z0-9_-]{43}$/;
const BEARER = /^bearer +([^ ]+) *$/i;

/**
 * The secret of a new admin token, in a form of its own: secret scanners find it, and it is no
 * registry credential.
 */
export function newAdminTokenSecret(): string {
  return PREFIX + randomBytes(SECRET_BYTES).toString('base64url');
}

export function isAdminTokenSecret(text: string): boolean {
  return FORM.test(text);
}

/**
 * The database stores this digest and looks tokens up by it, so that the time of a look-up tells
 * nothing about the secret.
 */
export function adminTokenDigest(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/**
 * RFC 6750 section 2.1. Null for no header, another scheme, and a text that can't be an admin
 * token.
 */
export function parseAdminBearer(header: string | undefined): string | null {
  const secret = BEARER.exec(header ?? '')?.[1] ?? '';
  return isAdminTokenSecret(secret) ? secret : null;
}
