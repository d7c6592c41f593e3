import type { Context, Middleware } from 'koa';
import { timestamp } from '../../directory/document/fields.ts';
import { CellpassError } from '../../errors.ts';
import type {
  IssuedTokenPage,
  IssuedTokenPlace,
  IssuedTokenQuestion,
} from '../../store/records/issued-token-search.ts';
import type { IssuedToken } from '../../store/records/issued-tokens.ts';
import type { IssuedTokenPageView, IssuedTokenView } from '../types.ts';
import { parametersOf, readLimit } from './parameters.ts';

export interface IssuedTokenResource {
  /** Of this process also those that wait to be recorded. */
  search(question: IssuedTokenQuestion): Promise<IssuedTokenPage>;
  now(): Date;
}

const DAY_MS = 24 * 60 * 60 * 1000;

export function listIssuedTokens(issued: IssuedTokenResource): Middleware {
  return async (ctx) => {
    const { tokens, hasMore } = await issued.search(readQuestion(ctx, issued.now()));
    const last = tokens.at(-1);
    ctx.body = {
      tokens: tokens.map(toView),
      next: hasMore && last !== undefined ? printPlace(last) : null,
    } satisfies IssuedTokenPageView;
  };
}

/** @throws {CellpassError} `invalid` */
function readQuestion(ctx: Context, now: Date): IssuedTokenQuestion {
  const one = parametersOf(ctx);
  const [jti, subject, kid, repository, after] = ['jti', 'subject', 'kid', 'repository', 'after'].map(one);
  if (jti !== undefined && !UUID.test(jti)) throw new CellpassError('invalid', 'jti must be a UUID');
  const until = readMoment('until', one('until'));
  const since = readMoment('since', one('since')) ?? new Date((until ?? now).getTime() - DAY_MS);
  if (until !== undefined && until <= since)
    throw new CellpassError('invalid', 'until must be later than since');
  return {
    since,
    ...(until !== undefined && { until }),
    ...(jti !== undefined && { jti }),
    ...(subject !== undefined && { subject }),
    ...(kid !== undefined && { kid }),
    ...(repository !== undefined && { repository }),
    after: after === undefined ? null : readPlace(after),
    limit: readLimit(one('limit')),
  };
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function readMoment(name: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const { data, error } = timestamp.safeParse(text);
  if (typeof data === 'string') return new Date(data);
  throw new CellpassError('invalid', `${name} ${error?.issues[0]?.message ?? 'is wrong'}`);
}

/** `2027-01-31T12:00:00.000Z_5f0c3b1e-2f0c-4f0e-9d52-0a8f5a3c6a11` */
function printPlace({ issuedAt, requestId }: IssuedTokenPlace): string {
  return `${issuedAt.toISOString()}_${requestId}`;
}

function readPlace(text: string): IssuedTokenPlace {
  const [moment = '', requestId = ''] = text.split('_');
  const issuedAt = readMoment('after', moment);
  if (issuedAt !== undefined && UUID.test(requestId)) return { issuedAt, requestId };
  throw new CellpassError('invalid', 'after must be the next of a page');
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
  };
}
