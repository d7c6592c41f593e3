import type { Membership, Project, RepositoryRule, TagRule } from '../../../policy/project.ts';
import { type MinimumRole, type RegistryAccess, roleOfLevel, type Visibility } from '../../../policy/role.ts';
import { type JobLinks, jobLinks } from './job-links.ts';
import { featureIsOn, type SettingsRow } from './settings.ts';
import type { Shape } from './shape.ts';
import { columnOr } from './statement.ts';

/** Whom the facts are about: expressions for ids. */
export interface About {
  readonly userId: string;
  readonly deployTokenId: string;
  readonly jobProjectId: string;
}

type RuleRow = readonly [pattern: string, push: number | null, remove: number | null];

export interface ProjectRow {
  readonly id: number;
  /** As it is written. */
  readonly path: string;
  readonly asked: boolean;
  readonly root: number;
  readonly root_path: string | null;
  readonly organization: number | null;
  readonly organization_path: string | null;
  readonly maintenance: boolean;
  readonly visibility: number | null;
  readonly registry: number | null;
  readonly level: number | null;
  readonly organization_owner: boolean;
  readonly banned: boolean;
  readonly archived: boolean;
  readonly archived_group: string | null;
  readonly deletion_scheduled: boolean;
  readonly ranges: readonly string[] | null;
  readonly own_deploy_token: boolean;
  readonly repository_rules: readonly RuleRow[] | null;
  /** The columns of the rules are those of before 17.0. */
  readonly tag_rules: readonly RuleRow[] | null;
  /** Only projects of the job token allowlist get in. */
  readonly inbound_limited: boolean | null;
  /** Null where CI's tables are in another database. */
  readonly links: JobLinks | null;
  /** The rests of the paths of the images that GitLab lists, of those that were asked for. */
  readonly images: readonly string[] | null;
}

/** `namespaces.state`. */
const ARCHIVED = 1;
const DELETION_SCHEDULED = 2;
const DELETION_IN_PROGRESS = 4;
/** `organizations.state`. */
const MAINTENANCE = '(5, 6)';
/** `organization_users.access_level`. */
export const OWNER = 50;

/**
 * A relation `found` with one column `projects`: `ProjectRow`s as JSON, for each path that is a
 * project. Where none is, it has one other project, which the reader drops, so that the time of an
 * answer does not tell a private project from a missing one.
 */
