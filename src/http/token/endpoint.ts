import { randomUUID } from 'node:crypto';
import type { Middleware } from 'koa';
import { type Authenticator, authenticate } from '../../authn/authenticate.ts';
import { unauthorized } from '../../authn/basic.ts';
import { questionOf } from '../../authn/credential-kinds.ts';
import { isExampleSecret } from '../../authn/example-secrets.ts';
import { type DirectorySource, isAbout } from '../../authn/source.ts';
import type { CellView } from '../../cells/choose-cell.ts';
import type { Limits } from '../../config/load.ts';
import type { ServiceSettings } from '../../config/services.ts';
import { CellpassError } from '../../errors.ts';
import type { ExpiringMap } from '../../expiring-map.ts';
import type { ClockCheck } from '../../keys/clock-check.ts';
import type { Keyring } from '../../keys/keyring.ts';
import type { SigningKey } from '../../keys/signing-key.ts';
import type { Decision } from '../../policy/grant.ts';
import type { Facts } from '../../policy/project.ts';
import { type AskedScopes, parseScopes } from '../../policy/scope.ts';
import type { Subject } from '../../policy/subject.ts';
import type { Turns } from '../../shares/turns.ts';
import { buildClaims, type ClaimSet } from '../../token/claims.ts';
import type { SignedToken, SignOrReuse } from '../../token/reuse.ts';
import type { UserClaims } from '../../token/user-claim.ts';
import { toNetwork } from '../client-address.ts';
import type { RequestMetrics } from '../metrics/requests.ts';
import type { RequestContext, RequestState } from '../request-state.ts';
import type { TokenResponse } from '../types.ts';
import {
  type CellChoice,
  choose,
  dropCredentials,
  incomingRequest,
  refusalForOtherCell,
  refuseToForward,
  type TokenContext,
  writeForwarded,
} from './cell.ts';
import { clientGone } from './client-gone.ts';
import { allowOrigin, challengeIfAnonymous } from './cors.ts';
import { type Deadline, withDeadline } from './deadline.ts';
import { decide, pathsOf, unlistedRepositories } from './decide.ts';
import type { Forwarder } from './forward.ts';
import { type OutcomeDraft, type OutcomeObserver, startOutcome } from './outcome.ts';
import { readTokenRequest, type TokenRequest } from './request.ts';

export interface TokenEndpoint {
  /** The current view of the cells. */
  readonly cells: () => CellView;
  readonly forwarder: Forwarder;
  readonly authenticator: Authenticator;
  readonly source: Pick<DirectorySource, 'ask' | 'facts' | 'keep' | 'listRepositories'>;
  readonly keyring: Pick<Keyring, 'active'>;
  readonly clock: Pick<ClockCheck, 'assertRight'>;
  readonly userClaims: UserClaims;
  readonly signOrReuse: SignOrReuse;
  readonly issuer: string;
  readonly services: ReadonlyMap<string, ServiceSettings>;
  /** The origins of web pages that may ask for tokens. */
  readonly corsOrigins: ReadonlySet<string>;
  /** True: the secrets of `examples/` are wrong credentials, whatever the directory says. */
  readonly refusesExamples: boolean;
  /** Whether a connection comes from a trusted proxy, as those of other cells do. */
  readonly isTrustedSender: (socketAddress: string | undefined) => boolean;
  readonly limits: Limits;
  /** The networks from which valid credentials came a short time ago. */
  readonly knownNetworks: ExpiringMap<true>;
  /** Requests that this process answers at the same time. */
  readonly turns: Turns;
  readonly timed: RequestMetrics['timed'];
}

/**
 * Clients need an answer within 2 s. The Topology Service has a shorter timeout of its own.
 * Passwords may take longer (`limits.passwordSeconds`): they wait for their turn to be hashed, and
 * clients do not repeat a token request that gets 503.
 */
const ANSWER_TIMEOUT_MS = 1800;

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
  const request = await readTokenRequest(ctx, deps.limits);
  const asked = parseScopes(request.scopes);
  outcome.asked = { service: request.service, scopes: asked };
  const view = deps.cells();
  const cell = { self: view.self, answering: null, forwarded: false };
  outcome.cell = cell;
  const { startedAtMs, clientAddress } = ctx.state;
  const network = toNetwork(clientAddress);
  const choice = await withDeadline(startedAtMs + ANSWER_TIMEOUT_MS, (deadline) => {
    const isKnown = deps.knownNetworks.get(network) === true;
    return choose(view, request, asked, { network, isKnown, gone: () => noLongerAwaited(ctx, deadline) });
  });
  outcome.cell = { ...cell, answering: choice.cell.id };
  if (choice.kind === 'there') {
    const isTrusted = deps.isTrustedSender(ctx.req.socket.remoteAddress);
    refuseToForward(view, choice.cell, { ...request, isTrusted });
    outcome.cell = { ...outcome.cell, forwarded: true };
    const destination = { ...choice, self: view.self };
    const incoming = incomingRequest(ctx, request, webPage);
    return writeForwarded(ctx, await deps.forwarder.forward(incoming, destination));
  }
  ctx.body = await withDeadline(startedAtMs + ANSWER_TIMEOUT_MS, (deadline) => {
    const gone = (): AbortSignal => noLongerAwaited(ctx, deadline);
    const work = (endTurn: () => void): Promise<TokenResponse> => {
      const waitForPassword = (): AbortSignal => {
        // Passwords have a queue of their own, in which they wait for longer than other requests.
        endTurn();
        deadline.moveTo(startedAtMs + deps.limits.passwordSeconds * 1000);
        return gone();
      };
      return issue(deps, ctx.state, outcome, { request, asked, view, choice, webPage, waitForPassword });
    };
    return deps.turns.run({ address: network }, work, gone);
  });
}

