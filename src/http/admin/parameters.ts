import type { Context } from 'koa';
import { CellpassError } from '../../errors.ts';
import { storable } from '../body.ts';

/** Reads parameters of the query by name, each of which may be given once. Throws `invalid`. */
export function parametersOf({ query }: Context): (name: string) => string | undefined {
  return (name) => {
    const value = query[name];
    if (Array.isArray(value)) throw new CellpassError('invalid', `${name} must be given once`);
    return value === undefined ? undefined : storable(name, value);
  };
}

const MAX_PAGE = 1000;

/** How many there may be on a page. @throws {CellpassError} `invalid` */
export function readLimit(text = String(MAX_PAGE)): number {
  const limit = /^[1-9][0-9]{0,3}$/.test(text) ? Number(text) : MAX_PAGE + 1;
  if (limit <= MAX_PAGE) return limit;
  throw new CellpassError('invalid', `limit must be a number from 1 to ${MAX_PAGE}`);
}
