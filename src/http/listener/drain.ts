import type { Middleware } from 'koa';

/**
 * While the server drains, each answer closes its connection, so that the client connects to
 * another server next time.
 */
export function endConnections(isDraining: () => boolean): Middleware {
  return async (ctx, next) => {
    await next();
    if (isDraining()) ctx.set('Connection', 'close');
  };
}
