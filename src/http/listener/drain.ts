import type { Middleware } from 'koa';

/** While a server drains, each answer ends its connection: a client that keeps one would come back to a server that is gone. */
export function endConnections(isDraining: () => boolean): Middleware {
  return async (ctx, next) => {
    await next();
    if (isDraining()) ctx.set('Connection', 'close');
  };
}
