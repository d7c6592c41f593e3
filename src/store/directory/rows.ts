import type { MinimumRole, RegistryAccess, Role, Visibility } from '../../policy/role.ts';

/**
 * The directory's rows, with the columns' own names. Values are as in JSON: `date` is `yyyy-mm-dd`, `timestamptz` ISO 8601
 * in UTC, `bytea` is `\x` and hex digits. `…_key` columns are lower case.
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
  /** The lowest is the default organization. */
  readonly position: number;
}

interface OrganizationUserRow {
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
  /** Ids from the root down to the namespace itself. */
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

/** Jobs of the target may pull from the project. */
export interface JobTokenProjectLinkRow {
  readonly project_id: number;
  readonly target_project_id: number;
}

/** Jobs of the projects in the target may pull from the project. */
export interface JobTokenGroupLinkRow {
  readonly project_id: number;
  readonly target_group_id: number;
}

interface ProtectedRepositoryRow {
  readonly project_id: number;
  readonly position: number;
  readonly pattern: string;
  readonly minimum_role_for_push: MinimumRole | null;
  readonly minimum_role_for_delete: MinimumRole | null;
}

interface ProtectedTagRow extends ProtectedRepositoryRow {
  readonly immutable: boolean;
}

/** A secret as it is stored: its digest, and what a list may show of it. */
interface SecretColumns {
  readonly token_digest: string;
  /** Such as `glpat-`; null where there is none, or the secret was never seen. */
  readonly token_prefix: string | null;
  /** Such as `c:2,o:1,p:101`, in decimal numbers. */
  readonly token_routing: string | null;
}

export interface AccessTokenRow extends SecretColumns {
  readonly id: number;
  readonly kind: 'personal' | 'project' | 'group';
  readonly name: string;
  /** The owner; for kinds project and group the token's bot. */
  readonly user_id: number;
  readonly project_id: number | null;
  readonly group_id: number | null;
  readonly scopes: readonly string[];
  readonly expires_at: string | null;
  readonly revoked: boolean;
  /** Made by the command line; no document removes it. */
  readonly minted: boolean;
}

export interface DeployTokenRow extends SecretColumns {
  readonly id: number;
  /** What the command line called it; a document gives none. */
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

interface RevokedSecretRow {
  readonly token_digest: string;
  readonly revoked_at: string;
}

export interface DirectoryTables {
  readonly settings: SettingsRow;
  readonly organizations: OrganizationRow;
  readonly users: UserRow;
  readonly organization_users: OrganizationUserRow;
  readonly namespaces: NamespaceRow;
  readonly projects: ProjectRow;
  readonly members: MemberRow;
  readonly group_group_links: GroupGroupLinkRow;
  readonly project_group_links: ProjectGroupLinkRow;
  readonly job_token_project_links: JobTokenProjectLinkRow;
  readonly job_token_group_links: JobTokenGroupLinkRow;
  readonly protected_repositories: ProtectedRepositoryRow;
  readonly protected_tags: ProtectedTagRow;
  readonly access_tokens: AccessTokenRow;
  readonly deploy_tokens: DeployTokenRow;
  readonly project_deploy_tokens: ProjectDeployTokenRow;
  readonly job_tokens: JobTokenRow;
  readonly revoked_secrets: RevokedSecretRow;
}

export type TableName = keyof DirectoryTables;

/** Everything that is stored. */
export type DirectoryRows = { readonly [T in TableName]: readonly DirectoryTables[T][] };

export interface TableChanges<R> {
  /** Whole rows, new or changed. */
  readonly upsert: readonly R[];
  readonly remove: readonly R[];
}

export type DirectoryChanges = { readonly [T in TableName]: TableChanges<DirectoryTables[T]> };

/** Where new ids come from. `unnamed` is for what no document names: bots and personal namespaces. */
export type IdSource =
  | 'organizations'
  | 'users'
  | 'namespaces'
  | 'projects'
  | 'access_tokens'
  | 'deploy_tokens'
  | 'job_tokens'
  | 'unnamed';

/** Ids from here on are given to what no document names; must agree with the sequence `unnamed_ids`. */
export const FIRST_UNNAMED_ID = 1_000_000_000_000;
