/**
 * The periods of keys, certificates and tokens, and the rules between them, as in the table of
 * docs/key-rotation.md. In seconds, unless a name says otherwise.
 */

/**
 * distribution and GitLab's registry accept a token this long after its `exp` (distribution,
 * registry/auth/token).
 */
const VERIFIER_LEEWAY_SECONDS = 60;

/**
 * A nested `user` JWT lives this many times as long as the longest token, so that many tokens can
 * share it.
 */
const USER_CLAIM_LIVES = 2;

const HOUR_SECONDS = 3600;
const DAY_SECONDS = 24 * HOUR_SECONDS;

/** The longest life that a setting of the directory may give a token, as for one of ours. */
export const LONGEST_TTL_SECONDS = HOUR_SECONDS;

interface TokenLives {
  readonly tokenTtlSeconds: number;
  readonly pushTtlSeconds: number;
  readonly ttlOfDirectory?: { readonly token: boolean };
}

/**
 * The longest life of anything that a key signs: that of the nested `user` JWT, which outlives its
 * tokens.
 */
export function longestTokenLifeSeconds(services: readonly TokenLives[]): number {
  return (
    USER_CLAIM_LIVES *
    Math.max(
      ...services.flatMap(({ tokenTtlSeconds, pushTtlSeconds, ttlOfDirectory }) => [
        tokenTtlSeconds,
        pushTtlSeconds,
        ttlOfDirectory?.token ? LONGEST_TTL_SECONDS : 0,
      ]),
    )
  );
}

/**
 * From the issue of a token to the last time at which a verifier may need its key or certificate.
 */
export function longestUseSeconds(longestTokenLife: number): number {
  return longestTokenLife + VERIFIER_LEEWAY_SECONDS;
}

/**
 * Whether leaf certificates, which are renewed after a quarter of their life, outlive the tokens
 * that carry them.
 */
export function leafOutlivesTokens(leafHours: number, longestTokenLife: number): boolean {
  return leafHours * HOUR_SECONDS * 0.75 > longestUseSeconds(longestTokenLife);
}

/** Between two rotations the next key must propagate, and the last key must leave the JWK Set. */
export function shortestRotationSeconds(propagationSeconds: number, longestTokenLife: number): number {
  return propagationSeconds + longestUseSeconds(longestTokenLife);
}

export function daysToSeconds(days: number): number {
  return days * DAY_SECONDS;
}

/**
 * Clients assume that a token lives at least this long (docker, BuildKit and others: distribution's
 * token.md).
 */
export const SHORTEST_LIFE_SECONDS = 60;
