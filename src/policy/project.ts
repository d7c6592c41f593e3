import type { MinimumRole, RegistryAccess, Role, Visibility } from './role.ts';

/** How a user came to a role: where the membership is, and the invitation it passes through, if any. */
export interface Membership {
  readonly via:
    | 'project'
    | 'group'
    | 'personal_namespace'
    | 'organization'
    | 'group_invited_to_group'
    | 'group_invited_to_project';
  /** The project, group or organization that gives the role, by path. */
  readonly path: string;
  readonly role: Role;
  /** Date `yyyy-mm-dd` from which on (UTC) it counts for nothing; null: never. */
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

/** The facts that one decision needs: the project's own, and how the subject stands to it. */
export interface Project {
  readonly id: number;
  /** Full path in lower case. */
  readonly path: string;
  readonly rootNamespaceId: number;
  readonly organizationId: number;
  readonly visibility: Visibility;
  readonly registryAccess: RegistryAccess;
  /** The project itself, or the nearest group above it, that is archived. */
  readonly archivedBy: string | null;
  readonly deletionScheduled: boolean;
  /** The organization's path while it is in maintenance. */
  readonly maintainedOrganization: string | null;
  /** The root group's path while it is over its storage limit. */
  readonly overStorageLimit: string | null;
  /** A group above that forbids inviting groups to its projects. */
  readonly shareLockedBy: string | null;
  readonly ipAllowlists: readonly IpAllowlist[];
  readonly protectedRepositories: readonly RepositoryRule[];
  readonly protectedTags: readonly TagRule[];
  /** Every way in which the subject's user is a member; expired ones too. */
  readonly memberships: readonly Membership[];
  /** Whether the deploy token was made for this project or a group above it. */
  readonly ownDeployToken: boolean;
  /** Whether jobs of the subject's project are let in: by a list that names it, because there is no list, or not. */
  readonly jobAccess: 'listed' | 'anyone' | 'not_listed';
}

/** What is true of the whole installation. */
interface InstanceState {
  readonly registryEnabled: boolean;
  readonly maintenanceMode: boolean;
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

/** All that a decision about the projects that a request asks for rests on. */
export interface Facts {
  readonly instance: InstanceState;
  readonly projects: readonly Project[];
}
