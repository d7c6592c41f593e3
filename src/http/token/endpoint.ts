import type { Middleware } from 'koa';
import { isIdToken, readIdToken } from '../../authn/federation/id-token.ts';
import type { CellView } from '../../cells/choose-cell.ts';
import type { Limits } from '../../config/load.ts';
import { type AskedScopes, parseScopes } from '../../policy/scope.ts';
import type { Turns } from '../../shares/turns.ts';
import { toNetwork } from '../client-address.ts';
import type { RequestState } from '../request-state.ts';
import {
  type CellChoice,
  choose,
  incomingRequest,
  refuseToForward,
  type TokenContext,
  writeForwarded,
} from './cell.ts';
import { clientGone } from './client-gone.ts';
import { allowOrigin } from './cors.ts';
import { type Deadline, withDeadline } from './deadline.ts';
import { type Exchange, exchangeToken, readExchange, withOauthError } from './exchange.ts';
import type { Forwarder } from './forward.ts';
import { type Issued, type Issuer, issue } from './issue.ts';
import { type OutcomeDraft, type OutcomeObserver, startOutcome } from './outcome.ts';
import { RAILS_DEADLINE_MS } from './rails/client.ts';
import type { Observed } from './rails/comparer.ts';
import { createElsewhere, type Elsewhere } from './rails/elsewhere.ts';
import { passOn, type RailsBeside, refuseLoop, toRailsRequest, writeRailsAnswer } from './rails/passing.ts';
import { whyLeftToRails } from './rails/who-answers.ts';
import {
  EXCHANGE_GRANT,
  type RawRequest,
  readRawRequest,
  type TokenRequest,
  toTokenRequest,
} from './request.ts';

export interface TokenEndpoint extends Issuer, Exchange {
  readonly source: Issuer['source'];
  /** The current view of the cells. */
  readonly cells: () => CellView;
  readonly forwarder: Forwarder;
  /** Null: there is no Rails beside this server. */
  readonly rails: RailsBeside | null;
  /** The origins of web pages that may ask for tokens. */
  readonly corsOrigins: ReadonlySet<string>;
  /** Whether a connection comes from a trusted proxy, as those of other cells do. */
  readonly isTrustedSender: (socketAddress: string | undefined) => boolean;
  readonly limits: Limits;
  /** Requests that this process answers at the same time. */
  readonly turns: Turns;
}

/**
 * Clients need an answer within 2 s. The Topology Service has a shorter timeout of its own.
 * Passwords may take longer (`limits.passwordSeconds`): they wait for their turn to be hashed, and
 * clients do not repeat a token request that gets 503.
 */
const ANSWER_TIMEOUT_MS = 1800;
/** So that the deadline of Rails itself, which has the better message, comes first. */
const SPARE_MS = 500;

/**
 * The token endpoint.
 * @param observe sees the outcome of each request, whether it was answered or failed.
 */
export function tokenEndpoint(deps: TokenEndpoint, observe: OutcomeObserver): Middleware<RequestState> {
  return async (ctx) => {
    ctx.set('Cache-Control', 'no-store');
    const outcome = startOutcome();
    try {
      await answer(deps, ctx, outcome);
    } catch (error) {
      outcome.error = error;
      throw error;
    } finally {
      // A copy, because work that missed the deadline may still go on.
      observe({ ...outcome }, ctx.state);
    }
  };
}

/** The steps of the endpoint, from top to bottom. */
async function answer(deps: TokenEndpoint, ctx: TokenContext, outcome: OutcomeDraft): Promise<void> {
  const webPage = allowOrigin(ctx, deps.corsOrigins);
  const raw = await readRawRequest(ctx, deps.limits);
  refuseLoop(raw);
  if (raw.grantType === EXCHANGE_GRANT) return exchange(deps, { ctx, raw, webPage, outcome });
  const { rails } = deps;
  if (rails !== null) {
    const { mode, passServices } = rails.rules();
    if (raw.service !== null && passServices.includes(raw.service)) {
      return writeRailsAnswer(ctx, await passOn(rails, toRailsRequest(ctx, raw), 'service', outcome));
    }
    if (mode === 'observe') return observe(deps, rails, { ctx, raw, webPage, outcome });
  }
  const call = { ctx, request: toTokenRequest(raw), webPage, outcome };
  const admission = await admit(deps, call);
  if (admission === 'forwarded') return;
  if (rails === null) return writeIssued(ctx, await issueInTurn(deps, call, admission, null));
  return serve(deps, rails, call, admission);
}

