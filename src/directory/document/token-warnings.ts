import type { Path } from '../../config/yaml.ts';
import { nearestName } from '../../nearest-name.ts';
import { lastDay } from '../tokens/order.ts';
import { ACCESS_TOKEN_SCOPES, DEPLOY_TOKEN_SCOPES } from '../tokens/scopes.ts';
import type { DirectoryDocument } from './document.ts';

/** What `token create` would allow. */
export interface TokenLimits {
  readonly now: Date;
  /** How long a new token may be good (`limits.token_days`); 0: no bound. */
  readonly tokenDays: number;
}

/**
 * Warns of tokens that end later than a new token may, and of scopes that look like typing errors: a
 * document may have both, because it describes tokens that exist.
 */
export function checkTokens(
  { access_tokens = [], deploy_tokens = [] }: DirectoryDocument,
  limits: TokenLimits,
  warn: (path: Path, message: string) => void,
): void {
  for (const [section, known, entries] of [
    ['access_tokens', ACCESS_TOKEN_SCOPES, access_tokens],
    ['deploy_tokens', DEPLOY_TOKEN_SCOPES, deploy_tokens],
  ] as const) {
    for (const { at, expires_at, scopes, revoked } of entries) {
      const late = revoked ? null : describeLate(expires_at, limits);
      if (late !== null) warn([section, at, 'expires_at'], late);
      for (const scope of scopes) {
        const nearest = known.includes(scope) ? null : nearestName(scope, known);
        if (nearest === null) continue;
        warn([section, at, 'scopes'], `${scope} is not a scope of GitLab; did you mean ${nearest}?`);
      }
    }
  }
}

function describeLate(end: string | null, { now, tokenDays }: TokenLimits): string | null {
  const last = lastDay(now, tokenDays);
  if (end === null || last === null) return null;
  const day = end.slice(0, last.length);
  return day <= last
    ? null
    : `ends on ${day}, but a new token may end on ${last} at the latest (limits.token_days is ${tokenDays})`;
}
