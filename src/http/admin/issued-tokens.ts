import type { Middleware } from 'koa';
import { CellpassError } from '../../errors.ts';
import type {
  IssuedTokenPage,
  IssuedTokenPlace,
  IssuedTokenQuestion,
} from '../../store/records/issued-token-search.ts';
import type { IssuedToken } from '../../store/records/issued-tokens.ts';
import type { Contract } from '../contract.ts';
import type { ParametersOf } from '../contract-parameters.ts';
import type { IssuedTokenPageView, IssuedTokenView } from '../types.ts';
import { LONGEST_PAGE } from './parameters.ts';
import { printPlace, type RecordPlace, readPlace, toDate } from './places.ts';

export interface IssuedTokenResource {
  /** Finds recorded tokens, and those that this process has not written yet. */
  search(question: IssuedTokenQuestion): Promise<IssuedTokenPage>;
  now(): Date;
}

const DAY_MS = 24 * 60 * 60 * 1000;

export function listIssuedTokens(contract: Contract, issued: IssuedTokenResource): Middleware {
  const parameters = contract.parametersOf('listIssuedTokens');
  return async (ctx) => {
    const { tokens, hasMore } = await issued.search(toQuestion(parameters(ctx), issued.now()));
    const last = tokens.at(-1);
    ctx.body = {
      tokens: tokens.map(toView),
      next:
        hasMore && last !== undefined ? printPlace({ at: last.issuedAt, requestId: last.requestId }) : null,
    } satisfies IssuedTokenPageView;
  };
}

/** @throws {CellpassError} `invalid` for bounds in the wrong order, or a place that is none. */
function toQuestion({ query = {} }: ParametersOf<'listIssuedTokens'>, now: Date): IssuedTokenQuestion {
  const { since: sinceText, until: untilText, after, limit = LONGEST_PAGE, ...filter } = query;
  const until = toDate(untilText);
  const since = toDate(sinceText) ?? new Date((until ?? now).getTime() - DAY_MS);
  if (until !== undefined && until <= since) {
    throw new CellpassError('invalid', 'until must be later than since');
  }
  return {
    ...filter,
    since,
    ...(until !== undefined && { until }),
    after: after === undefined ? null : toIssuedPlace(readPlace(after)),
    limit,
  };
}

function toIssuedPlace({ at, requestId }: RecordPlace): IssuedTokenPlace {
  return { issuedAt: at, requestId };
}

function toView(token: IssuedToken): IssuedTokenView {
  return {
    jti: token.jti,
    kid: token.kid,
    subject: token.subject,
    auth_type: token.authType,
    service: token.service,
    access: token.access.map(({ type, name, actions }) => ({ type, name, actions: [...actions] })),
    address: token.address,
    issued_at: token.issuedAt.toISOString(),
    expires_at: token.expiresAt.toISOString(),
    request_id: token.requestId,
    cell: token.cell,
    ...(token.credential !== undefined && { credential: token.credential }),
    ...(token.identity && {
      identity: token.identity.name,
      identity_issuer: token.identity.issuer,
      identity_subject: token.identity.subject,
      identity_jti: token.identity.jti,
    }),
    ...(token.repeats && {
      tokens: 1 + token.repeats.count,
      last_jti: token.repeats.lastJti,
      last_issued_at: token.repeats.lastIssuedAt.toISOString(),
    }),
  };
}
