import type { Context } from 'koa';
import { CellpassError } from '../../errors.ts';

const ID = /^[1-9][0-9]{0,15}$/;

/** The `id` in the path. */
export function readId(ctx: Context): number {
  const text = String(ctx['params'].id);
  const id = Number(text);
  if (ID.test(text) && Number.isSafeInteger(id)) return id;
  throw new CellpassError('invalid', 'the id must be a positive whole number');
}
