import type { InstanceState, Project, RepositoryRule, TagRule } from '../policy/project.ts';
import { MINIMUM_ROLES, type MinimumRole, ROLES } from '../policy/role.ts';
import { personOf, type Subject } from '../policy/subject.ts';
import type { Sql } from './drivers.ts';

export interface Facts {
  readonly instance: InstanceState;
  readonly projects: readonly Project[];
}

/**
 * Everything that a decision needs, in one round trip whatever the number of paths: one row, with the projects as JSON whose keys are `Project`'s.
 * $1 paths in lower case, $2 the user, $3 the deploy token, $4 the job's own project.
 *
 * Where none of the paths is a project, one that has nothing to do with them is looked at in its place and left out by the reader, so that
 * the time of an answer doesn't tell a private project from none.
 *
 * OFFSET 0 hides the parameters from the planner. It then guesses the same whether it knows them or not, and so keeps one plan for a
 * prepared statement; otherwise it would plan each request anew, which takes longer than all the rest.
 * LIMIT 1 on a primary key takes nothing away. It keeps the order of the join: from these few groups and their invitations to the
 * member, never from all groups of a user. See docs/lookup-cost.md.
 */
const FIND_FACTS = {
  name: 'find-facts',
  text: `
    SELECT settings.registry_enabled, settings.maintenance_mode, coalesce(found.projects, '[]'::jsonb) AS projects
    FROM settings
    CROSS JOIN (SELECT $1::text[] AS paths, $2::bigint AS user_id, $3::bigint AS deploy_token_id, $4::bigint AS job_project_id OFFSET 0) AS asked
    LEFT JOIN LATERAL (
      SELECT jsonb_agg(jsonb_build_object(
        'id', project.id, 'path', project.path_key, 'asked', project.path_key = ANY (asked.paths),
        'rootNamespaceId', namespace.traversal_ids[1], 'organizationId', namespace.organization_id,
        'visibility', project.visibility, 'registryAccess', project.container_registry,
        'archivedBy', CASE WHEN project.archived THEN project.path_key ELSE above.archived_by END,
        'deletionScheduled', project.deletion_scheduled,
        'maintainedOrganization', (SELECT path FROM organizations WHERE id = namespace.organization_id AND maintenance),
        'overStorageLimit', above.over_storage_limit,
        'shareLockedBy', above.share_locked_by,
        'ipAllowlists', coalesce(above.ip_allowlists, '[]'::jsonb),
        'protectedRepositories', (
          SELECT coalesce(jsonb_agg(jsonb_build_object('pattern', pattern, 'minimumRoleForPush', minimum_role_for_push,
            'minimumRoleForDelete', minimum_role_for_delete) ORDER BY position), '[]'::jsonb)
          FROM protected_repositories WHERE project_id = project.id),
        'protectedTags', (
          SELECT coalesce(jsonb_agg(jsonb_build_object('pattern', pattern, 'minimumRoleForPush', minimum_role_for_push,
            'minimumRoleForDelete', minimum_role_for_delete, 'immutable', immutable) ORDER BY position), '[]'::jsonb)
          FROM protected_tags WHERE project_id = project.id),
        'memberships', (
          SELECT coalesce(jsonb_agg(jsonb_build_object('via', via, 'path', path, 'role', role, 'expiresOn', expires_on,
            'invitation', invitation)), '[]'::jsonb)
          FROM (
            SELECT 'project' AS via, project.path_key AS path, member.role, member.expires_at AS expires_on, NULL::jsonb AS invitation
            FROM members AS member
            WHERE member.user_id = asked.user_id AND member.source_type = 'Project' AND member.source_id = project.id
            UNION ALL
            SELECT 'group', source.path_key, member.role, member.expires_at, NULL
            FROM namespaces AS source
            CROSS JOIN LATERAL (
              SELECT role, expires_at FROM members
              WHERE user_id = asked.user_id AND source_type = 'Namespace' AND source_id = source.id LIMIT 1
            ) AS member
            WHERE source.id = ANY (namespace.traversal_ids)
            UNION ALL
            SELECT 'personal_namespace', namespace.path_key, 'owner', NULL, NULL WHERE namespace.owner_id = asked.user_id
            UNION ALL
            SELECT 'organization', organization.path, 'owner', NULL, NULL
            FROM organization_users AS owner JOIN organizations AS organization ON organization.id = owner.organization_id
            WHERE owner.user_id = asked.user_id AND owner.organization_id = namespace.organization_id
            UNION ALL
            SELECT 'group_invited_to_group', shared.path_key, member.role, member.expires_at,
              jsonb_build_object('group', invited.path_key, 'role', link.role, 'expiresOn', link.expires_at)
            FROM group_group_links AS link
            CROSS JOIN LATERAL (
              SELECT role, expires_at FROM members
              WHERE user_id = asked.user_id AND source_type = 'Namespace' AND source_id = link.shared_with_group_id LIMIT 1
            ) AS member
            JOIN namespaces AS shared ON shared.id = link.shared_group_id
            JOIN namespaces AS invited ON invited.id = link.shared_with_group_id
            WHERE link.shared_group_id = ANY (namespace.traversal_ids)
            UNION ALL
            SELECT 'group_invited_to_project', project.path_key, member.role, member.expires_at,
              jsonb_build_object('group', invited.path_key, 'role', link.role, 'expiresOn', link.expires_at)
            FROM project_group_links AS link
            CROSS JOIN LATERAL (
              SELECT role, expires_at FROM members
              WHERE user_id = asked.user_id AND source_type = 'Namespace' AND source_id = link.group_id LIMIT 1
            ) AS member
            JOIN namespaces AS invited ON invited.id = link.group_id
            WHERE link.project_id = project.id
          ) AS membership),
        'ownDeployToken', EXISTS (
            SELECT FROM project_deploy_tokens WHERE deploy_token_id = asked.deploy_token_id AND project_id = project.id)
          OR EXISTS (SELECT FROM deploy_tokens WHERE id = asked.deploy_token_id AND group_id = ANY (namespace.traversal_ids)),
        'jobAccess', CASE
          WHEN project.job_token_open THEN 'anyone'
          WHEN EXISTS (SELECT FROM job_token_project_links WHERE project_id = project.id AND target_project_id = asked.job_project_id)
            OR EXISTS (
              SELECT FROM job_token_group_links AS link
              JOIN projects AS origin ON origin.id = asked.job_project_id
              JOIN namespaces AS origin_namespace ON origin_namespace.id = origin.namespace_id
              WHERE link.project_id = project.id AND link.target_group_id = ANY (origin_namespace.traversal_ids))
          THEN 'listed' ELSE 'not_listed' END
      )) AS projects
      FROM projects AS project
      JOIN namespaces AS namespace ON namespace.id = project.namespace_id
      CROSS JOIN LATERAL (
        SELECT
          (array_agg(path_key ORDER BY length(path_key) DESC) FILTER (WHERE archived))[1] AS archived_by,
          (array_agg(path_key) FILTER (WHERE over_storage_limit AND parent_id IS NULL))[1] AS over_storage_limit,
          (array_agg(path_key ORDER BY length(path_key)) FILTER (WHERE share_with_group_lock))[1] AS share_locked_by,
          jsonb_agg(jsonb_build_object('group', path_key, 'ranges', ip_allowlist) ORDER BY length(path_key))
            FILTER (WHERE ip_allowlist <> '{}') AS ip_allowlists
        FROM namespaces WHERE id = ANY (namespace.traversal_ids)
      ) AS above
      WHERE project.id IN (
        SELECT id FROM projects WHERE path_key = ANY (asked.paths)
        UNION ALL
        (SELECT id FROM projects
          WHERE NOT EXISTS (SELECT FROM projects WHERE path_key = ANY (asked.paths)) AND cardinality(asked.paths) > 0
          ORDER BY id LIMIT 1))
    ) AS found ON true`,
};

