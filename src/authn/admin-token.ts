import { createHash, randomBytes } from 'node:crypto';

/** 256 random bits, which nobody guesses however often they may try, and which a fast digest protects. */
const SECRET_BYTES = 32;
const PREFIX = 'cpat-';
const FORM = /^cpat-[A-Za-z0-9_-]{43}$/;
const BEARER = /^bearer +([^ ]+) *$/i;

/** The secret of a new admin token: of a form of its own, so that it is never taken for a registry credential, and found by scanners. */
export function newAdminTokenSecret(): string {
  return PREFIX + randomBytes(SECRET_BYTES).toString('base64url');
}

export function isAdminTokenSecret(text: string): boolean {
  return FORM.test(text);
}

/** What is kept of a secret, and what it is looked up by: how long that takes tells nothing about the secret. */
export function adminTokenDigest(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/** RFC 6750 section 2.1. Null for no header, another scheme, and what can't be an admin token: that is not looked up. */
export function parseAdminBearer(header: string | undefined): string | null {
  const secret = BEARER.exec(header ?? '')?.[1] ?? '';
  return isAdminTokenSecret(secret) ? secret : null;
}
