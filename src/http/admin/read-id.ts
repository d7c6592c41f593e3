import type { Context } from 'koa';
import { CellpassError } from '../../errors.ts';

/** The `id` in the path. */
export function readId(ctx: Context): number {
  const id = Number(ctx['params'].id);
  if (Number.isSafeInteger(id) && id > 0) return id;
  throw new CellpassError('invalid', 'the id must be a positive whole number');
}
