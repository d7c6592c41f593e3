import { hash } from 'node:crypto';
import { lowerCaseAscii } from '../ascii.ts';
import type { Reason } from '../errors.ts';
import { ANONYMOUS, type Subject, type UserSubject } from '../policy/subject.ts';
import type { CredentialAnswer, CredentialLookup } from './account.ts';
import { type Credentials, unauthorized } from './basic.ts';
import type { Attempt, FailedAttempts } from './failed-attempts.ts';
import { fromAccount, fromJob, fromToken } from './identify.ts';
import type { PasswordHasher } from './password.ts';
import { secretKind } from './secret-kind.ts';

export interface Authenticator {
  readonly lookup: CredentialLookup;
  readonly passwords: Pick<PasswordHasher, 'inTurn' | 'refuseIfFull'>;
  readonly failedAttempts: Pick<FailedAttempts, 'refuseKnown' | 'admitPassword' | 'tokenFailed'>;
}

/** Of one request. */
export interface Circumstances {
  readonly now: Date;
  /** Where it comes from, as failed attempts are counted. */
  readonly network: string;
  /** Aborted when nobody waits for the answer any more; asked for only where there is something to wait for. */
  readonly gone: () => AbortSignal;
}

/**
 * Credentials → subject, by the first kind that recognises the secret (GitLab's `find_for_git_client`).
 * At most one round trip for what is valid, and argon2 only for what can be a password.
 * @throws {CellpassError} `unauthorized`, with the same message whatever the cause; the cause is in `details.reason`, for the log.
 * `too_many_failures` for a password where too many failed, and for a token that would be `unauthorized` there.
 */
export async function authenticate(
  authenticator: Authenticator,
  credentials: Credentials | null,
  circumstances: Circumstances,
): Promise<Subject> {
  if (credentials === null) return ANONYMOUS;
  const { username, password } = credentials;
  // A probe; nobody's password is empty.
  if (password === '') throw unauthorized('no_password');
  const { now, network } = circumstances;
  const kind = secretKind(credentials);
  const loginKey = lowerCaseAscii(username);
  const digest = hash('sha256', password, 'buffer');
  const found = await authenticator.lookup.findCredentials({ digest, kind, loginKey });
  const outcome = kind === 'job' ? fromJob(found.job, now) : fromToken(found, username, now);
  if (typeof outcome === 'object') return outcome;
  const attempt = { network, loginKey, digest };
  if (kind !== 'token_or_password') throw await authenticator.failedAttempts.tokenFailed(attempt, outcome);
  return tryPassword(authenticator, { ...attempt, password, found, outcome }, circumstances.gone);
}

interface PasswordQuestion extends Attempt {
  readonly password: string;
  readonly found: CredentialAnswer;
  /** Why it is no token. */
  readonly outcome: Reason;
}

/** What is counted is counted before the next hash begins, so that many at once are as many as one after the other. */
async function tryPassword(
  { passwords, failedAttempts }: Authenticator,
  question: PasswordQuestion,
  gone: () => AbortSignal,
): Promise<UserSubject> {
  failedAttempts.refuseKnown(question);
  // Before the database is asked about failures: in a flood most are sent away here.
  passwords.refuseIfFull();
  const attempt = await failedAttempts.admitPassword(question);
  return passwords.inTurn(async (verify) => {
    attempt.refuseIfLimited();
    // Also where a token was found and refused: what may be a password always costs one hash.
    const matches = await verify(question.found.account?.passwordHash ?? null, question.password);
    const user = toUserOrReason(question, matches);
    if (typeof user === 'string') throw await attempt.failed(user);
    attempt.succeeded();
    return user;
  }, gone());
}

function toUserOrReason({ found, outcome }: PasswordQuestion, matches: boolean): UserSubject | Reason {
  if (outcome !== 'unknown') return outcome;
  if (found.account === null) return 'unknown';
  return matches ? fromAccount(found.account, found.passwordAuthentication) : 'wrong_password';
}
