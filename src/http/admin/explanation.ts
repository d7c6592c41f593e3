import type { ComparedAnswer } from '../../comparison/answer.ts';
import type { CellpassError, Reason } from '../../errors.ts';
import type { Ruling } from '../../policy/grant.ts';
import { type AskedScopes, type DroppedScope, printScope, type ResourceScope } from '../../policy/scope.ts';
import { authType, type Subject, subjectName } from '../../policy/subject.ts';
import { traceRuling } from '../../policy/trace.ts';
import type { DifferenceRecord } from '../../store/records/differences.ts';
import { answerFor } from '../error-handler.ts';
import type { DecidedAnswer } from '../token/decide.ts';
import type {
  ExplainedComparison,
  ExplainedRefusal,
  ExplainedScope,
  ExplainedSubject,
  Explanation,
} from '../types.ts';

interface When {
  readonly now: Date;
  readonly client: string;
}

/** Explains a decision. */
export function explainOutcome(
  when: When,
  subject: Subject,
  asked: AskedScopes,
  outcome: DecidedAnswer,
): Explanation {
  const { decision, refusal } = outcome;
  return {
    ...explainEarlyRefusal(when, refusal, asked),
    subject: explainSubject(subject),
    access: (refusal === null ? decision.access : []).map(({ meta, actions, ...entry }) => ({
      ...entry,
      actions: [...actions],
      ...(meta && { meta: Object.fromEntries(Object.entries(meta)) }),
    })),
    scopes: asked.scopes.map((scope) => explainScope(scope, decision.rulings)),
  };
}

/** Both answers side by side. */
export function explainComparison({ rule, part, rails, cellpass }: DifferenceRecord): ExplainedComparison {
  return { rule, differs_in: part, rails: explainSide(rails), cellpass: explainSide(cellpass) };
}