export function projectsRelation(
  shape: Shape,
  {
    about,
    hasJob,
    ciIsHere,
  }: { readonly about: About; readonly hasJob: boolean; readonly ciIsHere: boolean },
): string {
  const project = columnOr(shape, 'projects', 'p');
  const organization = project('organization_id', 'NULL::bigint');
  const fields: Readonly<Record<keyof ProjectRow, string>> = {
    id: 'p.id',
    path: 'route.path',
    asked: 'lower(route.path) = ANY (asked.paths)',
    root: 'chain.ids[1]',
    root_path: "(SELECT path FROM routes WHERE source_type = 'Namespace' AND source_id = chain.ids[1])",
    organization,
    organization_path: shape.hasTable('organizations') ? 'organization.path' : 'NULL',
    maintenance: maintenance(shape),
    visibility: 'p.visibility_level',
    registry:
      '(SELECT container_registry_access_level FROM project_features WHERE project_id = p.id LIMIT 1)',
    level: `(SELECT max(access_level) FROM project_authorizations WHERE user_id = ${about.userId} AND project_id = p.id)`,
    organization_owner: shape.hasTable('organization_users')
      ? `EXISTS (SELECT FROM organization_users AS o WHERE o.organization_id = ${organization}
          AND o.user_id = ${about.userId} AND o.access_level = ${OWNER})`
      : 'false',
    banned: shape.hasTable('namespace_bans')
      ? `EXISTS (SELECT FROM namespace_bans WHERE namespace_id = chain.ids[1] AND user_id = ${about.userId})`
      : 'false',
    archived: `p.archived OR ${isArchived(shape, `= ${project('project_namespace_id', 'NULL::bigint')}`)}`,
    archived_group: archivedGroup(shape),
    deletion_scheduled: deletionScheduled(shape),
    ranges: shape.hasTable('ip_restrictions')
      ? '(SELECT json_agg(range) FROM ip_restrictions WHERE group_id = chain.ids[1])'
      : 'NULL',
    own_deploy_token: `EXISTS (SELECT FROM project_deploy_tokens AS own
        WHERE own.project_id = p.id AND own.deploy_token_id = ${about.deployTokenId})
      OR EXISTS (SELECT FROM group_deploy_tokens AS own
        WHERE own.group_id = ANY (chain.ids) AND own.deploy_token_id = ${about.deployTokenId})`,
    repository_rules: repositoryRules(shape),
    tag_rules: tagRules(shape),
    inbound_limited: hasJob ? inboundLimited(shape) : 'NULL',
    images: shape.hasTable('container_repositories')
      ? `(SELECT coalesce(json_agg(image.name), '[]'::json) FROM container_repositories AS image
          WHERE image.project_id = p.id AND image.name = ANY (
            SELECT ltrim(substr(one, length(route.path) + 1), '/') FROM unnest(asked.paths) AS one
            WHERE one = lower(route.path) OR starts_with(one, lower(route.path) || '/')))`
      : 'NULL',
    links: hasJob && ciIsHere ? linksColumn(shape, about.jobProjectId) : 'NULL',
  };
  const members = Object.entries(fields).map(([name, value]) => `'${name}', ${value}`);
  const joinOrganization = shape.hasTable('organizations')
    ? `LEFT JOIN organizations AS organization ON organization.id = ${organization}`
    : '';
  return `
    LEFT JOIN LATERAL (
      SELECT json_agg(json_build_object(${members.join(', ')})) AS projects
      FROM (
        (SELECT routes.path, routes.source_id FROM routes
          WHERE routes.source_type = 'Project' AND lower(routes.path) = ANY (asked.paths) LIMIT 1000)
        UNION ALL
        (SELECT routes.path, routes.source_id FROM routes
          WHERE routes.source_type = 'Project'
            AND routes.source_id = (SELECT id FROM projects ORDER BY id LIMIT 1)
            AND NOT EXISTS (SELECT FROM routes AS known
              WHERE known.source_type = 'Project' AND lower(known.path) = ANY (asked.paths))
          LIMIT 1)
      ) AS route
      JOIN projects AS p ON p.id = route.source_id
      JOIN namespaces AS n ON n.id = p.namespace_id
      CROSS JOIN LATERAL (
        SELECT CASE WHEN cardinality(n.traversal_ids) = 0 THEN ARRAY[n.id] ELSE n.traversal_ids END AS ids) AS chain
      ${joinOrganization}
    ) AS found ON true`;
}

function maintenance(shape: Shape): string {
  if (!shape.hasTable('organizations') || !shape.has('organizations', 'state')) return 'false';
  return `organization.state IN ${MAINTENANCE} AND ${featureIsOn(shape, 'organization_maintenance_enforcement')}`;
}

/**
 * In versions of GitLab the state is in one or the other of these. The settings are looked up one by
 * one, because a join would read them all.
 */
function archiveStates(shape: Shape): readonly string[] {
  const inSettings = shape.hasTable('namespace_settings') && shape.has('namespace_settings', 'archived');
  return [
    ...(shape.has('namespaces', 'state') ? [`coalesce(a.state, 0) = ${ARCHIVED}`] : []),
    ...(inSettings ? ['(SELECT s.archived FROM namespace_settings AS s WHERE s.namespace_id = a.id)'] : []),
  ];
}

function isArchived(shape: Shape, condition: string): string {
  const states = archiveStates(shape);
  if (states.length === 0) return 'false';
  return `EXISTS (SELECT FROM namespaces AS a WHERE a.id ${condition} AND (${states.join(' OR ')}))`;
}

/** The path of the nearest archived group. */
function archivedGroup(shape: Shape): string {
  const states = archiveStates(shape);
  if (states.length === 0) return 'NULL';
  const path = `(SELECT path FROM routes WHERE source_type = 'Namespace' AND source_id = a.id)`;
  return `(SELECT coalesce(${path}, a.id::text) FROM namespaces AS a
    WHERE a.id = ANY (chain.ids) AND (${states.join(' OR ')})
    ORDER BY cardinality(a.traversal_ids) DESC LIMIT 1)`;
}

