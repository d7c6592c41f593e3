import type { RailsRules } from '../../../config/rails.ts';
import { CellpassError } from '../../../errors.ts';
import { toNetwork } from '../../client-address.ts';
import { BASIC_CHALLENGE } from '../../error-handler.ts';
import type { TokenContext } from '../cell.ts';
import { clientGone } from '../client-gone.ts';
import type { OutcomeDraft } from '../outcome.ts';
import { RAILS_HOP, type RawRequest } from '../request.ts';
import type { RailsAnswer, RailsClient, RailsRequest } from './client.ts';
import type { Comparer } from './comparer.ts';
import { ANSWERED_BY, RAILS } from './headers.ts';
import type { PassReason } from './who-answers.ts';

/** GitLab Rails beside this server. */
export interface RailsBeside {
  /** They change when the settings are read again. */
  readonly rules: () => RailsRules;
  readonly client: RailsClient;
  /** Null: there is no GitLab's database to decide by. */
  readonly comparer: Comparer | null;
}

/** @throws {CellpassError} `unavailable` for a request that this server has sent to Rails itself. */
export function refuseLoop({ hops }: RawRequest): void {
  if (!hops.includes(RAILS_HOP)) return;
  throw new CellpassError(
    'unavailable',
    'this request was passed on to GitLab Rails, and came here: CELLPASS_GITLAB_RAILS_URL must not lead to cellpass',
    { reason: 'rails_loop' },
  );
}

export function toRailsRequest(ctx: TokenContext, { form }: Pick<RawRequest, 'form'>): RailsRequest {
  return {
    search: ctx.search,
    form,
    contentType: ctx.get('Content-Type'),
    authorization: ctx.get('Authorization'),
    accept: ctx.get('Accept'),
    userAgent: ctx.get('User-Agent'),
    clientAddress: ctx.state.clientAddress.text,
    network: toNetwork(ctx.state.clientAddress),
    gone: () => clientGone(ctx.res),
  };
}

/** Asks Rails, and notes why in the outcome, whatever comes of it. */
export async function passOn(
  { client }: RailsBeside,
  request: RailsRequest,
  reason: PassReason,
  outcome: OutcomeDraft,
): Promise<RailsAnswer> {
  outcome.passedOn = { reason, status: null };
  const answer = await client.ask(request);
  outcome.passedOn = { reason, status: answer.status };
  return answer;
}

/**
 * The answer of Rails unchanged, as far as clients of a registry read it. No browser may take it for
 * a page of this server, and the challenge is this server's own: another one could send clients, with
 * their credentials, elsewhere.
 */
export function writeRailsAnswer(ctx: TokenContext, answer: RailsAnswer): void {
  const { status, contentType, retryAfter, body } = answer;
  ctx.status = status;
  ctx.body = body;
  if (contentType === null) ctx.remove('Content-Type');
  else ctx.set('Content-Type', contentType);
  ctx.set({
    [ANSWERED_BY]: RAILS,
    'X-Content-Type-Options': 'nosniff',
    'Content-Security-Policy': "default-src 'none'; sandbox",
  });
  if (retryAfter !== null) ctx.set('Retry-After', retryAfter);
  if (status === 401) ctx.set('WWW-Authenticate', BASIC_CHALLENGE);
}
