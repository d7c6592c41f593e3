import { randomUUID } from 'node:crypto';
import type { Middleware } from 'koa';
import { CellpassError } from '../errors.ts';
import type { ReadClientAddress } from './client-address.ts';
import type { RequestState } from './request-state.ts';

/** What the log needs; pino satisfies it. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

const LONGEST_TEXT = 300;
const LONGEST_LIST = 2000;

/** A text that a client chose, so that no line grows by it. */
export function cutForLog(text: string): string {
  return text.length <= LONGEST_TEXT ? text : `${text.slice(0, LONGEST_TEXT)}…`;
}

/** As many as fit in about 2,000 characters, and how many more there are. */
export function listForLog(texts: readonly string[]): readonly string[] {
  const listed: string[] = [];
  let length = 0;
  for (const text of texts) {
    if (length >= LONGEST_LIST) return [...listed, `… and ${texts.length - listed.length} more`];
    listed.push(cutForLog(text));
    length += Math.min(text.length, LONGEST_TEXT);
  }
  return listed;
}

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
