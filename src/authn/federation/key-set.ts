import { createPublicKey, type KeyObject } from 'node:crypto';
import type { IssuerSettings } from '../../config/federation.ts';
import { isMapping } from '../../mapping.ts';
import { shortened } from '../../shortened.ts';

/** The public part of a JWK that this server can use (RFC 7517, RFC 7518 section 6, RFC 8037). */
export interface PublicJwk {
  readonly kty: 'RSA' | 'EC' | 'OKP';
  readonly kid?: string;
  readonly alg?: string;
  readonly crv?: string;
  readonly n?: string;
  readonly e?: string;
  readonly x?: string;
  readonly y?: string;
}

/** The document at the issuer's `jwks_uri`. */
export type FetchKeys = (entry: Pick<IssuerSettings, 'issuer' | 'keys'>) => Promise<unknown>;

export interface ReadKeySet {
  readonly keys: readonly PublicJwk[];
  /** What was left out though it looks like a key to sign with, one clause each. */
  readonly warnings: readonly string[];
}

const MOST_KEYS = 64;
/** The issuer chooses the ids of its keys. */
const LONGEST_WARNING = 120;
const SHORTEST_RSA_BITS = 2048;
/** RFC 8017 section 3.1. With 1 anybody can sign, and no signature fits an even number. */
const SMALLEST_EXPONENT = 3n;

/**
 * The usable keys of a JWK Set. Keys of unknown types or for other uses are passed over (RFC 7517
 * section 5), and so are private members.
 * @throws {Error} when it is no JWK Set.
 */
export function readKeySet(document: unknown): ReadKeySet {
  const list: unknown = isMapping(document) ? document['keys'] : undefined;
  if (!Array.isArray(list)) throw new Error('the answer is not a JWK Set');
  const keys: PublicJwk[] = [];
  const warnings: string[] = [];
  for (const one of list.slice(0, MOST_KEYS)) {
    const jwk = toPublicJwk(one);
    if (jwk === null) continue;
    const key = toKeyObject(jwk);
    const problem = key === null ? 'is damaged' : whyUnusable(key);
    if (key !== null && problem === null)
      keys.push({ ...jwk, ...key.export({ format: 'jwk' }), kty: jwk.kty });
    else warnings.push(shortened(`the key ${jwk.kid ?? 'without kid'} ${problem}`, LONGEST_WARNING));
  }
  if (list.length > MOST_KEYS) warnings.push(`the set has ${list.length} keys, and ${MOST_KEYS} are read`);
  return { keys, warnings };
}

const MEMBERS: Readonly<Record<PublicJwk['kty'], readonly (keyof PublicJwk)[]>> = {
  RSA: ['n', 'e'],
  EC: ['crv', 'x', 'y'],
  OKP: ['crv', 'x'],
};

function toPublicJwk(value: unknown): PublicJwk | null {
  if (!isMapping(value)) return null;
  const { kty, use, key_ops: operations, kid, alg } = value;
  if (kty !== 'RSA' && kty !== 'EC' && kty !== 'OKP') return null;
  if (use !== undefined && use !== 'sig') return null;
  if (Array.isArray(operations) && !operations.includes('verify')) return null;
  const members: Record<string, string> = {};
  for (const name of MEMBERS[kty]) {
    const text = value[name];
    if (typeof text !== 'string') return null;
    members[name] = text;
  }
  return {
    kty,
    ...members,
    ...(typeof kid === 'string' && { kid }),
    ...(typeof alg === 'string' && { alg }),
  };
}

/**
 * Null: it is damaged. One key can be written in several ways, with zeros before a number or with
 * other letters of base64, and only the one that the key object exports has the key's thumbprint.
 */
function toKeyObject({ kid: _kid, alg: _alg, ...jwk }: PublicJwk): KeyObject | null {
  try {
    return createPublicKey({ key: { ...jwk }, format: 'jwk' });
  } catch {
    return null;
  }
}

/** Null: it can be used. */
function whyUnusable({ asymmetricKeyDetails }: KeyObject): string | null {
  const bits = asymmetricKeyDetails?.modulusLength;
  const exponent = asymmetricKeyDetails?.publicExponent;
  if (bits !== undefined && bits < SHORTEST_RSA_BITS)
    return `is RSA of ${bits} bits, less than ${SHORTEST_RSA_BITS}`;
  if (exponent !== undefined && (exponent < SMALLEST_EXPONENT || exponent % 2n === 0n))
    return `is RSA with the public exponent ${exponent}, which proves nothing`;
  return null;
}
