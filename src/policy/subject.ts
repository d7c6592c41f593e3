import { type Abilities, ANONYMOUS_ABILITIES } from './ability.ts';

/** What the policy needs of a user: a person, a service account, or the bot of a token. */
export interface Person {
  readonly id: number;
  readonly username: string;
  readonly admin: boolean;
  readonly auditor: boolean;
  readonly external: boolean;
}

/** The token claim `auth_type`, in GitLab's words. */
export type AuthType = 'personal_access_token' | 'deploy_token' | 'build' | 'ci' | 'gitlab_or_ldap' | 'none';

interface Credential {
  /** When the credential expires. No token lives longer. Null: never. */
  readonly expiresAt: Date | null;
  readonly abilities: Abilities;
}

export interface AnonymousSubject extends Credential {
  readonly kind: 'anonymous';
}

export interface UserSubject extends Credential {
  readonly kind: 'user';
  readonly authType: 'personal_access_token' | 'gitlab_or_ldap';
  readonly person: Person;
  /** The scopes of the access token; null for a password. */
  readonly tokenScopes: readonly string[] | null;
  /** Set for access tokens, for the records. No decision depends on it. */
  readonly accessTokenId?: number;
  /** Set for ID tokens, and for access tokens that one was exchanged for; for the records, too. */
  readonly identity?: SubjectIdentity;
  /** When the identity of an ID token ends; missing: never. */
  readonly identityEnds?: Date;
}

/** The federated identity that an ID token proved. */
export interface SubjectIdentity {
  readonly name: string;
  /** The name of the issuer in the settings. */
  readonly issuer: string;
  /** The claims `sub` and `jti` of the ID token; null: it has none. */
  readonly subject: string | null;
  readonly jti: string | null;
}

export interface DeployTokenSubject extends Credential {
  readonly kind: 'deploy_token';
  readonly deployTokenId: number;
  readonly username: string;
  readonly tokenScopes: readonly string[];
}

export interface JobSubject extends Credential {
  readonly kind: 'job';
  readonly jobId: number;
  /** The job's own project. */
  readonly projectId: number;
  readonly projectPath: string;
  readonly person: Person | null;
  /** Missing: `build`. */
  readonly authType?: 'build' | 'ci';
}

/** The subject of a request without credentials. */
export const ANONYMOUS: AnonymousSubject = {
  kind: 'anonymous',
  abilities: ANONYMOUS_ABILITIES,
  expiresAt: null,
};

/** Who a token is about. */
export type Subject = AnonymousSubject | UserSubject | DeployTokenSubject | JobSubject;

/** The claim `sub`: a user name, or empty for anonymous clients and jobs without a user. */
export function subjectName(subject: Subject): string {
  switch (subject.kind) {
    case 'anonymous':
      return '';
    case 'user':
      return subject.person.username;
    case 'deploy_token':
      return subject.username;
    case 'job':
      return subject.person?.username ?? '';
  }
}

export function authType(subject: Subject): AuthType {
  switch (subject.kind) {
    case 'anonymous':
      return 'none';
    case 'user':
      return subject.authType;
    case 'deploy_token':
      return 'deploy_token';
    case 'job':
      return subject.authType ?? 'build';
  }
}

/** A credential as records name it: `access-12`, `deploy-3`, `job-7` or `identity-NAME`. */
export function credentialName(kind: 'access' | 'deploy' | 'job' | 'identity', id: number | string): string {
  return `${kind}-${id}`;
}

/**
 * The credential that a subject came with, as records name it; a client that exchanged an ID token
 * comes with the access token.
 */
export function credentialOf(subject: Subject): string {
  switch (subject.kind) {
    case 'anonymous':
      return 'anonymous';
    case 'deploy_token':
      return credentialName('deploy', subject.deployTokenId);
    case 'job':
      return credentialName('job', subject.jobId);
    case 'user': {
      const { accessTokenId, identity } = subject;
      if (accessTokenId !== undefined) return credentialName('access', accessTokenId);
      return identity === undefined ? 'password' : credentialName('identity', identity.name);
    }
  }
}

/** The user whose memberships count, if the subject has one. */
export function personOf(subject: Subject): Person | null {
  return subject.kind === 'user' || subject.kind === 'job' ? subject.person : null;
}
