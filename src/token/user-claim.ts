import { randomUUID } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { SigningKey } from '../keys/signing-key.ts';
import { authType, personOf, type Subject } from '../policy/subject.ts';
import { BACKDATED_SECONDS } from './claims.ts';
import { type HeaderSettings, signToken } from './sign.ts';

/** GitLab's `user_info`; null where there is nobody to count. */
type UserInfo =
  | { readonly token_type: string; readonly username: string; readonly user_id: number }
  | { readonly token_type: string; readonly username: string; readonly deploy_token_id: number }
  | null;

/** Signs, or finds, the nested JWT that outlives `expiresAt` (seconds). */
export type UserClaims = (
  subject: Subject,
  key: SigningKey,
  kid: HeaderSettings['kid'],
  expiresAt: number,
) => string;

export interface UserClaimOptions {
  readonly now: () => Date;
  /** Long enough to serve many tokens; it counts where "the longest life of a token" is asked for. */
  readonly ttlSeconds: number;
  readonly maxEntries?: number;
}

interface Entry {
  readonly jwt: string;
  readonly exp: number;
}

/** One signature per subject and key instead of a second one on every request. */
export function createUserClaims({ now, ttlSeconds, maxEntries = 10_000 }: UserClaimOptions): UserClaims {
  const entries = new LRUCache<string, Entry>({ max: maxEntries });
  return (subject, key, kid, expiresAt) => {
    const info = userInfo(subject);
    const cacheKey = JSON.stringify([key.kid, kid, info]);
    const known = entries.get(cacheKey);
    const seconds = Math.floor(now().getTime() / 1000);
    // One of the future was made before the clock was set back, and would be in force too late, and for too long.
    if (known !== undefined && known.exp >= expiresAt && known.exp <= seconds + ttlSeconds) return known.jwt;
    const claims = {
      jti: randomUUID(),
      iat: seconds - BACKDATED_SECONDS,
      nbf: seconds - BACKDATED_SECONDS,
      exp: seconds + ttlSeconds,
      user_info: info,
    };
    // No certificate: GitLab's has none, and a token must fit into 8 KB of headers.
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
