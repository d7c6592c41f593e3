import type { Reason } from '../errors.ts';
import {
  accessTokenAbilities,
  deployTokenAbilities,
  JOB_ABILITIES,
  PASSWORD_ABILITIES,
} from '../policy/ability.ts';
import type { Dialect } from '../policy/dialect.ts';
import type { DeployTokenSubject, JobSubject, Person, Subject, UserSubject } from '../policy/subject.ts';
import {
  type AccessTokenRecord,
  type Account,
  type DeployTokenRecord,
  type JobRecord,
  whyNoLogin,
} from './account.ts';

/** Whom a record stands for, or why its credential is refused. */
export type SubjectOrReason<S extends Subject = Subject> = S | Reason;

/** When, and in whose way, a record is read. */
export interface Reading {
  readonly now: Date;
  readonly dialect: Dialect;
}

export function fromJob(job: JobRecord, reading: Reading): SubjectOrReason<JobSubject> {
  const reason = whyNoJob(job, reading);
  if (reason !== null) return reason;
  return {
    kind: 'job',
    jobId: job.id,
    projectId: job.projectId,
    projectPath: job.projectPath,
    person: job.user && toPerson(job.user),
    abilities: JOB_ABILITIES,
    expiresAt: job.expiresAt,
    ...(job.user === null && { authType: reading.dialect.jobWithoutUser }),
  };
}

function whyNoJob(job: JobRecord, { now, dialect }: Reading): Reason | null {
  if (!job.running) return 'job_not_running';
  if (job.expiresAt !== null && job.expiresAt <= now) return 'job_token_expired';
  if (!job.ciEnabled) return 'ci_disabled';
  if (job.deletionScheduled) return 'project_deletion_scheduled';
  return job.unjudged ?? (job.user && whyNoLogin(job.user, dialect));
}

/** The login name does not matter: the secret alone says whose token it is. */
export function fromAccessToken(
  token: AccessTokenRecord,
  { now, dialect }: Reading,
): SubjectOrReason<UserSubject> {
  const expiresAt = endOf(token);
  if (token.revoked) return 'token_revoked';
  if (expiresAt !== null && expiresAt <= now) return 'token_expired';
  const reason = token.unjudged ?? whyNoLogin(token.owner, dialect);
  if (reason !== null) return reason;
  const identity = token.identity ?? undefined;
  return {
    ...toUser(token.owner, token.scopes),
    expiresAt,
    accessTokenId: token.id,
    ...(identity && { identity }),
  };
}

/** A moment counts before a day, which is later. */
function endOf({ endsAt, expiresOn }: AccessTokenRecord): Date | null {
  if (endsAt) return new Date(endsAt);
  return expiresOn === null ? null : new Date(`${expiresOn}T00:00:00Z`);
}

export function fromDeployToken(
  token: DeployTokenRecord,
  { now }: Pick<Reading, 'now'>,
): SubjectOrReason<DeployTokenSubject> {
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

/**
 * The owner of a password that is right. The caller compares the password, because that costs a
 * hash.
 */
export function fromAccount(
  account: Account,
  passwordAuthentication: boolean,
  dialect: Dialect,
): SubjectOrReason<UserSubject> {
  if (account.unjudged !== undefined) return account.unjudged;
  if (!passwordAuthentication || account.passwordsAreOff) return 'password_authentication_off';
  if (account.twoFactor) return 'two_factor';
  return whyNoLogin(account, dialect) ?? toUser(account, null);
}

/** A user by password (`tokenScopes` null), or as by an access token with these scopes. */
export function toUser(account: Account, tokenScopes: readonly string[] | null): UserSubject {
  return {
    kind: 'user',
    authType: tokenScopes === null ? 'gitlab_or_ldap' : 'personal_access_token',
    person: toPerson(account),
    tokenScopes,
    abilities: tokenScopes === null ? PASSWORD_ABILITIES : accessTokenAbilities(tokenScopes),
    expiresAt: null,
  };
}

function toPerson({ id, username, admin, auditor, external }: Account): Person {
  return { id, username, admin, auditor, external };
}
