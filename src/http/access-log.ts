import type { Middleware } from 'koa';
import { CellpassError } from '../errors.ts';
import { cutForLog, type Log } from '../log.ts';
import type { RequestState } from './request-state.ts';

/** Writes one log line for each request when it is answered. */
export function accessLog(log: Log): Middleware<RequestState> {
  return async (ctx, next) => {
    await next();
    const { requestId, startedAtMs, clientAddress, logFields, error } = ctx.state;
    const fields = {
      request_id: requestId,
      method: ctx.method,
      path: cutForLog(ctx.path),
      status: ctx.status,
      client: clientAddress.text,
      ...logFields,
      ...reasonOf(error),
      duration_ms: performance.now() - startedAtMs,
    };
    if (ctx.status >= 500 && !isOfStrangers(error)) log.error({ ...fields, err: causeOf(error) }, 'request');
    else log.info(fields, 'request');
  };
}

/**
 * Errors of 500 and more that any client can cause as often as it likes: an operator can't do
 * anything about them. The alert `CellpassErrors` leaves them out, too.
 */
const OF_STRANGERS: ReadonlySet<string> = new Set(['hop_of_a_stranger', 'client_gone']);

function isOfStrangers(error: unknown): boolean {
  return error instanceof CellpassError && OF_STRANGERS.has(error.reason);
}

function reasonOf(error: unknown): { readonly reason?: string } {
  return error instanceof CellpassError ? { reason: error.reason } : {};
}

/** Operators need to see the cause behind a coded error. */
function causeOf(error: unknown): unknown {
  return error instanceof CellpassError ? (error.details.cause ?? error) : error;
}
