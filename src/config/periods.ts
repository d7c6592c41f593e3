/**
 * How long each thing around signing keys lives, and the rules between those periods; docs/key-rotation.md has them as one table.
 * All in seconds, but where a name says otherwise.
 */

/** distribution and GitLab's registry take a token this long after its `exp` (distribution, registry/auth/token). */
const VERIFIER_LEEWAY_SECONDS = 60;

/** A nested `user` JWT lives twice as long as the longest token around it, so that one serves many of them. */
const USER_CLAIM_LIVES = 2;

const HOUR_SECONDS = 3600;
const DAY_SECONDS = 24 * HOUR_SECONDS;

interface TokenLives {
  readonly tokenTtlSeconds: number;
  readonly pushTtlSeconds: number;
}

/** The longest `exp` − now of anything that a key signs: the nested `user` JWT, which outlives every token that carries it. */
export function longestTokenLifeSeconds(services: readonly TokenLives[]): number {
  return (
    USER_CLAIM_LIVES *
    Math.max(...services.flatMap(({ tokenTtlSeconds, pushTtlSeconds }) => [tokenTtlSeconds, pushTtlSeconds]))
  );
}

/** From the issue of a token to the last moment at which a verifier may look at its key or certificate. */
export function longestUseSeconds(longestTokenLife: number): number {
  return longestTokenLife + VERIFIER_LEEWAY_SECONDS;
}

/** Whether leaves of this life, issued anew at a quarter of it, outlive every token that shows them. */
export function leafOutlivesTokens(leafHours: number, longestTokenLife: number): boolean {
  return leafHours * HOUR_SECONDS * 0.75 > longestUseSeconds(longestTokenLife);
}

/** What is left between two rotations must hold the next key's pending time, and the last key's way out of the JWK Set. */
export function shortestRotationSeconds(propagationSeconds: number, longestTokenLife: number): number {
  return propagationSeconds + longestUseSeconds(longestTokenLife);
}

export function daysToSeconds(days: number): number {
  return days * DAY_SECONDS;
}

/** What clients take for the shortest life of a token (docker, BuildKit and others: distribution's token.md). */
export const SHORTEST_LIFE_SECONDS = 60;