function noLongerAwaited(ctx: TokenContext, deadline: Deadline): AbortSignal {
  return AbortSignal.any([clientGone(ctx.res), deadline.signal()]);
}

/** The parts of a request that are known before the directory is asked. */
interface Admitted {
  readonly request: TokenRequest;
  readonly asked: AskedScopes;
  readonly view: CellView;
  readonly choice: CellChoice;
  /** The listed origin of the web page that asks; null: another client. */
  readonly webPage: string | null;
  /**
   * Allows the request the time of a password. The signal is aborted when no client waits for the
   * answer any more.
   */
  readonly waitForPassword: () => AbortSignal;
}

/** The steps of a request that this cell answers. */
async function issue(
  deps: TokenEndpoint,
  { now, clientAddress }: RequestContext,
  outcome: OutcomeDraft,
  { request, asked, view, choice, webPage, waitForPassword }: Admitted,
): Promise<TokenResponse> {
  const { timed, source } = deps;
  // Before the credentials, because a wrong clock takes valid ones for expired.
  deps.clock.assertRight();
  const credentials = choice.takesCredentials ? request.credentials : dropCredentials(choice.cell, asked);
  if (deps.refusesExamples && credentials !== null && isExampleSecret(credentials.password)) {
    throw unauthorized('example_secret');
  }
  const paths = pathsOf(asked);
  const question = questionOf(credentials);
  const { answer, subject } = await timed('authenticate', async () => {
    const answer = await source.ask(question, paths);
    const circumstances = { now, network: toNetwork(clientAddress), clientGone: waitForPassword };
    const subject = await authenticate(deps.authenticator, credentials, answer.credentials, circumstances);
    return { answer, subject };
  });
  outcome.subject = subject;
  if (subject.kind !== 'anonymous') deps.knownNetworks.set(toNetwork(clientAddress), true);

  const service = findService(deps.services, request.service);
  const { decision, refusal, facts } = await timed('authorize', async () => {
    const facts = isAbout(answer, subject) ? answer.facts : await source.facts(subject, paths);
    outcome.facts = facts;
    return { ...decide({ subject, asked, facts, now, clientAddress }, service), facts };
  });
  outcome.decision = decision;
  if (refusal !== null) throw refusalFor(refusal, { choice, webPage });
  if (decision.access.length > 0) source.keep?.(question, paths, answer);
  const unlisted = unlistedRepositories(decision, facts);
  if (unlisted.length > 0) await source.listRepositories?.(unlisted);

  const key = deps.keyring.active();
  const claims = claim(deps, { service, cell: view.self, facts, subject, decision, now, key });
  const signed = await timed('sign', async () => deps.signOrReuse(claims, key, service));
  outcome.issued = { claims: signed.claims, kid: key.kid, cell: view.self, reused: signed.reused };
  return toTokenResponse(signed, now, service);
}

function refusalFor(
  refusal: CellpassError,
  { choice, webPage }: Pick<Admitted, 'choice' | 'webPage'>,
): CellpassError {
  if (!choice.takesCredentials) return refusalForOtherCell(choice.cell, refusal);
  return webPage === null ? refusal : challengeIfAnonymous(refusal);
}

function findService(services: ReadonlyMap<string, ServiceSettings>, name: string | null): ServiceSettings {
  const service = services.get(name ?? '');
  if (service === undefined) {
    throw new CellpassError(
      'service_unknown',
      'the service is missing or not one that this server issues tokens for',
    );
  }
  return service;
}

interface ClaimFacts {
  readonly cell: number;
  readonly facts: Facts;
  readonly service: ServiceSettings;
  readonly subject: Subject;
  readonly decision: Decision;
  readonly now: Date;
  readonly key: SigningKey;
}

function claim(
  deps: TokenEndpoint,
  { service, cell, facts, subject, decision, now, key }: ClaimFacts,
): ClaimSet {
  const { access, validUntil } = decision;
  const grantsPush = access.some(({ actions }) => actions.includes('push') || actions.includes('*'));
  const claims = buildClaims({
    issuer: deps.issuer,
    service: service.name,
    cell,
    subject,
    access,
    now,
    ttlSeconds: lifeOf(service, facts, grantsPush),
    validUntil,
    tokenId: randomUUID(),
  });
  if (!service.userClaim) return claims;
  return { ...claims, user: deps.userClaims(subject, key, service.kid, claims.exp) };
}

/** In seconds. A setting of the directory counts where the service sets no life of its own. */
function lifeOf(service: ServiceSettings, { instance }: Facts, grantsPush: boolean): number {
  const { ttlOfDirectory, tokenTtlSeconds, pushTtlSeconds } = service;
  const own = grantsPush ? pushTtlSeconds : tokenTtlSeconds;
  const isOpen = grantsPush ? ttlOfDirectory?.push : ttlOfDirectory?.token;
  return isOpen ? (instance.tokenTtlSeconds ?? own) : own;
}

/** `expires_in` counts from now, because clients count a token's life from when they get it. */
function toTokenResponse({ token, claims }: SignedToken, now: Date, service: ServiceSettings): TokenResponse {
  const issuedAt = Math.floor(now.getTime() / 1000);
  return {
    token,
    access_token: token,
    expires_in: Math.max(1, claims.exp - issuedAt),
    ...(service.issuedAt && { issued_at: new Date(issuedAt * 1000).toISOString() }),
  };
}
