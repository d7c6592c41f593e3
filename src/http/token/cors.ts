import type { Context, Middleware } from 'koa';
import { CellpassError } from '../../errors.ts';
import type { RequestState } from '../request-state.ts';

/** Cross-origin requests (Fetch standard, section 3.2) from web pages that show a registry. */

const METHODS = 'GET, POST';
const HEADERS = 'Authorization, Content-Type';
/** How long a browser may cache the answer to a preflight request. */
const MAX_AGE_SECONDS = '600';

/**
 * Sets the headers that let a web page of a listed origin read the answer.
 * @param origins exact origins, such as `https://ui.example.com`.
 * @returns the origin of the page; null: the client is no web page of a listed origin.
 */
export function allowOrigin(ctx: Context, origins: ReadonlySet<string>): string | null {
  if (origins.size === 0) return null;
  // For every client: a cache must not give one origin the answer to another.
  ctx.vary('Origin');
  const origin = ctx.get('Origin');
  if (!origins.has(origin)) return null;
  ctx.set('Access-Control-Allow-Origin', origin);
  ctx.set('Access-Control-Allow-Credentials', 'true');
  return origin;
}

/**
 * Answers the `OPTIONS` request that a browser sends before a request with credentials.
 * @throws {CellpassError} `method_not_allowed` for other clients, as without CORS.
 */
export function preflight(origins: ReadonlySet<string>): Middleware<RequestState> {
  return (ctx) => {
    const isPreflight = ctx.get('Access-Control-Request-Method') !== '';
    if (allowOrigin(ctx, origins) === null || !isPreflight) {
      throw new CellpassError('method_not_allowed', `this path takes ${METHODS}`, { allow: METHODS });
    }
    ctx.set('Access-Control-Allow-Methods', METHODS);
    ctx.set('Access-Control-Allow-Headers', HEADERS);
    ctx.set('Access-Control-Max-Age', MAX_AGE_SECONDS);
    ctx.status = 204;
  };
}

/**
 * The refusal as a web page needs it: a browser asks its user for credentials only after a 401 with
 * a challenge. Other clients get the 403 of GitLab.
 */
export function challengeIfAnonymous(refusal: CellpassError): CellpassError {
  if (refusal.reason !== 'nothing_for_anonymous') return refusal;
  return new CellpassError('unauthorized', refusal.message, { reason: refusal.reason });
}
