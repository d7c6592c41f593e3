import type { Middleware } from 'koa';
import { CellpassError, type ErrorCode } from '../errors.ts';
import type { RequestState } from './request-state.ts';
import type { ErrorBodyCode, ErrorsBody, ProblemsBody } from './types.ts';

interface Answer {
  readonly status: number;
  readonly code: ErrorBodyCode;
}

/** The one table from error code to answer. Docker's parser knows the answers' codes. */
const ANSWERS: Record<ErrorCode, Answer> = {
  unauthorized: { status: 401, code: 'UNAUTHORIZED' },
  admin_unauthorized: { status: 401, code: 'UNAUTHORIZED' },
  wrong_cell: { status: 401, code: 'UNAUTHORIZED' },
  mixed_cells: { status: 400, code: 'UNSUPPORTED' },
  other_cell: { status: 421, code: 'UNSUPPORTED' },
  denied: { status: 403, code: 'DENIED' },
  service_unknown: { status: 404, code: 'UNSUPPORTED' },
  registry_off: { status: 404, code: 'UNAVAILABLE' },
  grant_type_unsupported: { status: 404, code: 'UNSUPPORTED' },
  bad_exchange: { status: 400, code: 'INVALID' },
  path_unknown: { status: 404, code: 'UNSUPPORTED' },
  method_not_allowed: { status: 405, code: 'UNSUPPORTED' },
  size: { status: 400, code: 'SIZE_INVALID' },
  malformed: { status: 400, code: 'INVALID' },
  not_found: { status: 404, code: 'NOT_FOUND' },
  invalid: { status: 422, code: 'INVALID' },
  conflict: { status: 409, code: 'CONFLICT' },
  too_many_failures: { status: 429, code: 'TOOMANYREQUESTS' },
  unavailable: { status: 503, code: 'UNAVAILABLE' },
  internal: { status: 500, code: 'UNKNOWN' },
};

/** The challenges of a 401 (RFC 9110 section 11.6.1); `charset` as RFC 7617 section 2.1 has it. */
export const BASIC_CHALLENGE = 'Basic realm="cellpass", charset="UTF-8"';
const BEARER_CHALLENGE = 'Bearer realm="cellpass admin"';

/** The status and the code of the answer to an error. */
export function answerFor(code: ErrorCode): Answer {
  return ANSWERS[code];
}

export interface ErrorAnswer extends Answer {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: ErrorsBody | ProblemsBody;
}

/** The answer to an error. An error without a code becomes a 500 that shows no detail. */
export function toErrorAnswer(error: unknown, requestId: string): ErrorAnswer {
  const known =
    error instanceof CellpassError
      ? error
      : new CellpassError('internal', 'internal error', { cause: error });
  const { status, code } = answerFor(known.code);
  const { problems, retryAfterSeconds, allow, detail, oauthError } = known.details;
  const ending = `request ${requestId}`;
  const errors = [
    { code, message: known.message, detail: detail === undefined ? ending : `${detail}; ${ending}` },
  ];
  return {
    status,
    code,
    headers: {
      ...(status === 401 && { 'WWW-Authenticate': challengeFor(known.code) }),
      ...((status === 503 || status === 429) && { 'Retry-After': String(retryAfterSeconds ?? 1) }),
      ...(allow !== undefined && { Allow: allow }),
      ...(known.details.closesConnection === true && { Connection: 'close' }),
    },
    body:
      status === 422
        ? { errors, problems: [...(problems ?? [{ path: '', message: known.message }])] }
        : {
            errors,
            ...(oauthError !== undefined && { error: oauthError, error_description: known.message }),
          },
  };
}

function challengeFor(code: ErrorCode): string {
  return code === 'admin_unauthorized' ? BEARER_CHALLENGE : BASIC_CHALLENGE;
}

/** Answers errors of the middleware below it, and leaves the error in the state for the log. */
export function errorHandler(): Middleware<RequestState> {
  return async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      const answer = toErrorAnswer(error, ctx.state.requestId);
      ctx.state.error = error;
      ctx.status = answer.status;
      ctx.set(answer.headers);
      ctx.body = answer.body;
    }
  };
}
