import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { SHORTEST_LIFE_SECONDS } from '../config/periods.ts';
import type { SigningKey } from '../keys/signing-key.ts';
import { BACKDATED_SECONDS, type ClaimSet } from './claims.ts';
import { type HeaderSettings, signToken } from './sign.ts';

/** A token and its claims. */
export interface SignedToken {
  readonly token: string;
  readonly claims: ClaimSet;
  /** The token was signed for an earlier request. */
  readonly reused: boolean;
}

interface ReuseSettings extends HeaderSettings {
  /** How long after signing a token may be reused; 0: never. */
  readonly tokenReuseSeconds: number;
}

/** Signs `claims`, or returns an earlier token with equal claims. */
export type SignOrReuse = (claims: ClaimSet, key: SigningKey, settings: ReuseSettings) => SignedToken;

export interface ReuseOptions {
  /** Bound of the cache; it evicts the least recently used tokens. */
  readonly maxBytes?: number;
}

const MAX_BYTES = 16_777_216;
/** The memory of an entry beside the token: claims, cache key, and map. */
const ENTRY_BYTES = 1024;

/**
 * Creates a cache that saves only signatures: the caller checks credentials and policy for each
 * request and builds its claims first. A token is reused only if all claims but times and id are
 * equal, and if it ends no later than a new token would.
 */
export function createReuse({ maxBytes = MAX_BYTES }: ReuseOptions = {}): SignOrReuse {
  const tokens = new LRUCache<string, SignedToken>({ maxSize: maxBytes, sizeCalculation: sizeOf });

  return (claims, key, settings) => {
    if (settings.tokenReuseSeconds === 0) {
      return { token: signToken(claims, key, settings), claims, reused: false };
    }
    const cacheKey = cacheKeyOf(claims, key, settings);
    const known = tokens.get(cacheKey);
    if (known !== undefined && mayReuse(known.claims, claims, settings.tokenReuseSeconds)) {
      return { ...known, reused: true };
    }
    const signed = { token: signToken(claims, key, settings), claims, reused: false };
    tokens.set(cacheKey, signed);
    return signed;
  };
}

function sizeOf({ token }: SignedToken): number {
  return 2 * token.length + ENTRY_BYTES;
}

/** All claims but times and id. The claim `user` distinguishes subjects with the same name. */
function cacheKeyOf(claims: ClaimSet, key: SigningKey, { kid, x5c }: HeaderSettings): string {
  const { iat: _iat, nbf: _nbf, exp: _exp, jti: _jti, ...others } = claims;
  return hash('sha256', JSON.stringify([key.kid, kid, x5c, others]), 'base64');
}

/** A negative age means that the clock was set back. */
function mayReuse(known: ClaimSet, fresh: ClaimSet, reuseSeconds: number): boolean {
  const ageSeconds = fresh.iat - known.iat;
  const leftSeconds = known.exp - (fresh.iat + BACKDATED_SECONDS);
  return (
    ageSeconds >= 0 &&
    ageSeconds <= reuseSeconds &&
    leftSeconds >= SHORTEST_LIFE_SECONDS &&
    known.exp <= fresh.exp
  );
}
