import type { RouterContext } from '@koa/router';
import type { Middleware } from 'koa';
import { CellpassError } from '../errors.ts';

/** Answers requests that no route took: an unknown path, or another method of a known path. */
export const notFound: Middleware<object, RouterContext> = (ctx) => {
  const methods = new Set(ctx.matched?.flatMap((layer) => layer.methods) ?? []);
  if (methods.size === 0) throw new CellpassError('path_unknown', 'there is nothing at this path');
  const allow = [...methods].join(', ');
  throw new CellpassError('method_not_allowed', `this path takes ${allow}`, { allow });
};
