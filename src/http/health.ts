import type { Middleware } from 'koa';
import { CellpassError } from '../errors.ts';
import type { Health } from './types.ts';

const OK: Health = { status: 'ok' };

/** Alive: the process answers. Says nothing of the database, or an outage of it would get every replica killed. */
export const health: Middleware = (ctx) => {
  ctx.body = OK;
};

export interface Readiness {
  /** Throws `unavailable` while tokens can't be issued. */
  check(): Promise<void>;
  isDraining(): boolean;
}

/** Ready: a token could be issued now. */
export function readiness({ check, isDraining }: Readiness): Middleware {
  return async (ctx) => {
    if (isDraining()) throw new CellpassError('unavailable', 'shutting down', { reason: 'draining' });
    await check();
    ctx.body = OK;
  };
}
