import type { DirectorySource } from '../../authn/source.ts';
import type { ServiceSettings } from '../../config/services.ts';
import { CellpassError } from '../../errors.ts';
import type { ExpiringMap } from '../../expiring-map.ts';
import type { Keyring } from '../../keys/keyring.ts';
import type { SignedToken, SignOrReuse } from '../../token/reuse.ts';
import type { UserClaims } from '../../token/user-claim.ts';
import { toNetwork } from '../client-address.ts';
import type { RequestContext } from '../request-state.ts';
import type { TokenResponse } from '../types.ts';
import { type CellChoice, refusalForOtherCell } from './cell.ts';
import { challengeIfAnonymous } from './cors.ts';
import { unlistedRepositories } from './decide.ts';
import { draftToken } from './draft-token.ts';
import { type Admitted, type Judge, type Judgement, judge } from './judge.ts';
import type { OutcomeDraft } from './outcome.ts';
import type { RailsAnswer } from './rails/client.ts';
import type { Elsewhere } from './rails/elsewhere.ts';

export interface Issuer extends Judge {
  readonly source: Pick<DirectorySource, 'ask' | 'facts' | 'keep' | 'listRepositories'>;
  readonly keyring: Pick<Keyring, 'active'>;
  readonly userClaims: UserClaims;
  readonly signOrReuse: SignOrReuse;
  readonly issuer: string;
  /** The networks from which valid credentials came a short time ago. */
  readonly knownNetworks: ExpiringMap<true>;
}

interface Issuing extends Omit<Admitted, 'judgeElsewhere'> {
  /** The id of this cell. */
  readonly self: number;
  /** The listed origin of the web page that asks; null: another client. */
  readonly webPage: string | null;
  /** Null: nobody else could judge. */
  readonly elsewhere: Elsewhere | null;
}

/** The answer that a client gets: a token, or what Rails says. */
export type Issued =
  | { readonly by: 'cellpass'; readonly response: TokenResponse }
  | { readonly by: 'rails'; readonly answer: RailsAnswer };

/**
 * The steps of a request that this cell answers.
 * @throws {CellpassError} as `judge`; `denied`, `registry_off`.
 */
export async function issue(
  deps: Issuer,
  context: RequestContext,
  outcome: OutcomeDraft,
  { self, webPage, elsewhere, ...admitted }: Issuing,
): Promise<Issued> {
  const judged = await judgeOrPass(deps, context, outcome, { ...admitted, elsewhere });
  if ('by' in judged) return judged;
  const { refusal, decision, facts } = judged;
  if (elsewhere !== null && refusal?.reason === 'unlisted_repository') {
    // Rails decides, so that nothing is on record as refused here.
    outcome.decision = null;
    return { by: 'rails', answer: await elsewhere.ask('first_push') };
  }
  if (refusal !== null) throw refusalFor(refusal, admitted.choice, webPage);
  if (decision.access.length > 0) deps.source.keep?.(judged.question, judged.paths, judged.answer);
  const unlisted = unlistedRepositories(decision, facts);
  if (unlisted.length > 0) await deps.source.listRepositories?.(unlisted);
  return { by: 'cellpass', response: await sign(deps, context, outcome, { ...judged, self }) };
}

async function judgeOrPass(
  deps: Issuer,
  context: RequestContext,
  outcome: OutcomeDraft,
  { elsewhere, ...admitted }: Omit<Admitted, 'judgeElsewhere'> & Pick<Issuing, 'elsewhere'>,
): Promise<Judgement | Issued> {
  try {
    const { judgeElsewhere } = elsewhere ?? {};
    const judged = await judge(deps, context, outcome, {
      ...admitted,
      ...(judgeElsewhere && { judgeElsewhere }),
    });
    if (judged !== 'elsewhere') return judged;
    return { by: 'rails', answer: answerOf(elsewhere) };
  } catch (error) {
    if (elsewhere === null || !isExternal(error)) throw error;
    return { by: 'rails', answer: await elsewhere.ask('external_authorization') };
  } finally {
    const { subject } = outcome;
    if (subject !== null && subject.kind !== 'anonymous') {
      deps.knownNetworks.set(toNetwork(context.clientAddress), true);
    }
  }
}

function answerOf(elsewhere: Elsewhere | null): RailsAnswer {
  if (elsewhere === null) throw new CellpassError('internal', 'nobody has judged the credentials');
  return elsewhere.answer();
}

function isExternal(error: unknown): boolean {
  return error instanceof CellpassError && error.reason === 'external_authorization';
}

function refusalFor(refusal: CellpassError, choice: CellChoice, webPage: string | null): CellpassError {
  if (!choice.takesCredentials) return refusalForOtherCell(choice.cell, refusal);
  return webPage === null ? refusal : challengeIfAnonymous(refusal);
}

async function sign(
  deps: Issuer,
  { now }: RequestContext,
  outcome: OutcomeDraft,
  { self, ...judged }: Judgement & Pick<Issuing, 'self'>,
): Promise<TokenResponse> {
  const { service, subject } = judged;
  const key = deps.keyring.active();
  const { claims: draft, endsEarly } = draftToken(judged, { issuer: deps.issuer, cell: self, now });
  const claims = service.userClaim
    ? { ...draft, user: deps.userClaims(subject, key, service.kid, draft.exp) }
    : draft;
  const signed = await deps.timed('sign', async () => deps.signOrReuse(claims, key, service));
  outcome.issued = { claims: signed.claims, endsEarly, kid: key.kid, cell: self, reused: signed.reused };
  return toTokenResponse(signed, now, service);
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
