import type { Reason } from '../errors.ts';

/** A user, service account or bot, as stored. */
export interface Account {
  readonly id: number;
  readonly username: string;
  readonly kind: 'human' | 'service_account' | 'project_bot' | 'group_bot';
  readonly state: 'active' | 'blocked' | 'locked' | 'unconfirmed' | 'deactivated';
  readonly admin: boolean;
  readonly auditor: boolean;
  readonly external: boolean;
  readonly twoFactor: boolean;
  readonly passwordExpired: boolean;
  /** In the form of one of `PASSWORD_SCHEMES`; null: no password matches. */
  readonly passwordHash: string | null;
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
}

/** A user who may not log in may not use tokens or jobs either. */
const MAY_LOG_IN: Record<Account['state'], boolean> = {
  active: true,
  blocked: false,
  locked: false,
  unconfirmed: false,
  deactivated: false,
};

/** GitLab ignores an expired password of bots and service accounts, which have none. */
const PASSWORD_CAN_EXPIRE: Record<Account['kind'], boolean> = {
  human: true,
  service_account: false,
  project_bot: false,
  group_bot: false,
};

/** Why all credentials of an account are refused; null: they are accepted. */
export function whyNoLogin(account: Account): Reason | null {
  if (!MAY_LOG_IN[account.state]) return `account_${account.state}`;
  return account.passwordExpired && PASSWORD_CAN_EXPIRE[account.kind] ? 'password_expired' : null;
}
