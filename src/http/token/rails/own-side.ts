import { UNJUDGED } from '../../../authn/account.ts';
import type { Credentials } from '../../../authn/basic.ts';
import { type ComparedAnswer, fromClaims } from '../../../comparison/answer.ts';
import { CellpassError } from '../../../errors.ts';
import type { Subject } from '../../../policy/subject.ts';
import { answerFor } from '../../error-handler.ts';
import type { DraftToken, TokenOutcome } from '../outcome.ts';

/** What cellpass decided about a request, for a comparison. */
export interface OwnSide {
  /** Null: cellpass does not judge this. */
  readonly answer: ComparedAnswer | null;
  readonly endsWithCredential: boolean;
  readonly credential: CredentialName;
  /** By what it was decided. Its `error` is what the client would get. */
  readonly outcome: TokenOutcome;
}

type CredentialName = 'anonymous' | 'access_token' | 'deploy_token' | 'job' | 'password';

/** @param token what was signed, or would have been; null: the client gets an error. */
export function toOwnSide(
  outcome: TokenOutcome,
  token: DraftToken | null,
  credentials: Credentials | null,
): OwnSide {
  const status = token === null ? statusOf(outcome.error) : 200;
  return {
    answer: status === null ? null : { status, token: token && fromClaims(token.claims) },
    endsWithCredential: token?.endsEarly === true,
    credential: credentialName(outcome.subject, credentials),
    outcome,
  };
}

const NOT_JUDGED: ReadonlySet<string> = new Set([
  ...UNJUDGED,
  'external_authorization',
  // Rails lists the repository.
  'unlisted_repository',
]);

/** Null: cellpass does not judge it, or can't now. */
function statusOf(error: unknown): number | null {
  if (!(error instanceof CellpassError) || NOT_JUDGED.has(error.reason)) return null;
  const { status } = answerFor(error.code);
  return status >= 500 || status === 429 ? null : status;
}

/** Where the credentials were refused, by their form. */
function credentialName(subject: Subject | null, credentials: Credentials | null): CredentialName {
  switch (subject?.kind) {
    case 'user':
      return subject.tokenScopes === null ? 'password' : 'access_token';
    case 'deploy_token':
    case 'job':
    case 'anonymous':
      return subject.kind;
    case undefined:
      return credentials === null ? 'anonymous' : nameByForm(credentials);
  }
}

function nameByForm({ username, password }: Credentials): CredentialName {
  if (username === 'gitlab-ci-token') return 'job';
  if (password.startsWith('gldt-')) return 'deploy_token';
  return password.startsWith('gl') ? 'access_token' : 'password';
}
