import { createHash } from 'node:crypto';
import {
  ANONYMOUS_ABILITIES,
  accessTokenAbilities,
  deployTokenAbilities,
  JOB_ABILITIES,
  PASSWORD_ABILITIES,
} from '../policy/ability.ts';
import { lowerCaseAscii } from '../policy/scope.ts';
import type { AnonymousSubject, JobSubject, Person, Subject, UserSubject } from '../policy/subject.ts';
import {
  type AccessTokenRecord,
  type Account,
  type CredentialAnswer,
  type CredentialLookup,
  type DeployTokenRecord,
  type JobRecord,
  whyNoLogin,
} from './account.ts';
import { type Credentials, unauthorized } from './basic.ts';
import type { PasswordHasher } from './password.ts';

export const ANONYMOUS: AnonymousSubject = {
  kind: 'anonymous',
  abilities: ANONYMOUS_ABILITIES,
  expiresAt: null,
};

const JOB_USERNAME = 'gitlab-ci-token';
/** What GitLab puts before its tokens; a secret of this form is never tried as a password. */
const TOKEN_FORM = /^gl[a-z]{1,10}-/;

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
  const kind = kindOf(credentials);
  const digest = createHash('sha256').update(password).digest();
  const found = await lookup.findCredentials({ digest, kind, loginKey: lowerCaseAscii(username) });
  const outcome = kind === 'job' ? fromJob(found.job, now) : fromToken(found, username, now);
  if (typeof outcome === 'object') return outcome;
  if (kind !== 'token_or_password') throw unauthorized(outcome);
  // Also where a token was found and refused: what may be a password always costs one hash.
  const matches = await passwords.verify(found.account?.passwordHash ?? null, password);
  if (outcome !== 'unknown') throw unauthorized(outcome);
  return fromPassword(found, matches);
}

function kindOf({ username, password }: Credentials): 'job' | 'token' | 'token_or_password' {
  if (username === JOB_USERNAME) return 'job';
  return TOKEN_FORM.test(password) ? 'token' : 'token_or_password';
}

/** A subject, or why not. */
type Outcome<S extends Subject> = S | string;

function fromJob(job: JobRecord | null, now: Date): Outcome<JobSubject> {
  if (job === null) return 'unknown';
  const reason = whyNoJob(job, now);
  if (reason !== null) return reason;
  return {
    kind: 'job',
    jobId: job.id,
    projectId: job.projectId,
    projectPath: job.projectPath,
    person: job.user && toPerson(job.user),
    abilities: JOB_ABILITIES,
    expiresAt: job.expiresAt,
  };
}

function whyNoJob(job: JobRecord, now: Date): string | null {
  if (!job.running) return 'job_not_running';
  if (job.expiresAt !== null && job.expiresAt <= now) return 'job_token_expired';
  if (!job.ciEnabled) return 'ci_disabled';
  if (job.deletionScheduled) return 'project_deletion_scheduled';
  return job.user && whyNoLogin(job.user);
}

function fromToken(
  { accessToken, deployToken }: CredentialAnswer,
  username: string,
  now: Date,
): Outcome<Subject> {
  if (accessToken !== null) return fromAccessToken(accessToken, now);
  return deployToken === null ? 'unknown' : fromDeployToken(deployToken, username, now);
}

/** The login name is ignored: the secret alone says whose it is. */
function fromAccessToken(token: AccessTokenRecord, now: Date): Outcome<UserSubject> {
  const expiresAt = token.expiresOn === null ? null : new Date(`${token.expiresOn}T00:00:00Z`);
  if (token.revoked) return 'token_revoked';
  if (expiresAt !== null && expiresAt <= now) return 'token_expired';
  const reason = whyNoLogin(token.owner);
  if (reason !== null) return reason;
  return {
    kind: 'user',
    authType: 'personal_access_token',
    person: toPerson(token.owner),
    tokenScopes: token.scopes,
    abilities: accessTokenAbilities(token.scopes),
    expiresAt,
  };
}

function fromDeployToken(token: DeployTokenRecord, username: string, now: Date): Outcome<Subject> {
  if (token.username !== username) return 'deploy_token_username';
  if (token.revoked) return 'token_revoked';
  if (token.expiresAt !== null && token.expiresAt <= now) return 'token_expired';
  return {
    kind: 'deploy_token',
    deployTokenId: token.id,
    username: token.username,
    tokenScopes: token.scopes,
    abilities: deployTokenAbilities(token.scopes),
    expiresAt: token.expiresAt,
  };
}

function fromPassword({ account, passwordAuthentication }: CredentialAnswer, matches: boolean): UserSubject {
  if (account === null || !matches) throw unauthorized(account === null ? 'unknown' : 'wrong_password');
  if (!passwordAuthentication) throw unauthorized('password_authentication_off');
  if (account.twoFactor) throw unauthorized('two_factor');
  const reason = whyNoLogin(account);
  if (reason !== null) throw unauthorized(reason);
  return {
    kind: 'user',
    authType: 'gitlab_or_ldap',
    person: toPerson(account),
    tokenScopes: null,
    abilities: PASSWORD_ABILITIES,
    expiresAt: null,
  };
}

function toPerson({ id, username, admin, auditor, external }: Account): Person {
  return { id, username, admin, auditor, external };
}
