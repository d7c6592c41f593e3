import { z } from 'zod';
import type { RouterKey } from '../../cells/router/router.ts';
import { identifyKey, importPublicJwk } from '../../keys/jwks.ts';
import type { PublicJwk } from '../../keys/key-set.ts';

/**
 * The keys of a JWK Set with which the router can verify; `passedOver` counts the other entries.
 */
export interface UsableKeys {
  readonly keys: readonly RouterKey[];
  readonly passedOver: number;
}

const MIN_MODULUS_BITS = 2048;
/** In base64url; OpenSSL does not verify with longer keys. */
const MAX_MODULUS_CHARACTERS = 2731;
/**
 * A cell publishes a handful of keys; each key costs one verification of every token that another
 * key signed.
 */
const MAX_KEYS = 32;

const jwkSet = z.object({ keys: z.array(z.unknown()) });
const rsaKey = z.object({
  kty: z.literal('RSA'),
  n: z.base64url().max(MAX_MODULUS_CHARACTERS),
  e: z.base64url().max(8),
  alg: z.literal('RS256').optional(),
  use: z.literal('sig').optional(),
});

/**
 * Reads the keys of a published JWK Set (RFC 7517), each once, even if it is listed under two ids.
 * Only the numbers of the keys are trusted: ids are computed again.
 * @throws {Error} when the value is not a JWK Set, or holds no usable key, or too many keys.
 */
export function readPublishedKeys(jwks: unknown): UsableKeys {
  const { keys: entries } = jwkSet.parse(jwks);
  const usable = entries.map((entry) => toRouterKey(entry));
  const keys = new Map(usable.flatMap((key) => (key === undefined ? [] : [[key.thumbprint, key] as const])));
  if (keys.size === 0) throw new Error('it publishes no RSA key for RS256');
  if (keys.size > MAX_KEYS)
    throw new Error(`it publishes ${keys.size} keys; the router takes at most ${MAX_KEYS} of one cell`);
  return {
    keys: [...keys.values()].sort((a, b) => (a.thumbprint < b.thumbprint ? -1 : 1)),
    passedOver: usable.filter((key) => key === undefined).length,
  };
}

function toRouterKey(entry: unknown): RouterKey | undefined {
  const { data } = rsaKey.safeParse(entry);
  return data === undefined ? undefined : keyOf({ kty: data.kty, n: data.n, e: data.e });
}

function keyOf(jwk: PublicJwk): RouterKey | undefined {
  try {
    const key = importPublicJwk(jwk);
    if ((key.asymmetricKeyDetails?.modulusLength ?? 0) < MIN_MODULUS_BITS) return undefined;
    // The id comes from the key itself, because the set may have encoded its numbers in another
    // way.
    return {
      thumbprint: identifyKey(key).thumbprint,
      pem: key.export({ type: 'spki', format: 'pem' }).toString(),
    };
  } catch {
    return undefined;
  }
}