function deletionScheduled(shape: Shape): string {
  const project = columnOr(shape, 'projects', 'p');
  const ids = `chain.ids || ${project('project_namespace_id', 'NULL::bigint')}`;
  return [
    `${project('marked_for_deletion_at', 'NULL::date')} IS NOT NULL`,
    `${project('pending_delete', 'false')} IS TRUE`,
    ...(shape.has('namespaces', 'state')
      ? [
          `EXISTS (SELECT FROM namespaces AS a WHERE a.id = ANY (${ids}) AND a.state IN (${DELETION_SCHEDULED}, ${DELETION_IN_PROGRESS}))`,
        ]
      : []),
    ...(shape.hasTable('group_deletion_schedules')
      ? ['EXISTS (SELECT FROM group_deletion_schedules AS d WHERE d.group_id = ANY (chain.ids))']
      : []),
  ].join(' OR ');
}

/**
 * Before 17.0 the columns named the highest role that is kept out: its next one is the minimum.
 */
function repositoryRules(shape: Shape): string {
  const table = 'container_registry_protection_rules';
  if (!shape.hasTable(table)) return 'NULL';
  const level = (action: string): string => {
    if (shape.has(table, `minimum_access_level_for_${action}`)) return `r.minimum_access_level_for_${action}`;
    const old = `${action}_protected_up_to_access_level`;
    return shape.has(table, old) ? `r.${old} + 10` : 'NULL';
  };
  return `(SELECT json_agg(json_build_array(r.repository_path_pattern, ${level('push')}, ${level('delete')}) ORDER BY ${columnOr(shape, table, 'r')('id', 'r.repository_path_pattern')})
    FROM ${table} AS r WHERE r.project_id = p.id)`;
}

function tagRules(shape: Shape): string {
  const table = 'container_registry_protection_tag_rules';
  if (!shape.hasTable(table)) return 'NULL';
  const column = columnOr(shape, table, 'r');
  return `(SELECT json_agg(json_build_array(r.tag_name_pattern, ${column('minimum_access_level_for_push', 'NULL')},
      ${column('minimum_access_level_for_delete', 'NULL')}) ORDER BY ${column('id', 'r.tag_name_pattern')})
    FROM ${table} AS r WHERE r.project_id = p.id)`;
}

/** Whether only jobs of the allowlist get into the project `p`; needs `setting`, too. */
export function inboundLimited(shape: Shape): string {
  if (!shape.has('project_ci_cd_settings', 'inbound_job_token_scope_enabled')) return 'true';
  return `setting.enforce_allowlist IS NOT FALSE OR coalesce(
    (SELECT inbound_job_token_scope_enabled FROM project_ci_cd_settings WHERE project_id = p.id LIMIT 1), true)`;
}

function linksColumn(shape: Shape, jobProjectId: string): string {
  const { listed, reachable } = jobLinks(shape, {
    projectId: 'p.id',
    jobProjectId,
    joinAbove: `JOIN projects AS origin ON origin.id = ${jobProjectId} JOIN namespaces AS above ON above.id = origin.namespace_id`,
  });
  return `json_build_object('listed', ${listed}, 'reachable', ${reachable})`;
}

/** What a row means depends on these. */
export interface ProjectReading {
  readonly settings: SettingsRow;
  readonly isEnterprise: boolean;
  /** The job's project wants to reach only the projects that it lists. */
  readonly outboundLimited: boolean;
  /** By project; for a GitLab whose CI tables are in another database. */
  readonly links: ReadonlyMap<number, JobLinks>;
}

/** The projects that were asked for; of two paths that differ in case, the one in lower case. */
export function toProjects(rows: readonly ProjectRow[], reading: ProjectReading): readonly Project[] {
  const byPath = new Map<string, { readonly row: ProjectRow; readonly project: Project }>();
  for (const row of rows) {
    // Map the decoy, too, and drop it then, so that timing does not reveal a private project.
    const project = toProject(row, reading);
    if (!row.asked) continue;
    const other = byPath.get(project.path)?.row;
    if (other === undefined || isBefore(row, other, project.path)) byPath.set(project.path, { row, project });
  }
  return [...byPath.values()].map(({ project }) => project);
}

