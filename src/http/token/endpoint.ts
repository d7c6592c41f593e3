import { randomUUID } from 'node:crypto';
import type { Middleware } from 'koa';
import { type Authenticator, authenticate } from '../../authn/authenticate.ts';
import { unauthorized } from '../../authn/basic.ts';
import { questionOf } from '../../authn/credential-kinds.ts';
import { type DirectorySource, isAbout } from '../../authn/source.ts';
import { type CellView, type Choice, chooseCell } from '../../cells/choose-cell.ts';
import { readCredentialForm } from '../../cells/credential-form.ts';
import type { Cell } from '../../cells/topology.ts';
import type { Limits } from '../../config/load.ts';
import type { ServiceSettings } from '../../config/services.ts';
import { CellpassError } from '../../errors.ts';
import type { Keyring } from '../../keys/keyring.ts';
import type { SigningKey } from '../../keys/signing-key.ts';
import { cutForLog, listForLog } from '../../log.ts';
import type { Decision } from '../../policy/grant.ts';
import { type AskedScopes, parseScopes, printScope } from '../../policy/scope.ts';
import { authType, type Subject, subjectName } from '../../policy/subject.ts';
import { buildClaims, type ClaimSet } from '../../token/claims.ts';
import type { SignedToken, SignOrReuse } from '../../token/reuse.ts';
import type { UserClaims } from '../../token/user-claim.ts';
import { toNetwork } from '../client-address.ts';
import type { RequestMetrics } from '../metrics/requests.ts';
import type { RequestState } from '../request-state.ts';
import type { TokenResponse } from '../types.ts';
import { untilGone } from './client-gone.ts';
import { inTime } from './deadline.ts';
import { decide, pathsOf } from './decide.ts';
import type { Forwarder } from './forward.ts';
import { readTokenRequest, type TokenRequest } from './request.ts';

export interface TokenEndpoint {
  /** The cells by now. */
  readonly cells: () => CellView;
  readonly forwarder: Forwarder;
  readonly authenticator: Authenticator;
  readonly source: Pick<DirectorySource, 'ask' | 'facts' | 'keep'>;
  readonly keyring: Pick<Keyring, 'active'>;
  readonly userClaims: UserClaims;
  readonly signOrReuse: SignOrReuse;
  readonly issuer: string;
  readonly services: ReadonlyMap<string, ServiceSettings>;
  readonly limits: Limits;
  readonly timed: RequestMetrics['timed'];
}

/** Short of the 2 s in which a client must have its answer. The Topology Service's part of it is bounded by itself, to less. */
const ANSWER_TIMEOUT_MS = 1800;

/** The token endpoint: its steps, top to bottom. */
export function tokenEndpoint(deps: TokenEndpoint): Middleware<RequestState> {
  return async (ctx) => {
    const startedAt = performance.now();
    ctx.set('Cache-Control', 'no-store');
    const { trail, logFields } = ctx.state;
    const request = await readTokenRequest(ctx, deps.limits);
    const asked = parseScopes(request.scopes);
    trail.asked = asked;
    const view = deps.cells();
    logFields['cell'] = view.self;
    const choice = await choose(view, request, asked);
    if (choice.kind === 'there') {
      Object.assign(logFields, describeAsked(request.service, asked));
      refuseToPassOn(view, choice.cell, request);
      return deps.forwarder.forward(ctx, request, { ...choice, self: view.self });
    }
    const leftMs = Math.max(1, ANSWER_TIMEOUT_MS - (performance.now() - startedAt));
    ctx.body = await inTime(leftMs, (late) =>
      issue(deps, ctx.state, {
        request,
        asked,
        view,
        choice,
        gone: () => AbortSignal.any([untilGone(ctx.res), late()]),
      }),
    );
  };
}

/** What is known before anybody is asked. */
interface Admitted {
  readonly request: TokenRequest;
  readonly asked: AskedScopes;
  readonly view: CellView;
  readonly choice: HereOrThere;
  /** Aborted when nobody waits for the answer any more. */
  readonly gone: () => AbortSignal;
}

/** The steps of a request that this cell answers. */
async function issue(
  deps: TokenEndpoint,
  state: RequestState,
  { request, asked, view, choice, gone }: Admitted,
): Promise<TokenResponse> {
  const { timed, source } = deps;
  const { trail, clientAddress, logFields } = state;
  const { now } = trail;
  const credentials = choice.takesCredentials ? request.credentials : untaken(choice.cell, asked);
  const paths = pathsOf(asked);
  const question = questionOf(credentials);
  const { answer, subject } = await timed('authenticate', async () => {
    const answer = await source.ask(question, paths);
    const circumstances = { now, network: toNetwork(clientAddress), clientGone: gone };
    const subject = await authenticate(deps.authenticator, credentials, answer.credentials, circumstances);
    return { answer, subject };
  });
  trail.subject = subject;
  Object.assign(logFields, describeAsked(request.service, asked), describeSubject(subject));

  const service = findService(deps.services, request.service);
  const { decision, refusal } = await timed('authorize', async () => {
    const facts = isAbout(answer, subject) ? answer.facts : await source.facts(subject, paths);
    trail.facts = facts;
    return decide({ subject, asked, facts, now, clientAddress });
  });
  Object.assign(logFields, describeDecision(decision));
  if (refusal !== null) throw choice.takesCredentials ? refusal : forStranger(choice.cell, refusal);
  if (decision.access.length > 0) source.keep?.(question, paths, answer);
  trail.refused = decision.rulings.some(({ verdict }) => verdict !== 'grant') || asked.dropped.length > 0;

  const key = deps.keyring.active();
  const claims = claim(deps, { service, cell: view.self, subject, decision, now, key });
  const signed = await timed('sign', async () => deps.signOrReuse(claims, key, service));
  Object.assign(logFields, describeSigned(signed, key));
  trail.issued = { claims: signed.claims, kid: key.kid, cell: view.self };
  return toTokenResponse(signed, now, service);
}

