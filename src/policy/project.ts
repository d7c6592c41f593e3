import type { DialectName } from './dialect.ts';
import type { MinimumRole, RegistryAccess, Role, Visibility } from './role.ts';

/** A source of a user's role: a membership, perhaps through the invitation of a group. */
export interface Membership {
  readonly via:
    | 'project'
    | 'group'
    | 'personal_namespace'
    | 'organization'
    | 'group_invited_to_group'
    | 'group_invited_to_project'
    /** GitLab has worked the role out from all the others. */
    | 'project_authorization';
  /** The project, group or organization that gives the role, by path. */
  readonly path: string;
  readonly role: Role;
  /** The first day, `yyyy-mm-dd` in UTC, on which the membership no longer counts; null: none. */
  readonly expiresOn: string | null;
  readonly invitation: Invitation | null;
}

export interface Invitation {
  /** The invited group, of which the user is a direct member. */
  readonly group: string;
  readonly role: Role;
  readonly expiresOn: string | null;
}

export interface RepositoryRule {
  /** `*` is the only wildcard; case does not matter. */
  readonly pattern: string;
  readonly minimumRoleForPush: MinimumRole | null;
  readonly minimumRoleForDelete: MinimumRole | null;
}

export interface TagRule {
  /** RE2; the registry matches it, not cellpass. */
  readonly pattern: string;
  readonly minimumRoleForPush: MinimumRole | null;
  readonly minimumRoleForDelete: MinimumRole | null;
  readonly immutable: boolean;
}

export interface IpAllowlist {
  readonly group: string;
  /** CIDR ranges or single addresses. */
  readonly ranges: readonly string[];
}

/** The facts for one decision: those of the project, and the subject's relation to it. */
export interface Project {
  readonly id: number;
  /** Full path in lower case. */
  readonly path: string;
  readonly rootNamespaceId: number;
  readonly organizationId: number;
  readonly visibility: Visibility;
  readonly registryAccess: RegistryAccess;
  /** The path of the archived project, or of the nearest archived group above it; null: none. */
  readonly archivedBy: string | null;
  readonly deletionScheduled: boolean;
  /** The path of the organization while it is in maintenance; otherwise null. */
  readonly maintainedOrganization: string | null;
  /** The path of the root group if it has banned the subject's user; missing: it has not. */
  readonly bannedFrom?: string;
  /** The path of the root group while it is over its storage limit; otherwise null. */
  readonly overStorageLimit: string | null;
  /** The path of a group above that forbids inviting groups to its projects; null: none. */
  readonly shareLockedBy: string | null;
  readonly ipAllowlists: readonly IpAllowlist[];
  readonly protectedRepositories: readonly RepositoryRule[];
  readonly protectedTags: readonly TagRule[];
  /** All memberships of the subject's user, expired ones included. */
  readonly memberships: readonly Membership[];
  /** Whether the deploy token belongs to this project or a group above it. */
  readonly ownDeployToken: boolean;
  /**
   * The repositories of the project, of those that were asked for, that the directory lists, by
   * their full names; missing: it keeps no list.
   */
  readonly knownRepositories?: readonly string[];
  /** Whether the job token allowlist names the job's project, allows all projects, or neither. */
  readonly jobAccess: 'listed' | 'anyone' | 'not_listed';
}

/** Settings of the whole installation. */
interface InstanceState {
  readonly registryEnabled: boolean;
  readonly maintenanceMode: boolean;
  /** Whose way counts where cellpass and GitLab differ; missing: cellpass's. */
  readonly dialect?: DialectName;
  /** The directory lists repositories, and this server can't add one. */
  readonly listIsClosed?: true;
  /** The life of tokens whose service sets none of its own; missing: that of the settings. */
  readonly tokenTtlSeconds?: number;
}

export interface ClientAddress {
  readonly text: string;
  /** `range` as in `IpAllowlist`. */
  isIn(range: string): boolean;
}

export interface Circumstances {
  readonly now: Date;
  readonly clientAddress: ClientAddress;
  readonly instance: InstanceState;
}

/** The facts for the decisions about one request. */
export interface Facts {
  readonly instance: InstanceState;
  readonly projects: readonly Project[];
}
