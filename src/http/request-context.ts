import { randomUUID } from 'node:crypto';
import type { Middleware } from 'koa';
import type { ReadClientAddress } from './client-address.ts';
import type { RequestState } from './request-state.ts';
import { readTarget } from './request-target.ts';

/** The first middleware: sets the request's time, id and client address, once. */
export function requestContext(
  readClientAddress: ReadClientAddress,
  now: () => Date,
): Middleware<RequestState> {
  return async (ctx, next) => {
    const requestId = randomUUID();
    ctx.state = {
      requestId,
      now: now(),
      startedAtMs: performance.now(),
      clientAddress: readClientAddress(ctx.req.socket.remoteAddress, ctx.get('X-Forwarded-For') || undefined),
      hasTarget: readTarget(ctx.req),
      logFields: {},
      successReason: 'none',
    };
    ctx.set('X-Request-Id', requestId);
    await next();
  };
}
