import {
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign,
  webcrypto,
  X509Certificate,
} from 'node:crypto';
import { CellpassError } from '../errors.ts';
import { type Authority, issueLeaf, type LeafLife, toX5c } from './certificate.ts';
import { identifyKey, jwkThumbprint, type PublicKey } from './jwks.ts';
import { newKey, type StoredKey } from './key-set.ts';
import type { MasterKey } from './master-key.ts';
import { refuseSampleKey } from './sample-keys.ts';

/**
 * A key that can sign. Its private half can be used but not read, and its JSON contains only its
 * ids and state.
 */
export interface SigningKey extends Omit<StoredKey, 'encryptedPrivateKey'> {
  readonly sign: Sign;
  /** The certificate for the `x5c` header, leaf first; empty for a key without one. */
  readonly x5c: readonly string[];
  toJSON(): unknown;
}

/**
 * Signs the signing input of a JWS (RFC 7515 §5.1) with RS256, in the caller's thread: another
 * thread costs a fifth more and would also be busy hashing passwords. See docs/performance.md.
 */
export type Sign = (signingInput: string) => Buffer;

const MODULUS_BITS = 2048;
const RS256 = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as const;
const F4 = new Uint8Array([1, 0, 1]);

/** Generates an RSA key of 2048 bits with its first leaf, in the state `pending`. */
export async function generateSigningKey(
  input: {
    readonly authority: Authority;
    readonly masterKey: MasterKey;
    readonly now: Date;
    readonly longestTokenSeconds: number;
  } & LeafLife,
): Promise<StoredKey> {
  const pair = await webcrypto.subtle.generateKey(
    { ...RS256, modulusLength: MODULUS_BITS, publicExponent: F4 },
    true,
    ['sign', 'verify'],
  );
  const pkcs8 = new Uint8Array(await webcrypto.subtle.exportKey('pkcs8', pair.privateKey));
  const key = identifyKey(publicHalf(pkcs8));
  return newKey({
    ...key,
    encryptedPrivateKey: await input.masterKey.encrypt(key.kid, pkcs8),
    certificate: await issueLeaf({ ...input, key }),
    createdAt: input.now,
    longestTokenSeconds: input.longestTokenSeconds,
  });
}

/**
 * Decrypts and imports a stored key; undefined if its private half is deleted. Throws `conflict` if
 * the master key can't decrypt it, or if ids, private key and certificate don't belong to one key.
 */
export async function openSigningKey(
  stored: StoredKey,
  masterKey: MasterKey,
): Promise<SigningKey | undefined> {
  const { encryptedPrivateKey, ...key } = stored;
  if (encryptedPrivateKey === null) return undefined;
  refuseSampleKey(key.thumbprint);
  const pkcs8 = await masterKey.decrypt(key.kid, encryptedPrivateKey);
  refuseMismatch(key, identifyKey(publicHalf(pkcs8)), 'private half');
  return toSigningKey(stored, createSign(pkcs8));
}

/**
 * Combines a stored key with its private half, which is already open. Throws `conflict` if the
 * certificate belongs to another key.
 */
export function toSigningKey({ encryptedPrivateKey: _, ...key }: StoredKey, sign: Sign): SigningKey {
  if (key.certificate !== null) {
    refuseMismatch(key, identifyKey(new X509Certificate(key.certificate.pem).publicKey), 'certificate');
  }
  return {
    ...key,
    sign,
    x5c: key.certificate === null ? [] : toX5c(key.certificate.pem),
    toJSON: () => ({ kid: key.kid, thumbprint: key.thumbprint, state: key.state }),
  };
}

function refuseMismatch(stored: PublicKey, found: PublicKey, part: string): void {
  const same =
    stored.kid === found.kid &&
    stored.thumbprint === found.thumbprint &&
    jwkThumbprint(stored.publicJwk) === found.thumbprint;
  if (same) return;
  throw new CellpassError(
    'conflict',
    `the ${part} of the stored key ${stored.kid} belongs to another key: the database was changed from outside. Restore it from a backup.`,
  );
}

/** Parses the key once; only the returned function can reach it. */
function createSign(pkcs8: Uint8Array): Sign {
  const privateKey = parsePkcs8(pkcs8);
  return (signingInput) => sign('sha256', Buffer.from(signingInput, 'ascii'), privateKey);
}

function publicHalf(pkcs8: Uint8Array): KeyObject {
  return createPublicKey(parsePkcs8(pkcs8));
}

function parsePkcs8(pkcs8: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
}