function explainSide({ status, token }: ComparedAnswer): ExplainedComparison['rails'] {
  return {
    status,
    access: (token?.access ?? []).map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`),
    auth_type: token?.authType ?? null,
    aud: token?.aud ?? null,
    sub: token?.sub ?? null,
    exp: token === null ? null : new Date(token.exp * 1000).toISOString(),
  };
}

/** Explains a request that ended before the decision. */
export function explainEarlyRefusal(
  { now, client }: When,
  refusal: CellpassError | null,
  asked: AskedScopes | null,
): Explanation {
  return {
    at: now.toISOString(),
    client_address: client,
    subject: null,
    refusal: refusal && explainRefusal(refusal),
    access: [],
    scopes: [],
    dropped: (asked?.dropped ?? []).map(({ text, why }) => ({
      scope: text,
      because: explainDropped(why).message,
    })),
  };
}

/** Why a scope was ignored, as the code and its sentence. */
export function explainDropped(why: DroppedScope['why']): {
  readonly reason: string;
  readonly message: string;
} {
  return { reason: why, message: DROPPED[why] };
}

const DROPPED: Record<DroppedScope['why'], string> = {
  syntax: 'it is not of the form type:name:action[,action]',
  unknown_type: 'the type is neither repository nor registry',
  name: 'no project can have this name',
  no_known_action: 'none of the actions is pull, push, delete or *',
};

function explainSubject(subject: Subject): ExplainedSubject {
  const tokenScopes = 'tokenScopes' in subject ? subject.tokenScopes : null;
  return {
    kind: subject.kind,
    name: subjectName(subject),
    auth_type: authType(subject),
    token_scopes: tokenScopes && [...tokenScopes],
    abilities: [...subject.abilities],
  };
}

export function explainRefusal(error: CellpassError): ExplainedRefusal {
  const { status, code } = answerFor(error.code);
  const { reason } = error;
  return { status, code, reason, message: CREDENTIAL_REASONS[reason] ?? error.message };
}

/** Why credentials are refused, in one sentence for an administrator. */
export function credentialReason(reason: Reason): string {
  return CREDENTIAL_REASONS[reason] ?? reason;
}

/** Reasons that only admins see, never the client; the keys are reasons of `authn/`. */
const CREDENTIAL_REASONS: Partial<Record<string, string>> = {
  unknown: 'no credential has this secret, or no account this name',
  wrong_password: 'the password is wrong',
  password_authentication_off: 'password authentication is switched off: use a token',
  two_factor:
    'two-factor authentication is on, so the password is refused: use a token (--token-scopes shows what it would get)',
  password_expired: "the user's password expired, which disables all credentials of the user",
  account_blocked: 'the account is blocked',
  account_locked: 'the account is locked',
  account_unconfirmed: 'the account is not confirmed',
  account_deactivated: 'the account is deactivated',
  account_internal: 'the account is one that GitLab made for its own use',
  granular_token: 'the token has granular permissions, which only GitLab itself can judge',
  oauth_token: 'the secret is an OAuth token, which only GitLab itself can judge',
  external_identity: 'the user logs in by LDAP, so only GitLab itself can judge the password',
  composite_identity: 'the job acts for two users at once, which only GitLab itself can judge',
  token_revoked: 'the token is revoked',
  token_expired: 'the token expired',
  token_damaged: 'the checksum of the token is wrong, so no cell has issued it',
  cell_unknown: 'the token names a cell that is not in cells.yaml',
  audience_unknown: 'no cell in cells.yaml lists the audience of the ID token',
  deploy_token_username: "the user name is not the deploy token's",
  job_not_running: 'the job is not running',
  job_token_expired: 'the job token expired',
  ci_disabled: "CI is disabled on the job's project",
  project_deletion_scheduled: "the job's project is scheduled for deletion",
  malformed_basic: 'the Authorization header holds no valid Basic credentials',
  malformed_credentials: 'the user name or the password has control characters',
  not_utf8: 'the user name or the password is not in UTF-8, but in another encoding such as Latin-1',
  no_credentials: 'the form has neither user name nor password',
  no_password: 'the password is empty',
  example_secret: 'the secret is one of the examples of cellpass, which everybody knows',
  too_many_failures: 'too many attempts failed from this address, in total or for this account',
  refresh_token: 'cellpass issues no refresh tokens',
  id_token_malformed: 'the user name says that the password is an ID token, but it is no JWT',
  id_token_issuer: 'the claim iss of the ID token is that of no issuer in the settings',
  id_token_header: 'the header of the ID token names a key or an extension by itself',
  id_token_algorithm: "the algorithm of the ID token is none of the issuer's in the settings",
  id_token_key: 'the issuer publishes no key that the ID token names',
  id_token_signature: 'the signature of the ID token is wrong',
  id_token_audience: 'the claim aud of the ID token is for somebody else',
  id_token_times: 'the ID token has no exp or no iat, or times that are no numbers',
  id_token_life: 'the ID token lives longer than federation.max_lifetime_seconds allows',
  id_token_expired: 'the ID token expired, or does so within 5 seconds',
  id_token_not_yet: 'the ID token is not valid yet: compare the clocks of this server and of the issuer',
  id_token_revoked: 'the ID token is revoked',
  id_token_without_jti: 'the ID token has no jti, so it can not be exchanged',
  id_token_used: 'the ID token was exchanged before',
  identity_unknown: 'no federated identity matches the claims of the ID token',
  identity_ambiguous: 'several federated identities match the claims of the ID token: make them differ',
  identity_expired: 'the federated identity expired',
  identity_revoked: 'the federated identity is revoked',
  identity_account: 'the user that the federated identity stands for does not exist',
  identity_username: "the user name is neither oidc nor that of the identity's account",
  issuer_keys: "the issuer's keys are not known, because it could not be asked",
};

function explainScope(scope: ResourceScope, rulings: readonly Ruling[]): ExplainedScope {
  const own = rulings.filter((ruling) => ruling.scope === scope);
  return {
    scope: printScope(scope),
    project: own[0]?.project?.path ?? null,
    actions: own.map((ruling) => {
      const { rules, because, obstacles } = traceRuling(ruling);
      const { action, verdict, rule } = ruling;
      return { action, verdict, rule, because, rules: [...rules], needs: [...obstacles] };
    }),
  };
}
