import type { Middleware } from 'koa';
import type { Contract } from '../contract.ts';
import { violation } from '../contract-problems.ts';

/** The most entries on one page; the contract has the same number. */
export const LONGEST_PAGE = 1000;

/** The entries on one page of a list that says no other number. */
export const USUAL_PAGE = 100;

const ADMIN_PATH = '/admin/v1/';

/**
 * Refuses query parameters that the contract does not declare, as bodies with unknown fields are
 * refused: a misspelt filter must not list everything. The handlers check the values.
 */
export function refuseUnknownParameters(contract: Contract): Middleware {
  return async (ctx, next) => {
    // Koa's router answers HEAD by the route for GET.
    const method = ctx.method === 'HEAD' ? 'get' : ctx.method.toLowerCase();
    const known = ctx.path.startsWith(ADMIN_PATH) ? contract.queryNames(method, ctx.path) : undefined;
    if (known !== undefined) refuseOthers(Object.keys(ctx.query), known);
    await next();
  };
}

function refuseOthers(given: readonly string[], known: ReadonlySet<string>): void {
  const unknown = given.filter((name) => !known.has(name));
  if (unknown.length === 0) return;
  const message =
    known.size === 0 ? 'no parameter is known here' : `must be one of: ${[...known].join(', ')}`;
  throw violation(
    'invalid',
    unknown.map((name) => ({ path: name, message: `is an unknown parameter: ${message}` })),
  );
}
