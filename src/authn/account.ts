import type { Reason } from '../errors.ts';
import type { SecretKind } from './secret-kind.ts';

/** What is stored of somebody who may hold credentials. */
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
  /** PHC string; null: no password can match. */
  readonly passwordHash: string | null;
}

export interface AccessTokenRecord {
  readonly id: number;
  readonly name: string;
  readonly scopes: readonly string[];
  /** Date `yyyy-mm-dd`, already too late itself; null: never expires. */
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

/** What is asked about one secret; each part that can't matter is left out, so that no look-up is spent on it. */
export interface CredentialQuestion {
  /** SHA-256 of the secret. */
  readonly digest: Uint8Array;
  readonly kind: SecretKind;
  /** User name or e-mail in lower case. */
  readonly loginKey: string;
}

export interface CredentialAnswer {
  readonly passwordAuthentication: boolean;
  readonly job: JobRecord | null;
  readonly accessToken: AccessTokenRecord | null;
  readonly deployToken: DeployTokenRecord | null;
  readonly account: Account | null;
}

/** Whom `explain` is asked about. */
export type SubjectQuestion =
  | { readonly kind: 'token' | 'job'; readonly id: number }
  /** A deploy token's user name exactly; a user's in lower case. */
  | { readonly kind: 'deploy_token' | 'user'; readonly name: string };

/** Who has this secret, or this name: one round trip. */
export interface CredentialLookup {
  findCredentials(question: CredentialQuestion): Promise<CredentialAnswer>;
}

/** Who may not log in may not use any other credential either. */
const MAY_LOG_IN: Record<Account['state'], boolean> = {
  active: true,
  blocked: false,
  locked: false,
  unconfirmed: false,
  deactivated: false,
};

/** Bots and service accounts have no password that could expire. */
const PASSWORD_CAN_EXPIRE: Record<Account['kind'], boolean> = {
  human: true,
  service_account: false,
  project_bot: false,
  group_bot: false,
};

/** Why an account's credentials are refused; null: they are not. */
export function whyNoLogin(account: Account): Reason | null {
  if (!MAY_LOG_IN[account.state]) return `account_${account.state}`;
  return account.passwordExpired && PASSWORD_CAN_EXPIRE[account.kind] ? 'password_expired' : null;
}
