import type { NotedIdToken } from '../../authn/authenticate.ts';
import type { KnownCredential } from '../../authn/known-credential.ts';
import type { Secret } from '../../authn/secret.ts';
import type { Decision } from '../../policy/grant.ts';
import type { Facts } from '../../policy/project.ts';
import type { AskedScopes } from '../../policy/scope.ts';
import type { Subject } from '../../policy/subject.ts';
import type { ClaimSet } from '../../token/claims.ts';
import type { RequestContext } from '../request-state.ts';
import type { PassReason } from './rails/who-answers.ts';

/**
 * What came of one token request. Observers read it after the endpoint is done. A part is null when
 * the request ended before it was known. It holds no secret: neither credentials nor the token.
 */
export interface TokenOutcome {
  readonly asked: AskedService | null;
  readonly cell: ChosenCell | null;
  /** The verified subject. */
  readonly subject: Subject | null;
  /** What the directory knows of the credentials, right or wrong; null: it was not asked. */
  readonly knownCredential: KnownCredential | null;
  /** Set where credentials were refused, and the directory was not asked for the login name. */
  readonly loginName: Secret | null;
  /** What the decision was based on. */
  readonly facts: Facts | null;
  readonly decision: Decision | null;
  readonly issued: IssuedOutcome | null;
  /** The credentials are an ID token, right or wrong. */
  readonly idToken: NotedIdToken | null;
  /** GitLab Rails was asked for the answer. */
  readonly passedOn: PassedOn | null;
  /** What the endpoint threw; null when it answered, also with another server's answer. */
  readonly error: unknown;
}

interface PassedOn {
  readonly reason: PassReason;
  /** Of its answer; null: there was none. */
  readonly status: number | null;
}

export interface AskedService {
  readonly service: string | null;
  readonly scopes: AskedScopes;
}

export interface ChosenCell {
  /** The id of this cell. */
  readonly self: number;
  /** The id of the cell that answers the request; null: it was not chosen. */
  readonly answering: number | null;
  /** The request was sent to that other cell. */
  readonly forwarded: boolean;
}

/** A token before it is signed. */
export interface DraftToken {
  readonly claims: ClaimSet;
  /** It ends before its usual life, because the credential or the access does. */
  readonly endsEarly: boolean;
}

export interface IssuedOutcome extends DraftToken {
  readonly kid: string;
  readonly cell: number;
  /** The token was signed for an earlier request. */
  readonly reused: boolean;
}

/** The endpoint's own view of the outcome, which it fills step by step. */
export type OutcomeDraft = { -readonly [Part in keyof TokenOutcome]: TokenOutcome[Part] };

/** Sees the outcome of each token request. It must return at once; it may throw. */
export type OutcomeObserver = (outcome: TokenOutcome, context: RequestContext) => void;

export function startOutcome(): OutcomeDraft {
  return {
    asked: null,
    cell: null,
    subject: null,
    knownCredential: null,
    loginName: null,
    facts: null,
    decision: null,
    issued: null,
    idToken: null,
    passedOn: null,
    error: null,
  };
}

/** The client got an answer, and it grants less than the client asked. */
export function grantsLess({ asked, decision, error }: TokenOutcome): boolean {
  if (error !== null || asked === null || decision === null) return false;
  return asked.scopes.dropped.length > 0 || decision.rulings.some(({ verdict }) => verdict !== 'grant');
}