function isBefore(row: ProjectRow, other: ProjectRow, path: string): boolean {
  const [isExact, otherIsExact] = [row.path === path, other.path === path];
  return isExact === otherIsExact ? row.id < other.id : isExact;
}

/** `projects.visibility_level`. */
export const VISIBILITY: Readonly<Record<number, Visibility>> = {
  0: 'private',
  10: 'internal',
  20: 'public',
};
const REGISTRY: Readonly<Record<number, RegistryAccess>> = {
  0: 'disabled',
  10: 'private',
  20: 'enabled',
  30: 'enabled',
};
/** A GitLab of before organizations has one, with this id. */
const DEFAULT_ORGANIZATION = 1;

function toProject(row: ProjectRow, reading: ProjectReading): Project {
  const path = row.path.toLowerCase();
  const [rootOfPath = ''] = path.split('/');
  const root = row.root_path?.toLowerCase() ?? rootOfPath;
  const { isEnterprise } = reading;
  return {
    id: row.id,
    path,
    rootNamespaceId: row.root,
    organizationId: row.organization ?? DEFAULT_ORGANIZATION,
    visibility: VISIBILITY[row.visibility ?? 0] ?? 'private',
    registryAccess: REGISTRY[row.registry ?? 0] ?? 'disabled',
    archivedBy: row.archived ? path : (row.archived_group?.toLowerCase() ?? null),
    deletionScheduled: row.deletion_scheduled,
    maintainedOrganization: row.maintenance ? (row.organization_path ?? '') : null,
    ...(isEnterprise && row.banned && { bannedFrom: root }),
    overStorageLimit: null,
    shareLockedBy: null,
    ipAllowlists: isEnterprise ? ipAllowlists(row, root, reading.settings) : [],
    protectedRepositories: (row.repository_rules ?? []).map(toRepositoryRule),
    protectedTags: (row.tag_rules ?? []).filter((rule) => isEnterprise || !isImmutable(rule)).map(toTagRule),
    memberships: memberships(row, path),
    ownDeployToken: row.own_deploy_token,
    jobAccess: jobAccess(row, reading),
    ...(row.images !== null && {
      knownRepositories: row.images.map((name) => (name === '' ? path : `${path}/${name}`)),
    }),
  };
}

/** Rails looks at the root group's ranges alone. */
function ipAllowlists(row: ProjectRow, group: string, { allowed_ips }: SettingsRow): Project['ipAllowlists'] {
  if (row.ranges === null || row.ranges.length === 0) return [];
  const everywhere = (allowed_ips ?? '').split(/[\s,]+/).filter((range) => range !== '');
  return [{ group, ranges: [...row.ranges, ...everywhere] }];
}

function memberships(row: ProjectRow, path: string): readonly Membership[] {
  const role = row.level === null ? undefined : roleOfLevel(row.level);
  const common = { expiresOn: null, invitation: null } as const;
  return [
    ...(role === undefined ? [] : [{ via: 'project_authorization', path, role, ...common } as const]),
    ...(row.organization_owner
      ? [{ via: 'organization', path: row.organization_path ?? '', role: 'owner', ...common } as const]
      : []),
  ];
}

/** A minimum that a later GitLab invents needs an admin. */
function toMinimum(level: number | null): MinimumRole | null {
  if (level === null) return null;
  return roleOfLevel(level) ?? 'admin';
}

function toRepositoryRule([pattern, push, remove]: RuleRow): RepositoryRule {
  return { pattern, minimumRoleForPush: toMinimum(push), minimumRoleForDelete: toMinimum(remove) };
}

/** Both minimums are set, or the tags are immutable. */
function isImmutable([, push, remove]: RuleRow): boolean {
  return push === null && remove === null;
}

function toTagRule(row: RuleRow): TagRule {
  return { ...toRepositoryRule(row), immutable: isImmutable(row) };
}

function jobAccess(row: ProjectRow, { outboundLimited, links }: ProjectReading): Project['jobAccess'] {
  const { listed, reachable } = row.links ?? links.get(row.id) ?? { listed: false, reachable: false };
  const isPrivate = (row.visibility ?? 0) === 0;
  if (outboundLimited && isPrivate && !reachable) return 'not_listed';
  if (row.inbound_limited === false) return 'anyone';
  return listed ? 'listed' : 'not_listed';
}
