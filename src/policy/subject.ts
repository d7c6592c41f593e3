import { type Abilities, ANONYMOUS_ABILITIES } from './ability.ts';

/** What the policy must know of a user; the same for a person, a service account and a token's bot. */
export interface Person {
  readonly id: number;
  readonly username: string;
  readonly admin: boolean;
  readonly auditor: boolean;
  readonly external: boolean;
}

/** The token claim `auth_type`, in GitLab's words. */
export type AuthType = 'personal_access_token' | 'deploy_token' | 'build' | 'gitlab_or_ldap' | 'none';

interface Credential {
  /** The credential's own end; no token may outlive it. Null: none. */
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
  /** Where somebody came with an access token; no decision rests on it. */
  readonly accessTokenId?: number;
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
}

/** The subject of a request without credentials. */
export const ANONYMOUS: AnonymousSubject = {
  kind: 'anonymous',
  abilities: ANONYMOUS_ABILITIES,
  expiresAt: null,
};

/** Who a token is about. */
export type Subject = AnonymousSubject | UserSubject | DeployTokenSubject | JobSubject;

/** The claim `sub`: a name, or empty where there is nobody to name. */
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
      return 'build';
  }
}

/** The user whose memberships count, if the subject has one. */
export function personOf(subject: Subject): Person | null {
  return subject.kind === 'user' || subject.kind === 'job' ? subject.person : null;
}
