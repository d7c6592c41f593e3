import type { IpAllowlist, Membership, Project } from '../../../policy/project.ts';
import type { Role } from '../../../policy/role.ts';

/** A group or personal namespace above the project, with the user's own role in it. */
interface NamespaceRow {
  readonly path: string;
  readonly archived: boolean;
  readonly overStorageLimit: boolean;
  readonly shareLocked: boolean;
  readonly ranges: readonly string[];
  readonly role?: Role | null;
  readonly expiresOn?: string | null;
}

type Unchanged =
  | 'id'
  | 'path'
  | 'rootNamespaceId'
  | 'organizationId'
  | 'visibility'
  | 'registryAccess'
  | 'deletionScheduled';

/**
 * One project in the answer to `projectFacts`. A column is missing where the statement did not ask
 * for its relation.
 */
export interface ProjectRow extends Pick<Project, Unchanged> {
  /** False: the decoy project. */
  readonly asked: boolean;
  readonly archived: boolean;
  readonly organization: string;
  readonly maintenance: boolean;
  readonly namespaces: readonly NamespaceRow[] | null;
  readonly protectedRepositories: Project['protectedRepositories'] | null;
  readonly protectedTags: Project['protectedTags'] | null;
  readonly member?: Pick<Membership, 'role' | 'expiresOn'> | null;
  readonly ownsNamespace?: boolean | null;
  readonly ownsOrganization?: boolean;
  readonly invited?: readonly Membership[] | null;
  readonly ownDeployToken?: boolean;
  readonly jobAccess?: Project['jobAccess'];
}

export function toProject(row: ProjectRow): Project {
  const { id, path, rootNamespaceId, organizationId, visibility, registryAccess, deletionScheduled } = row;
  // From the root down: the last group is the nearest.
  const above = (row.namespaces ?? []).toSorted((one, other) => one.path.length - other.path.length);
  const [root] = above;
  return {
    ...{ id, path, rootNamespaceId, organizationId, visibility, registryAccess, deletionScheduled },
    archivedBy: row.archived ? path : (above.findLast(({ archived }) => archived)?.path ?? null),
    maintainedOrganization: row.maintenance ? row.organization : null,
    overStorageLimit: root?.overStorageLimit === true ? root.path : null,
    shareLockedBy: above.find(({ shareLocked }) => shareLocked)?.path ?? null,
    ipAllowlists: above.flatMap(toIpAllowlist),
    protectedRepositories: row.protectedRepositories ?? [],
    protectedTags: row.protectedTags ?? [],
    memberships: [...ownMemberships(row, above), ...(row.invited ?? [])],
    ownDeployToken: row.ownDeployToken ?? false,
    jobAccess: row.jobAccess ?? 'not_listed',
  };
}

function toIpAllowlist({ path, ranges }: NamespaceRow): readonly IpAllowlist[] {
  return ranges.length === 0 ? [] : [{ group: path, ranges }];
}

function ownMemberships(row: ProjectRow, above: readonly NamespaceRow[]): readonly Membership[] {
  const memberships: Membership[] = [];
  const add = (via: Membership['via'], path: string, role: Role, expiresOn: string | null = null): void => {
    memberships.push({ via, path, role, expiresOn, invitation: null });
  };
  if (row.member) add('project', row.path, row.member.role, row.member.expiresOn);
  for (const { path, role, expiresOn } of above) if (role != null) add('group', path, role, expiresOn);
  const [namespace] = above;
  if (row.ownsNamespace === true && namespace !== undefined)
    add('personal_namespace', namespace.path, 'owner');
  if (row.ownsOrganization === true) add('organization', row.organization, 'owner');
  return memberships;
}
