import type { Context } from 'koa';
import { unauthorized } from '../../authn/basic.ts';
import { type CellView, type Choice, chooseCell, type Requester } from '../../cells/choose-cell.ts';
import { readCredentialForm } from '../../cells/credential-form.ts';
import { type Cell, findCell } from '../../cells/topology.ts';
import { CellpassError } from '../../errors.ts';
import type { AskedScopes } from '../../policy/scope.ts';
import { toNetwork } from '../client-address.ts';
import { BASIC_CHALLENGE } from '../error-handler.ts';
import type { RequestState } from '../request-state.ts';
import type { ForwardedAnswer, IncomingRequest } from './forward.ts';
import type { TokenRequest } from './request.ts';

/** Token requests and cells: which cell answers, and how this cell forwards or refuses. */

export type TokenContext = Context & { state: RequestState };
export type CellChoice = Exclude<Choice, { readonly kind: 'refused' }>;

/** Who asks, and what this server can judge. */
export interface ChoiceCircumstances {
  readonly requester: Requester;
  /** This server takes ID tokens. */
  readonly judgesIdTokens: boolean;
}

/**
 * An ID token that is for no cell is judged here, if this server takes ID tokens at all, so that its
 * refusal counts as any other.
 * @throws {CellpassError} `unauthorized` for a token that no cell issued; else as `chooseCell`.
 */
export async function choose(
  view: CellView,
  request: TokenRequest,
  { scopes }: AskedScopes,
  { requester, judgesIdTokens }: ChoiceCircumstances,
): Promise<CellChoice> {
  const form = request.credentialsHeldBack
    ? ({ kind: 'elsewhere' } as const)
    : readCredentialForm(request.credentials);
  const choice = await chooseCell({ scopes, form, requester }, view);
  if (choice.kind !== 'refused') return choice;
  if (choice.reason !== 'audience_unknown' || !judgesIdTokens) throw unauthorized(choice.reason);
  const cell = findCell(view.topology, ({ id }) => id === view.self);
  return { kind: 'here', cell, takesCredentials: true };
}

/**
 * A stranger's hop header is refused like a cell's, because to ignore it could make a loop; but it
 * says nothing about the cells, so the reason is another one, which makes no alert.
 * @throws {CellpassError} `unavailable` if cells disagree, `other_cell` if forwarding is off.
 */
export function refuseToForward(
  { topology }: CellView,
  cell: Cell,
  { forwarded, isTrusted }: Pick<TokenRequest, 'forwarded'> & { readonly isTrusted: boolean },
): void {
  if (forwarded) {
    throw new CellpassError('unavailable', 'the cells disagree about which of them answers this; try again', {
      reason: isTrusted ? 'forwarding_loop' : 'hop_of_a_stranger',
    });
  }
  if (topology.forwarding) return;
  throw otherCell(cell);
}

/** The error where this cell forwards nothing. */
export function otherCell({ id, url }: Cell): CellpassError {
  return new CellpassError('other_cell', `cell ${id} answers this`, { detail: url });
}

export function incomingRequest(
  ctx: TokenContext,
  { form, credentials }: TokenRequest,
  webPage: string | null,
): IncomingRequest {
  return {
    form,
    credentials,
    webPage,
    search: ctx.search,
    authorization: ctx.get('Authorization'),
    userAgent: ctx.get('User-Agent'),
    clientAddress: ctx.state.clientAddress.text,
    network: toNetwork(ctx.state.clientAddress),
    startedAtMs: ctx.state.startedAtMs,
  };
}

/** The challenge is this cell's own: that of another cell could send the client elsewhere. */
export function writeForwarded(ctx: TokenContext, { status, headers, body }: ForwardedAnswer): void {
  for (const [name, value] of headers) ctx.set(name, value);
  if (status === 401) ctx.set('WWW-Authenticate', BASIC_CHALLENGE);
  ctx.status = status;
  ctx.type = 'application/json';
  ctx.body = body;
}

/**
 * The request counts as anonymous, because this cell cannot verify its credentials.
 * @throws {CellpassError} `wrong_cell` when no repository was asked: `docker login` must fail.
 */
export function dropCredentials(cell: Cell, { scopes }: AskedScopes): null {
  if (!scopes.some(({ type }) => type === 'repository')) throw wrongCell(cell);
  return null;
}

/** A refusal that anonymous clients get is due to the credentials, which belong to another cell. */
export function refusalForOtherCell(cell: Cell, refusal: CellpassError): CellpassError {
  return refusal.code === 'denied' ? wrongCell(cell) : refusal;
}

/** The error for credentials of a kind that this cell does not take. */
export function wrongCell({ id, legacy }: Cell): CellpassError {
  const takes = legacy
    ? 'every credential but tokens that were made for another cell'
    : 'only access tokens, deploy tokens and CI job tokens that were made for it, and ID tokens of its audience; passwords and tokens that name no cell are for the legacy cell';
  return new CellpassError('wrong_cell', `cell ${id} takes ${takes}`, { reason: 'wrong_cell' });
}