type HereOrThere = Exclude<Choice, { readonly kind: 'refused' }>;

/** @throws {CellpassError} `unauthorized` for a token that no cell issued; otherwise as `chooseCell`. */
async function choose(view: CellView, request: TokenRequest, { scopes }: AskedScopes): Promise<HereOrThere> {
  const form = request.credentialsHeldBack
    ? ({ kind: 'elsewhere' } as const)
    : readCredentialForm(request.credentials);
  const choice = await chooseCell({ scopes, form }, view);
  if (choice.kind === 'refused') throw unauthorized(choice.reason);
  return choice;
}

/** @throws {CellpassError} `unavailable` where cells disagree, `other_cell` where nothing is passed on. */
function refuseToPassOn({ topology }: CellView, cell: Cell, { forwarded }: TokenRequest): void {
  if (forwarded) {
    throw new CellpassError('unavailable', 'the cells disagree about which of them answers this; try again', {
      reason: 'forwarding_loop',
    });
  }
  if (topology.forwarding) return;
  throw new CellpassError('other_cell', `cell ${cell.id} answers this`, { detail: cell.url });
}

/**
 * This cell can't verify the credentials, so the request counts as anonymous. That can only lead to something for a repository; for all
 * else the client must hear which cell takes the credentials.
 */
function untaken(cell: Cell, { scopes }: AskedScopes): null {
  if (!scopes.some(({ type }) => type === 'repository')) throw wrongCell(cell);
  return null;
}

/** Nothing that is open to everybody was asked: the credentials are what is wrong. */
function forStranger(cell: Cell, refusal: CellpassError): CellpassError {
  return refusal.code === 'denied' ? wrongCell(cell) : refusal;
}

function wrongCell({ id, legacy }: Cell): CellpassError {
  const takes = legacy
    ? 'every credential but tokens that were made for another cell'
    : `only personal, project and group access tokens and CI job tokens that were made for it; passwords, deploy tokens and older tokens are for the legacy cell`;
  return new CellpassError('wrong_cell', `cell ${id} takes ${takes}`, { reason: 'wrong_cell' });
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
  readonly service: ServiceSettings;
  readonly subject: Subject;
  readonly decision: Decision;
  readonly now: Date;
  readonly key: SigningKey;
}

function claim(deps: TokenEndpoint, { service, cell, subject, decision, now, key }: ClaimFacts): ClaimSet {
  const { access, validUntil } = decision;
  const grantsPush = access.some(({ actions }) => actions.includes('push') || actions.includes('*'));
  const claims = buildClaims({
    issuer: deps.issuer,
    service: service.name,
    cell,
    subject,
    access,
    now,
    ttlSeconds: grantsPush ? service.pushTtlSeconds : service.tokenTtlSeconds,
    validUntil,
    tokenId: randomUUID(),
  });
  if (!service.userClaim) return claims;
  return { ...claims, user: deps.userClaims(subject, key, service.kid, claims.exp) };
}

/** Clients count the life of a token from when they got it. */
function toTokenResponse({ token, claims }: SignedToken, now: Date, service: ServiceSettings): TokenResponse {
  const issuedAt = Math.floor(now.getTime() / 1000);
  return {
    token,
    access_token: token,
    expires_in: Math.max(1, claims.exp - issuedAt),
    ...(service.issuedAt && { issued_at: new Date(issuedAt * 1000).toISOString() }),
  };
}

function describeSubject(subject: Subject): Record<string, unknown> {
  return { subject: subjectName(subject), auth_type: authType(subject) };
}

function describeSigned({ claims, reused }: SignedToken, { kid }: SigningKey): Record<string, unknown> {
  return { kid, jti: claims.jti, ...(reused && { reused }) };
}

function describeAsked(service: string | null, asked: AskedScopes): Record<string, unknown> {
  return {
    service: service && cutForLog(service),
    asked: listForLog(asked.scopes.map(printScope)),
    ...(asked.dropped.length > 0 && { dropped: asked.dropped.length }),
  };
}

function describeDecision({ access, rulings }: Decision): Record<string, unknown> {
  const refused = rulings.filter(({ verdict }) => verdict !== 'grant');
  return {
    granted: listForLog(access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`)),
    ...(refused.length > 0 && {
      refused: listForLog(refused.map((ruling) => `${ruling.scope.name}:${ruling.action} ${ruling.rule}`)),
    }),
  };
}
