import type { Middleware } from 'koa';

/**
 * Doubled and trailing slashes do not change a public path, as in Rails: `//jwt/auth` and
 * `/jwt/auth/` are `/jwt/auth`. A redirect would not do, because clients drop credentials and forms
 * on the way.
 */
export const normalPath: Middleware = (ctx, next) => {
  const path = toNormalPath(ctx.path);
  if (path !== ctx.path) ctx.path = path;
  return next();
};

function toNormalPath(path: string): string {
  const single = path.replace(/\/+/g, '/');
  return single.length > 1 && single.endsWith('/') ? single.slice(0, -1) : single;
}
