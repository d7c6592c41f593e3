import type { ClaimPins } from '../../config/federated-claims.ts';
import type { MinimumRole, RegistryAccess, Role, Visibility } from '../../policy/role.ts';

/**
 * Rows of the directory's tables, by the names of their columns. Values are as in JSON: `date` is
 * `yyyy-mm-dd`, `timestamptz` is ISO 8601 in UTC, `bytea` is `\x` and hex digits. Columns `…_key`
 * hold lower case.
 */
export interface SettingsRow {
  readonly id: true;
  readonly registry_enabled: boolean;
  readonly maintenance_mode: boolean;
  readonly password_authentication: boolean;
}

export interface OrganizationRow {
  readonly id: number;
  readonly path: string;
  readonly path_key: string;
  readonly maintenance: boolean;
  /** The organization with the lowest position is the default. */
  readonly position: number;
}

export interface OrganizationUserRow {
  readonly organization_id: number;
  readonly user_id: number;
}

export type UserKind = 'human' | 'service_account' | 'project_bot' | 'group_bot';
export type UserState = 'active' | 'blocked' | 'locked' | 'unconfirmed' | 'deactivated';

export interface UserRow {
  readonly id: number;
  readonly organization_id: number;
  readonly username: string;
  readonly username_key: string;
  readonly email: string | null;
  readonly email_key: string | null;
  readonly kind: UserKind;
  readonly state: UserState;
  readonly admin: boolean;
  readonly auditor: boolean;
  readonly external: boolean;
  readonly two_factor: boolean;
  readonly password_expired: boolean;
  readonly password_hash: string | null;
}

export interface NamespaceRow {
  readonly id: number;
  readonly type: 'Group' | 'User';
  readonly organization_id: number;
  readonly parent_id: number | null;
  readonly owner_id: number | null;
  readonly path: string;
  readonly path_key: string;
  /** Ids from the root down to this namespace. */
  readonly traversal_ids: readonly number[];
  readonly share_with_group_lock: boolean;
  readonly over_storage_limit: boolean;
  readonly archived: boolean;
  readonly ip_allowlist: readonly string[];
}

export interface ProjectRow {
  readonly id: number;
  readonly namespace_id: number;
  readonly path: string;
  readonly path_key: string;
  readonly visibility: Visibility;
  readonly container_registry: RegistryAccess;
  readonly archived: boolean;
  readonly deletion_scheduled: boolean;
  readonly ci_enabled: boolean;
  readonly job_token_open: boolean;
}

export interface MemberRow {
  readonly source_type: 'Namespace' | 'Project';
  readonly source_id: number;
  readonly user_id: number;
  readonly role: Role;
  readonly expires_at: string | null;
}

export interface GroupGroupLinkRow {
  readonly shared_group_id: number;
  readonly shared_with_group_id: number;
  readonly role: Role;
  readonly expires_at: string | null;
}

export interface ProjectGroupLinkRow {
  readonly project_id: number;
  readonly group_id: number;
  readonly role: Role;
  readonly expires_at: string | null;
}

/** Jobs of the target project may pull from the project. */
export interface JobTokenProjectLinkRow {
  readonly project_id: number;
  readonly target_project_id: number;
}

/** Jobs of all projects in the target group may pull from the project. */
export interface JobTokenGroupLinkRow {
  readonly project_id: number;
  readonly target_group_id: number;
}

export interface ProtectedRepositoryRow {
  readonly project_id: number;
  readonly position: number;
  readonly pattern: string;
  readonly minimum_role_for_push: MinimumRole | null;
  readonly minimum_role_for_delete: MinimumRole | null;
}

export interface ProtectedTagRow extends ProtectedRepositoryRow {
  readonly immutable: boolean;
}

/** What is stored of a secret: its digest, and the parts that lists may show. */
interface SecretColumns {
  readonly token_digest: string;
  /** Such as `glpat-`; null for a secret without prefix, or of which only the digest is known. */
  readonly token_prefix: string | null;
  /** Such as `c:2,o:1,p:101`, in decimal. */
  readonly token_routing: string | null;
}

export interface AccessTokenRow extends SecretColumns {
  readonly id: number;
  readonly kind: 'personal' | 'project' | 'group';
  readonly name: string;
  /** The owner; for the kinds project and group the bot of the token. */
  readonly user_id: number;
  readonly project_id: number | null;
  readonly group_id: number | null;
  readonly scopes: readonly string[];
  readonly expires_at: string | null;
  readonly revoked: boolean;
  /** Created over the admin API; no document removes the token. */
  readonly minted: boolean;
  /** Set for a token that was given in exchange for an ID token: when it ends. */
  readonly ends_at: string | null;
  /** The identity that it was given to, and what is on record about the ID token. */
  readonly identity_id: number | null;
  readonly identity_name: string | null;
  readonly identity_issuer: string | null;
  readonly identity_subject: string | null;
  readonly identity_jti: string | null;
}

/** The columns of a token that was not given in exchange for an ID token. */
export const NOT_EXCHANGED = {
  ends_at: null,
  identity_id: null,
  identity_name: null,
  identity_issuer: null,
  identity_subject: null,
  identity_jti: null,
} as const satisfies Partial<AccessTokenRow>;

/** Which ID tokens of an issuer stand for a user. */
export interface FederatedIdentityRow {
  readonly id: number;
  readonly name: string;
  /** The name of an issuer in the settings. */
  readonly issuer: string;
  /** `account`: a service account; `project`, `group`: a bot of its own. */
  readonly kind: 'account' | 'project' | 'group';
  readonly user_id: number;
  readonly project_id: number | null;
  readonly group_id: number | null;
  readonly scopes: readonly string[];
  readonly claims: ClaimPins;
  /** `keysOfIdentity` of the claims. */
  readonly lookup_keys: readonly string[];
  readonly expires_at: string | null;
}

export interface DeployTokenRow extends SecretColumns {
  readonly id: number;
  /** Set for minted tokens only; documents have no such field. */
  readonly name: string | null;
  readonly username: string;
  readonly scopes: readonly string[];
  readonly group_id: number | null;
  readonly expires_at: string | null;
  readonly revoked: boolean;
  readonly minted: boolean;
}

export interface ProjectDeployTokenRow {
  readonly deploy_token_id: number;
  readonly project_id: number;
}

export interface JobTokenRow {
  readonly id: number;
  readonly project_id: number;
  readonly user_id: number | null;
  readonly running: boolean;
  readonly expires_at: string | null;
  readonly token_digest: string;
}

export interface RevokedSecretRow {
  readonly token_digest: string;
  readonly revoked_at: string;
}

/**
 * No document names bots and personal namespaces: their ids start here, as in the sequence
 * `unnamed_ids`.
 */
export const FIRST_UNNAMED_ID = 1_000_000_000_000;
