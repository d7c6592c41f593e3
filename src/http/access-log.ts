import { randomUUID } from 'node:crypto';
import type { Middleware } from 'koa';
import { CellpassError } from '../errors.ts';
import { cutForLog, type Log } from '../log.ts';
import type { ReadClientAddress } from './client-address.ts';
import type { RequestState } from './request-state.ts';

/** Names the request, and writes one line when it is answered. */
export function accessLog(log: Log, readClientAddress: ReadClientAddress): Middleware<RequestState> {
  return async (ctx, next) => {
    const startedAt = process.hrtime.bigint();
    ctx.state.requestId = randomUUID();
    ctx.state.clientAddress = readClientAddress(
      ctx.req.socket.remoteAddress,
      ctx.get('X-Forwarded-For') || undefined,
    );
    ctx.state.logFields = {};
    ctx.set('X-Request-Id', ctx.state.requestId);
    await next();
    const { requestId, clientAddress, logFields, error } = ctx.state;
    const fields = {
      request_id: requestId,
      method: ctx.method,
      path: cutForLog(ctx.path),
      status: ctx.status,
      client: clientAddress.text,
      ...logFields,
      ...reasonOf(error),
      duration_ms: Number(process.hrtime.bigint() - startedAt) / 1e6,
    };
    if (ctx.status >= 500) log.error({ ...fields, err: causeOf(error) }, 'request');
    else log.info(fields, 'request');
  };
}

function reasonOf(error: unknown): { readonly reason?: string } {
  return error instanceof CellpassError ? { reason: error.reason } : {};
}

/** The cause behind a coded error is what an operator needs to see. */
function causeOf(error: unknown): unknown {
  return error instanceof CellpassError ? (error.details.cause ?? error) : error;
}
