import { pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import argon2 from 'argon2';
import bcrypt from 'bcrypt';

/** What hashes passwords: this process, or another one that it asks. */
export interface PasswordHashing {
  /** By the scheme of new passwords. */
  hash(password: string): Promise<string>;
  /**
   * By the scheme that the hash names. Rejects for a hash of an unknown scheme, or one that the
   * scheme can't read.
   */
  verify(hash: string, password: string): Promise<boolean>;
}

/** One way to hash passwords, told by how its hashes begin. */
export interface PasswordScheme {
  readonly prefix: string;
  verify(hash: string, password: string): Promise<boolean>;
}

const ARGON2ID: PasswordScheme = {
  prefix: '$argon2id$',
  verify: (hash, password) => argon2.verify(hash, password),
};

/** GitLab's own (Devise, without a pepper). As there, only the first 72 bytes of a password count. */
const BCRYPT: readonly PasswordScheme[] = ['$2a$', '$2b$', '$2y$'].map((prefix) => ({
  prefix,
  verify: (hash, password) => bcrypt.compare(password, `$2b$${hash.slice(prefix.length)}`),
}));

const PBKDF2_FORM = /^\$pbkdf2-sha512\$([1-9]\d{0,6})\$([A-Za-z0-9./]*)\$([A-Za-z0-9./]+)$/;
const derive = promisify(pbkdf2);

/** GitLab's own where it must follow FIPS 140, with the fields that Python's passlib writes. */
const PBKDF2: PasswordScheme = {
  prefix: '$pbkdf2-sha512$',
  verify: async (hash, password) => {
    const [, rounds, salt = '', checksum = ''] = PBKDF2_FORM.exec(hash) ?? [];
    if (rounds === undefined) throw new Error('the password hash is no PBKDF2 hash');
    const expected = fromPasslib(checksum);
    const actual = await derive(password, fromPasslib(salt), Number(rounds), expected.length, 'sha512');
    return timingSafeEqual(actual, expected);
  },
};

/** Base64 without padding, and with `.` in the place of `+`. */
function fromPasslib(text: string): Buffer {
  return Buffer.from(text.replaceAll('.', '+'), 'base64');
}

/**
 * A hash that costs as much as this one, and that no password has.
 * @param hash of any scheme of `PASSWORD_SCHEMES`, or the part of one that says its scheme and cost.
 */
export function decoyLike(hash: string): string {
  const [, scheme = '', cost = ''] = hash.split('$');
  const random = (bytes: number): string =>
    randomBytes(bytes).toString('base64').replace(/=+$/, '').replaceAll('+', '.');
  if (scheme === 'pbkdf2-sha512') return `$${scheme}$${cost}$${random(64)}$${random(64)}`;
  // The last characters of salt and digest have bits that must be zero.
  return `$${scheme}$${cost}$${random(16).slice(0, 21)}u${random(24).slice(0, 30)}u`;
}

/**
 * To add a scheme, add it here: the process that hashes passwords loads this file, too. No prefix
 * may begin another.
 */
export const PASSWORD_SCHEMES: readonly PasswordScheme[] = [ARGON2ID, ...BCRYPT, PBKDF2];

export function schemeOf(hash: string): PasswordScheme | undefined {
  return PASSWORD_SCHEMES.find(({ prefix }) => hash.startsWith(prefix));
}

/**
 * OWASP's smallest argon2id. The library's defaults would keep libuv's threads busy, which signing
 * needs too.
 */
const PARAMETERS = { type: argon2.argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

/** On this process's threads. */
export const passwordHashing: PasswordHashing = {
  hash: (password) => argon2.hash(password, PARAMETERS),
  verify: async (hash, password) => {
    const scheme = schemeOf(hash);
    if (scheme === undefined) throw new Error('the password hash is of an unknown scheme');
    return scheme.verify(hash, password);
  },
};
