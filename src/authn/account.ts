import type { ClaimPins } from '../config/federated-claims.ts';
import type { Reason } from '../errors.ts';
import type { Dialect, DialectName } from '../policy/dialect.ts';
import type { SubjectIdentity } from '../policy/subject.ts';

/**
 * Why a source that is GitLab's database can't judge a credential, though it is one: its rights or
 * its proof are outside the database. It is refused.
 */
export const UNJUDGED = ['granular_token', 'oauth_token', 'external_identity', 'composite_identity'] as const;
export type Unjudged = (typeof UNJUDGED)[number];

/** A user, service account or bot, as stored. */
export interface Account {
  readonly id: number;
  readonly username: string;
  readonly kind: 'human' | 'service_account' | 'project_bot' | 'group_bot';
  /** `internal`: an account that GitLab made for its own use. */
  readonly state: 'active' | 'blocked' | 'locked' | 'unconfirmed' | 'deactivated' | 'internal';
  readonly admin: boolean;
  readonly auditor: boolean;
  readonly external: boolean;
  readonly twoFactor: boolean;
  readonly passwordExpired: boolean;
  /** In the form of one of `PASSWORD_SCHEMES`; null: no password matches. */
  readonly passwordHash: string | null;
  /** Passwords are switched off for this account. */
  readonly passwordsAreOff?: true;
  /** Set where the password is another system's to judge. */
  readonly unjudged?: Unjudged;
}

export interface AccessTokenRecord {
  readonly id: number;
  readonly name: string;
  readonly scopes: readonly string[];
  /**
   * Date `yyyy-mm-dd`: the token is valid through the day before, in UTC. Null: it never expires.
   */
  readonly expiresOn: string | null;
  readonly revoked: boolean;
  readonly owner: Account;
  readonly unjudged?: Unjudged;
  /** Of a token that was given in exchange for an ID token: when it ends, ISO 8601. */
  readonly endsAt?: string | null;
  readonly identity?: SubjectIdentity | null;
}

/** A federated identity that an ID token may prove. */
export interface IdentityRecord {
  /** Of the directory's own tables; null: it is in the settings. */
  readonly id: number | null;
  readonly name: string;
  /** The name of its issuer in the settings. */
  readonly issuer: string;
  readonly scopes: readonly string[];
  readonly claims: ClaimPins;
  /** `yyyy-mm-dd`, as for access tokens. */
  readonly expiresOn: string | null;
  readonly revoked: boolean;
  /** Null: the user that it stands for does not exist. */
  readonly account: Account | null;
}

/** What a source has about one ID token. */
export interface IdTokenRecords {
  /** Of its issuer: all that it may prove, and perhaps some more. */
  readonly identities: readonly IdentityRecord[];
  /** The ID token itself is on the deny list. */
  readonly revoked: boolean;
}

export interface DeployTokenRecord {
  readonly id: number;
  readonly username: string;
  readonly scopes: readonly string[];
  readonly expiresAt: Date | null;
  readonly revoked: boolean;
}

export interface JobRecord {
  readonly id: number;
  readonly projectId: number;
  readonly projectPath: string;
  readonly running: boolean;
  readonly expiresAt: Date | null;
  readonly ciEnabled: boolean;
  readonly deletionScheduled: boolean;
  readonly user: Account | null;
  readonly unjudged?: Unjudged;
}

/**
 * What a source has about one secret and one login name. Null: no such record, or its kind was not
 * asked for.
 */
export interface CredentialRecords {
  readonly passwordAuthentication: boolean;
  readonly job: JobRecord | null;
  readonly accessToken: AccessTokenRecord | null;
  readonly deployToken: DeployTokenRecord | null;
  readonly account: Account | null;
  /** Present where the question was about an ID token. */
  readonly idToken?: IdTokenRecords;
  /** Whose way counts where cellpass and GitLab differ; missing: cellpass's. */
  readonly dialect?: DialectName;
  /**
   * The secret is an OAuth access token: there is a record of it, or only the login name says so.
   */
  readonly oauthToken?: 'recorded' | 'by_login_name';
}

/** A user who may not log in may not use tokens or jobs either. */
const MAY_LOG_IN: Record<Account['state'], boolean> = {
  active: true,
  blocked: false,
  locked: false,
  unconfirmed: false,
  deactivated: false,
  internal: false,
};

/** GitLab ignores an expired password of bots and service accounts, which have none. */
const PASSWORD_CAN_EXPIRE: Record<Account['kind'], boolean> = {
  human: true,
  service_account: false,
  project_bot: false,
  group_bot: false,
};

/** Why all credentials of an account are refused; null: they are accepted. */
export function whyNoLogin(account: Account, dialect: Dialect): Reason | null {
  const mayLogIn =
    MAY_LOG_IN[account.state] || (account.state === 'deactivated' && dialect.deactivatedMayLogIn);
  if (!mayLogIn) return `account_${account.state}`;
  return account.passwordExpired && PASSWORD_CAN_EXPIRE[account.kind] ? 'password_expired' : null;
}
