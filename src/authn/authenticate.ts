import { createHash } from 'node:crypto';
import { secretKind } from '../cells/credential-form.ts';
import { ANONYMOUS_ABILITIES } from '../policy/ability.ts';
import { lowerCaseAscii } from '../policy/scope.ts';
import type { AnonymousSubject, Subject } from '../policy/subject.ts';
import type { CredentialLookup } from './account.ts';
import { type Credentials, unauthorized } from './basic.ts';
import { fromAccount, fromJob, fromToken } from './identify.ts';
import type { PasswordHasher } from './password.ts';

export const ANONYMOUS: AnonymousSubject = {
  kind: 'anonymous',
  abilities: ANONYMOUS_ABILITIES,
  expiresAt: null,
};

export interface Authenticator {
  readonly lookup: CredentialLookup;
  readonly passwords: Pick<PasswordHasher, 'verify'>;
}

/**
 * Credentials → subject, by the first kind that recognises the secret (GitLab's `find_for_git_client`).
 * At most one round trip, and argon2 only for what can be a password.
 * @throws {CellpassError} `unauthorized`, with the same message whatever the cause; the cause is in `details.reason`, for the log.
 */
export async function authenticate(
  { lookup, passwords }: Authenticator,
  credentials: Credentials | null,
  now: Date,
): Promise<Subject> {
  if (credentials === null) return ANONYMOUS;
  const { username, password } = credentials;
  const kind = secretKind(credentials);
  const digest = createHash('sha256').update(password).digest();
  const found = await lookup.findCredentials({ digest, kind, loginKey: lowerCaseAscii(username) });
  const outcome = kind === 'job' ? fromJob(found.job, now) : fromToken(found, username, now);
  if (typeof outcome === 'object') return outcome;
  if (kind !== 'token_or_password') throw unauthorized(outcome);
  // Also where a token was found and refused: what may be a password always costs one hash.
  const matches = await passwords.verify(found.account?.passwordHash ?? null, password);
  if (outcome !== 'unknown') throw unauthorized(outcome);
  if (found.account === null || !matches)
    throw unauthorized(found.account === null ? 'unknown' : 'wrong_password');
  const user = fromAccount(found.account, found.passwordAuthentication);
  if (typeof user === 'string') throw unauthorized(user);
  return user;
}
