import argon2 from 'argon2';

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

/**
 * To add a scheme, add it here: the process that hashes passwords loads this file, too. No prefix
 * may begin another.
 */
export const PASSWORD_SCHEMES: readonly PasswordScheme[] = [ARGON2ID];

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