interface FactsRow {
  readonly registry_enabled: boolean;
  readonly maintenance_mode: boolean;
  readonly projects: readonly (Project & { readonly asked: boolean })[];
  readonly [column: string]: unknown;
}

/** The projects among `paths` (lower case), with how the subject stands to each. */
export async function findFacts(sql: Sql, subject: Subject, paths: readonly string[]): Promise<Facts> {
  const [row] = await sql.query<FactsRow>(FIND_FACTS, [
    [...paths],
    personOf(subject)?.id ?? null,
    subject.kind === 'deploy_token' ? subject.deployTokenId : null,
    subject.kind === 'job' ? subject.projectId : null,
  ]);
  if (row === undefined) throw new Error('the settings row is missing: the database was not migrated');
  return {
    instance: { registryEnabled: row.registry_enabled, maintenanceMode: row.maintenance_mode },
    projects: row.projects
      .filter(({ asked }) => asked)
      .map(({ asked: _, ...project }) => inKnownWords(project)),
  };
}

const KNOWN_ROLES: ReadonlySet<string> = new Set(ROLES);
const KNOWN_MINIMUMS: ReadonlySet<string> = new Set(MINIMUM_ROLES);

/** A role that a later version has stored, while both run, gives nothing here; as a rule's minimum it asks for the most. */
function inKnownWords(project: Project): Project {
  const inKnown = <R extends RepositoryRule | TagRule>(rule: R): R => ({
    ...rule,
    minimumRoleForPush: knownMinimum(rule.minimumRoleForPush),
    minimumRoleForDelete: knownMinimum(rule.minimumRoleForDelete),
  });
  return {
    ...project,
    memberships: project.memberships.filter(
      ({ role, invitation }) =>
        KNOWN_ROLES.has(role) && (invitation === null || KNOWN_ROLES.has(invitation.role)),
    ),
    protectedRepositories: project.protectedRepositories.map(inKnown),
    protectedTags: project.protectedTags.map(inKnown),
  };
}

function knownMinimum(minimum: MinimumRole | null): MinimumRole | null {
  return minimum === null || KNOWN_MINIMUMS.has(minimum) ? minimum : 'admin';
}
