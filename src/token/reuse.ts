import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { SHORTEST_LIFE_SECONDS } from '../config/periods.ts';
import type { SigningKey } from '../keys/signing-key.ts';
import { BACKDATED_SECONDS, type ClaimSet } from './claims.ts';
import { type HeaderSettings, signToken } from './sign.ts';

/** A token, and what it says. */
export interface SignedToken {
  readonly token: string;
  readonly claims: ClaimSet;
  /** It was signed for an earlier request. */
  readonly reused: boolean;
}

export interface ReuseSettings extends HeaderSettings {
  /** How long after its signature a token may be given again; 0: each request gets its own. */
  readonly tokenReuseSeconds: number;
}

/** Signs `claims`, or finds a token that says the same. */
export type SignOrReuse = (claims: ClaimSet, key: SigningKey, settings: ReuseSettings) => SignedToken;

export interface ReuseOptions {
  /** Of all tokens that are kept; those go first that nobody has asked for the longest. */
  readonly maxBytes?: number;
}

const MAX_BYTES = 16_777_216;
/** Beside the token: its claims, its key, and its place in the map. */
const ENTRY_BYTES = 1024;

/**
 * Saves the signature, and nothing else: whoever calls has checked credentials and policy for this very request, and made its claims from
 * them. A token is given again only for the same claims but for times and id, and only where it ends no later than a new one would.
 */
export function createReuse({ maxBytes = MAX_BYTES }: ReuseOptions = {}): SignOrReuse {
  const kept = new LRUCache<string, SignedToken>({ maxSize: maxBytes, sizeCalculation: sizeOf });

  return (claims, key, settings) => {
    if (settings.tokenReuseSeconds === 0) {
      return { token: signToken(claims, key, settings), claims, reused: false };
    }
    const name = nameOf(claims, key, settings);
    const known = kept.get(name);
    if (known !== undefined && mayServe(known.claims, claims, settings.tokenReuseSeconds)) {
      return { ...known, reused: true };
    }
    const signed = { token: signToken(claims, key, settings), claims, reused: false };
    kept.set(name, signed);
    return signed;
  };
}

function sizeOf({ token }: SignedToken): number {
  return 2 * token.length + ENTRY_BYTES;
}

/** Everything that a token says, but for when and by which id. The nested `user` tells subjects apart that have one name. */
function nameOf(claims: ClaimSet, key: SigningKey, { kid, x5c }: HeaderSettings): string {
  const { iat: _iat, nbf: _nbf, exp: _exp, jti: _jti, ...said } = claims;
  return hash('sha256', JSON.stringify([key.kid, kid, x5c, said]), 'base64');
}

/** Both were made for the same service, so a clock that was set back shows as a token from the future. */
function mayServe(known: ClaimSet, fresh: ClaimSet, reuseSeconds: number): boolean {
  const ageSeconds = fresh.iat - known.iat;
  const leftSeconds = known.exp - (fresh.iat + BACKDATED_SECONDS);
  return (
    ageSeconds >= 0 &&
    ageSeconds <= reuseSeconds &&
    leftSeconds >= SHORTEST_LIFE_SECONDS &&
    known.exp <= fresh.exp
  );
}
