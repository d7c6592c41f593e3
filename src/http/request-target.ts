import type { IncomingMessage } from 'node:http';
import type { Middleware } from 'koa';
import { CellpassError } from '../errors.ts';
import type { RequestState } from './request-state.ts';

/**
 * Gives Koa a target that it can read: `req.url` becomes a path with its query. A client may also
 * send a whole URL (absolute-form, RFC 9112 section 3.2.2). Koa's parser throws for a URL that is
 * wrong, and it would do so in the middle of the access log.
 * @returns false for a target that is none; `req.url` is then `/`.
 */
export function readTarget(req: Pick<IncomingMessage, 'url'>): boolean {
  const { url: target = '' } = req;
  if (target.startsWith('/') || target === '*') return true;
  const url = /^https?:\/\//i.test(target) && URL.canParse(target) ? new URL(target) : null;
  req.url = url === null ? '/' : url.pathname + url.search;
  return url !== null;
}

/** @throws {CellpassError} `malformed` for a request whose target could not be read. */
export const refuseUnreadableTarget: Middleware<RequestState> = (ctx, next) => {
  if (ctx.state.hasTarget) return next();
  throw new CellpassError('malformed', 'the request target is neither a path nor an http URL');
};
