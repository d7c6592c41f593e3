import type { Middleware } from 'koa';
import { CellpassError } from '../errors.ts';
import type { Health } from './types.ts';

const OK: Health = { status: 'ok' };

/**
 * Alive: the process answers. It does not ask the database, because an outage of the database would
 * then get every replica killed.
 */
export const health: Middleware = (ctx) => {
  ctx.body = OK;
};

export interface Readiness {
  /** @throws {CellpassError} `unavailable` while tokens cannot be issued. */
  check(): Promise<void>;
  isDraining(): boolean;
}

/** Ready: this process could issue a token now. */
export function readiness({ check, isDraining }: Readiness): Middleware {
  return async (ctx) => {
    if (isDraining()) throw new CellpassError('unavailable', 'shutting down', { reason: 'draining' });
    await check();
    ctx.body = OK;
  };
}
