import { randomUUID } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { SigningKey } from '../keys/signing-key.ts';
import { authType, personOf, type Subject } from '../policy/subject.ts';
import { BACKDATED_SECONDS } from './claims.ts';
import { type HeaderSettings, signToken } from './sign.ts';

/** GitLab's `user_info`; null for an anonymous subject. */
type UserInfo =
  | { readonly token_type: string; readonly username: string; readonly user_id: number }
  | { readonly token_type: string; readonly username: string; readonly deploy_token_id: number }
  | null;

/**
 * Signs the nested JWT, or returns an earlier one that ends no sooner than `expiresAt` (seconds).
 */
export type UserClaims = (
  subject: Subject,
  key: SigningKey,
  kid: HeaderSettings['kid'],
  expiresAt: number,
) => string;

export interface UserClaimOptions {
  readonly now: () => Date;
  /**
   * Long enough to serve many tokens. It counts in the longest life of a token, see `periods.ts`.
   */
  readonly ttlSeconds: number;
  readonly maxEntries?: number;
}

interface Entry {
  readonly jwt: string;
  readonly exp: number;
}

/** Creates a cache, so that only the first request of a subject needs a second signature. */
export function createUserClaims({ now, ttlSeconds, maxEntries = 10_000 }: UserClaimOptions): UserClaims {
  const entries = new LRUCache<string, Entry>({ max: maxEntries });
  return (subject, key, kid, expiresAt) => {
    const info = userInfo(subject);
    const cacheKey = JSON.stringify([key.kid, kid, info]);
    const known = entries.get(cacheKey);
    const seconds = Math.floor(now().getTime() / 1000);
    // A JWT that ends later than a new one was signed before the clock was set back: it isn't valid
    // yet.
    if (known !== undefined && known.exp >= expiresAt && known.exp <= seconds + ttlSeconds) return known.jwt;
    const claims = {
      jti: randomUUID(),
      iat: seconds - BACKDATED_SECONDS,
      nbf: seconds - BACKDATED_SECONDS,
      exp: seconds + ttlSeconds,
      user_info: info,
    };
    // Without a certificate, as in GitLab: a token must fit into 8 KB of headers.
    const jwt = signToken(claims, key, { kid, x5c: false });
    entries.set(cacheKey, { jwt, exp: claims.exp });
    return jwt;
  };
}

function userInfo(subject: Subject): UserInfo {
  const token_type = authType(subject);
  if (subject.kind === 'deploy_token') {
    return { token_type, username: subject.username, deploy_token_id: subject.deployTokenId };
  }
  const person = personOf(subject);
  return person && { token_type, username: person.username, user_id: person.id };
}