/** One request, as it goes through the steps. */
interface Call {
  readonly ctx: TokenContext;
  readonly request: TokenRequest;
  /** The listed origin of the web page that asks; null: another client. */
  readonly webPage: string | null;
  readonly outcome: OutcomeDraft;
}

/** A request that this cell answers. */
interface Admission {
  readonly asked: AskedScopes;
  readonly view: CellView;
  readonly choice: CellChoice;
}

/** Chooses the cell. `forwarded`: another one has answered. */
async function admit(
  deps: TokenEndpoint,
  { ctx, request, webPage, outcome }: Call,
): Promise<Admission | 'forwarded'> {
  const asked = parseScopes(request.scopes);
  outcome.asked = { service: request.service, scopes: asked };
  const view = deps.cells();
  const cell = { self: view.self, answering: null, forwarded: false };
  outcome.cell = cell;
  const { startedAtMs, clientAddress } = ctx.state;
  const network = toNetwork(clientAddress);
  const choice = await withDeadline(startedAtMs + ANSWER_TIMEOUT_MS, (deadline) => {
    const isKnown = deps.knownNetworks.get(network) === true;
    const requester = { network, isKnown, gone: () => noLongerAwaited(ctx, deadline) };
    return choose(view, request, asked, { requester, judgesIdTokens: deps.idTokens !== null });
  });
  outcome.cell = { ...cell, answering: choice.cell.id };
  if (choice.kind !== 'there') return { asked, view, choice };
  const isTrusted = deps.isTrustedSender(ctx.req.socket.remoteAddress);
  refuseToForward(view, choice.cell, { ...request, isTrusted });
  outcome.cell = { ...outcome.cell, forwarded: true };
  const destination = { ...choice, self: view.self };
  const incoming = incomingRequest(ctx, request, webPage);
  const forwarded = await deps.forwarder.forward(incoming, destination);
  if (forwarded.by === 'rails') writeRailsAnswer(ctx, forwarded.answer);
  else writeForwarded(ctx, forwarded.answer);
  return 'forwarded';
}

/** A token exchange: by the cell of the ID token's audience, whatever scopes are asked for. */
async function exchange(deps: TokenEndpoint, { ctx, raw, webPage, outcome }: ObservedCall): Promise<void> {
  try {
    const credentials = readExchange(deps, raw.params, deps.limits);
    // What is no ID token has no audience by which a cell could be chosen, and is refused here.
    if (readIdToken(credentials.password) !== null) {
      const forwarded = raw.hops.length > 0;
      const request = { ...raw, scopes: [], credentials, forwarded, credentialsHeldBack: false };
      if ((await admit(deps, { ctx, request, webPage, outcome })) === 'forwarded') return;
    }
    const { clientAddress, startedAtMs } = ctx.state;
    ctx.body = await withDeadline(startedAtMs + ANSWER_TIMEOUT_MS, (deadline) => {
      const awaited = noLongerAwaited(ctx, deadline);
      return deps.turns.run(
        { address: toNetwork(clientAddress) },
        () => exchangeToken(deps, ctx.state, outcome, { credentials, awaited }),
        () => awaited,
      );
    });
  } catch (error) {
    throw withOauthError(error);
  }
}

interface ObservedCall extends Omit<Call, 'request'> {
  readonly raw: RawRequest;
}

/**
 * Rails answers, and the client gets that as soon as it is there. What cellpass would have answered
 * is decided at the same time, and compared behind the answer.
 */
