import { randomUUID } from 'node:crypto';
import type { Middleware } from 'koa';
import { type Authenticator, authenticate } from '../authn/authenticate.ts';
import type { ServiceSettings } from '../config/services.ts';
import type { Limits } from '../config.ts';
import { CellpassError } from '../errors.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { SigningKey } from '../keys/signing-key.ts';
import type { Decision } from '../policy/grant.ts';
import { type AskedScopes, parseScopes, printScope } from '../policy/scope.ts';
import { authType, type Subject, subjectName } from '../policy/subject.ts';
import type { Facts } from '../store/facts.ts';
import { BACKDATED_SECONDS, buildClaims, type ClaimSet } from '../token/claims.ts';
import { signToken } from '../token/sign.ts';
import type { UserClaims } from '../token/user-claim.ts';
import { decide, pathsOf } from './decide.ts';
import type { RequestState } from './request-state.ts';
import { readTokenRequest } from './token-request.ts';
import type { TokenResponse } from './types.ts';

export interface TokenEndpoint {
  readonly authenticator: Authenticator;
  readonly findFacts: (subject: Subject, paths: readonly string[]) => Promise<Facts>;
  readonly keyring: Pick<Keyring, 'active'>;
  readonly userClaims: UserClaims;
  readonly issuer: string;
  readonly cell: number;
  readonly services: ReadonlyMap<string, ServiceSettings>;
  readonly limits: Limits;
}

/** The token endpoint: its steps, top to bottom. */
export function tokenEndpoint(deps: TokenEndpoint): Middleware<RequestState> {
  return async (ctx) => {
    ctx.set('Cache-Control', 'no-store');
    const { trail, clientAddress, logFields } = ctx.state;
    const request = await readTokenRequest(ctx, deps.limits);
    const { now } = trail;
    const asked = parseScopes(request.scopes);
    trail.asked = asked;
    const subject = await authenticate(deps.authenticator, request.credentials, now);
    trail.subject = subject;
    Object.assign(logFields, describeRequest(request.service, subject, asked));

    const service = findService(deps.services, request.service);
    const facts = await deps.findFacts(subject, pathsOf(asked));
    trail.facts = facts;
    const { decision, refusal } = decide({ subject, asked, facts, now, clientAddress });
    Object.assign(logFields, describeDecision(decision));
    if (refusal !== null) throw refusal;
    trail.refused = decision.rulings.some(({ verdict }) => verdict !== 'grant') || asked.dropped.length > 0;

    const key = deps.keyring.active();
    const claims = await claim(deps, { service, subject, decision, now, key });
    logFields['kid'] = key.kid;
    const token = await signToken(claims, key, service);
    ctx.body = toTokenResponse(token, claims, service);
  };
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
  readonly service: ServiceSettings;
  readonly subject: Subject;
  readonly decision: Decision;
  readonly now: Date;
  readonly key: SigningKey;
}

async function claim(
  deps: TokenEndpoint,
  { service, subject, decision, now, key }: ClaimFacts,
): Promise<ClaimSet> {
  const { access, validUntil } = decision;
  const grantsPush = access.some(({ actions }) => actions.includes('push') || actions.includes('*'));
  const claims = buildClaims({
    issuer: deps.issuer,
    service: service.name,
    cell: deps.cell,
    subject,
    access,
    now,
    ttlSeconds: grantsPush ? service.pushTtlSeconds : service.tokenTtlSeconds,
    validUntil,
    tokenId: randomUUID(),
  });
  if (!service.userClaim) return claims;
  return { ...claims, user: await deps.userClaims(subject, key, service.kid, claims.exp) };
}

function toTokenResponse(token: string, claims: ClaimSet, service: ServiceSettings): TokenResponse {
  const issuedAt = claims.iat + BACKDATED_SECONDS;
  return {
    token,
    access_token: token,
    expires_in: Math.max(1, claims.exp - issuedAt),
    ...(service.issuedAt && { issued_at: new Date(issuedAt * 1000).toISOString() }),
  };
}

function describeRequest(
  service: string | null,
  subject: Subject,
  asked: AskedScopes,
): Record<string, unknown> {
  return {
    service,
    subject: subjectName(subject),
    auth_type: authType(subject),
    asked: asked.scopes.map(printScope),
    ...(asked.dropped.length > 0 && { dropped: asked.dropped.length }),
  };
}

function describeDecision({ access, rulings }: Decision): Record<string, unknown> {
  const refused = rulings.filter(({ verdict }) => verdict !== 'grant');
  return {
    granted: access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`),
    ...(refused.length > 0 && {
      refused: refused.map((ruling) => `${ruling.scope.name}:${ruling.action} ${ruling.rule}`),
    }),
  };
}
