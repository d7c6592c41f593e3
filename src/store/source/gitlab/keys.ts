import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';

/**
 * How GitLab finds a token by its secret: `Authn::TokenField` and `Gitlab::CryptoHelper` in GitLab's
 * code. Everything follows from `db_key_base`, of which only the derived parts are kept.
 */
export interface GitlabKeys {
  /**
   * What `personal_access_tokens.token_digest` may be for this secret: Base64 of the SHA-256 of the
   * secret and a salt; one value for each key, that of the current key first.
   */
  accessTokenDigests(secret: string): readonly string[];
  /**
   * What `token_encrypted` of a deploy token or a job may be for this secret: two forms for each
   * key, the current key first.
   */
  encryptedTokens(secret: string): readonly string[];
  /**
   * Decrypts a value of `attr_encrypted` (AES-256-GCM, an `iv` of 12 bytes, the tag at the end) by
   * the first key that fits; null: none does.
   */
  decryptAttribute(value: Uint8Array, iv: Uint8Array): Buffer | null;
  /** Decrypts a `token_encrypted` of either form; null: no key fits. */
  decryptToken(stored: string): string | null;
}

const SALT_CHARACTERS = 32;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const PADDING = '0';
/** Stands before a ciphertext whose nonce follows it. */
const DYNAMIC_NONCE_MARK = '|';
const CIPHER = 'aes-256-gcm';

interface DerivedKey {
  readonly salt: string;
  readonly key: Buffer;
  /** The nonce of tokens from before GitLab gave each its own. */
  readonly staticNonce: Buffer;
}

/** @param dbKeyBase the values of `db_key_base`, the current one last. */
export function deriveKeys(dbKeyBase: readonly string[]): GitlabKeys {
  const keys = dbKeyBase.map(derive).toReversed();
  return {
    accessTokenDigests: (secret) =>
      keys.map(({ salt }) => createHash('sha256').update(secret).update(salt).digest('base64')),
    encryptedTokens: (secret) => {
      const nonce = dynamicNonce(secret);
      return keys.flatMap(({ key, staticNonce }) => [
        `${DYNAMIC_NONCE_MARK}${encrypt(key, Buffer.from(nonce, 'latin1'), secret)}${nonce}`,
        encrypt(key, staticNonce, secret),
      ]);
    },
    decryptAttribute: (value, iv) =>
      firstOf(keys, ({ key }) => decrypt(key, Buffer.from(iv), Buffer.from(value))),
    decryptToken: (stored) => {
      const isDynamic = stored.startsWith(DYNAMIC_NONCE_MARK);
      const text = isDynamic ? stored.slice(1, -NONCE_BYTES) : stored;
      const given = isDynamic ? Buffer.from(stored.slice(-NONCE_BYTES), 'latin1') : null;
      const sealed = Buffer.from(text, 'base64');
      return (
        firstOf(keys, ({ key, staticNonce }) => decrypt(key, given ?? staticNonce, sealed))?.toString() ??
        null
      );
    },
  };
}

function derive(dbKeyBase: string): DerivedKey {
  const key = fitInto(dbKeyBase, KEY_BYTES);
  return {
    salt: [...dbKeyBase].slice(0, SALT_CHARACTERS).join(''),
    key: Buffer.from(key),
    staticNonce: Buffer.from(fitInto(key, NONCE_BYTES)),
  };
}

/** As many whole characters as fit into so many bytes of UTF-8, filled up with zeros. */
function fitInto(text: string, bytes: number): string {
  let fitted = '';
  for (const character of text) {
    if (Buffer.byteLength(fitted + character) > bytes) break;
    fitted += character;
  }
  return fitted + PADDING.repeat(bytes - Buffer.byteLength(fitted));
}

/** Twelve hexadecimal digits, which serve as the bytes of the nonce. */
function dynamicNonce(secret: string): string {
  return createHash('sha256').update(secret).digest('hex').slice(0, NONCE_BYTES);
}

function encrypt(key: Buffer, nonce: Buffer, text: string): string {
  const cipher = createCipheriv(CIPHER, key, nonce);
  return Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()]).toString('base64');
}

function decrypt(key: Buffer, nonce: Buffer, sealed: Buffer): Buffer | null {
  if (sealed.length <= TAG_BYTES || nonce.length !== NONCE_BYTES) return null;
  const decipher = createDecipheriv(CIPHER, key, nonce);
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]);
  } catch {
    return null;
  }
}

function firstOf<T>(keys: readonly DerivedKey[], attempt: (key: DerivedKey) => T | null): T | null {
  for (const key of keys) {
    const found = attempt(key);
    if (found !== null) return found;
  }
  return null;
}