async function observe(
  deps: TokenEndpoint,
  rails: RailsBeside,
  { ctx, raw, webPage, outcome }: ObservedCall,
): Promise<void> {
  const seen = startOutcome();
  const observed = await admitObserved(deps, { ctx, raw, webPage, outcome: seen });
  if (observed === 'forwarded') {
    Object.assign(outcome, seen);
    return;
  }
  const answering = passOn(rails, toRailsRequest(ctx, raw), 'observe', outcome);
  // Rails answers no POST; clients repeat it as a GET.
  if (raw.form === null) rails.comparer?.compareBeside(answering, ctx.state, observed);
  writeRailsAnswer(ctx, await answering);
}

/** What cellpass refuses before it knows the cell is for Rails to answer, too. */
async function admitObserved(
  deps: TokenEndpoint,
  { raw, ...call }: ObservedCall,
): Promise<Observed | 'forwarded'> {
  const { outcome } = call;
  try {
    const request = toTokenRequest(raw);
    const admission = await admit(deps, { ...call, request });
    if (admission === 'forwarded') return admission;
    return { outcome, admitted: { ...admission, request, self: admission.view.self } };
  } catch (error) {
    if (outcome.cell?.forwarded === true) throw error;
    outcome.error = error;
    return { outcome, admitted: null };
  }
}

/** Answers with Rails beside: some requests are left to it, and some answers are compared with its. */
async function serve(
  deps: TokenEndpoint,
  rails: RailsBeside,
  call: Call,
  admission: Admission,
): Promise<void> {
  const { ctx, request, outcome } = call;
  const railsRequest = toRailsRequest(ctx, request);
  const asker = { username: request.credentials?.username ?? null, network: railsRequest.network };
  // Rails knows no ID tokens: it would refuse one as a wrong password, and count that.
  const isIdTokenHere =
    deps.idTokens !== null && request.credentials !== null && isIdToken(request.credentials);
  const left = isIdTokenHere ? null : whyLeftToRails(rails.rules(), admission.asked, asker);
  if (left !== null) return writeRailsAnswer(ctx, await passOn(rails, railsRequest, left, outcome));
  const open = (begin: () => void): Elsewhere => createElsewhere(rails, railsRequest, outcome, begin);
  try {
    writeIssued(ctx, await issueInTurn(deps, call, admission, isIdTokenHere ? null : open));
  } catch (error) {
    outcome.error = error;
    throw error;
  } finally {
    // Credentials that another cell judges are not for the Rails of this one.
    const judgedHere = request.credentials === null || admission.choice.takesCredentials;
    if (request.form === null && judgedHere && !isIdTokenHere)
      rails.comparer?.compareBehind(railsRequest, ctx.state, { ...outcome }, request);
  }
}

/** @param open null: what this server can't judge is refused. */
function issueInTurn(
  deps: TokenEndpoint,
  { ctx, request, webPage, outcome }: Call,
  { asked, view, choice }: Admission,
  open: ((begin: () => void) => Elsewhere) | null,
): Promise<Issued> {
  const { startedAtMs, clientAddress } = ctx.state;
  return withDeadline(startedAtMs + ANSWER_TIMEOUT_MS, (deadline) => {
    const gone = (): AbortSignal => noLongerAwaited(ctx, deadline);
    const work = (endTurn: () => void): Promise<Issued> => {
      const waitForPassword = (): AbortSignal => {
        // Passwords have a queue of their own, in which they wait for longer than other requests.
        endTurn();
        deadline.moveTo(startedAtMs + deps.limits.passwordSeconds * 1000);
        return gone();
      };
      const waitForRails = (): void => {
        endTurn();
        deadline.moveTo(performance.now() + RAILS_DEADLINE_MS + SPARE_MS);
      };
      const elsewhere = open?.(waitForRails) ?? null;
      const { self } = view;
      return issue(deps, ctx.state, outcome, {
        request,
        asked,
        choice,
        self,
        webPage,
        waitForPassword,
        elsewhere,
      });
    };
    return deps.turns.run({ address: toNetwork(clientAddress) }, work, gone);
  });
}

function writeIssued(ctx: TokenContext, issued: Issued): void {
  if (issued.by === 'rails') writeRailsAnswer(ctx, issued.answer);
  else ctx.body = issued.response;
}

function noLongerAwaited(ctx: TokenContext, deadline: Deadline): AbortSignal {
  return AbortSignal.any([clientGone(ctx.res), deadline.signal()]);
}
