import { idsOf, type SubjectIds } from '../../../authn/source.ts';
import type { Facts, Project, RepositoryRule, TagRule } from '../../../policy/project.ts';
import { MINIMUM_ROLES, type MinimumRole, ROLES } from '../../../policy/role.ts';
import type { Subject } from '../../../policy/subject.ts';
import type { Sql, Statement } from '../../database/drivers.ts';
import type { Versions } from '../current-versions.ts';
import { type ProjectRow, toProject } from './project-row.ts';
import { topLevel, versionsColumn } from './versions.ts';

/**
 * How a subject may stand to a project. Each costs time, so a statement asks only for those that
 * its subject can have.
 */
export type Relation = 'memberships' | 'deployToken' | 'job';

/** The members of a `NamespaceRow`. */
const NAMESPACE = `'path', source.path_key, 'archived', source.archived, 'overStorageLimit', source.over_storage_limit,
  'shareLocked', source.share_with_group_lock, 'ranges', source.ip_allowlist`;

/**
 * LIMIT 1 on a primary key changes no result. It fixes the order of the join: from these few groups
 * and their invitations to the member, never from all groups of a user. See docs/lookup-cost.md.
 */
const memberOf = (groupId: string): string => `LATERAL (
  SELECT role, expires_at FROM members
  WHERE user_id = asked.user_id AND source_type = 'Namespace' AND source_id = ${groupId} LIMIT 1) AS member`;

const invitation = (via: string, path: string): string => `
  SELECT '${via}' AS via, ${path} AS path, member.role, member.expires_at AS expires_on,
    json_build_object('group', invited.path_key, 'role', link.role, 'expiresOn', link.expires_at) AS invitation`;

const MEMBERSHIPS = `
  'ownsNamespace', namespace.owner_id = asked.user_id,
  'ownsOrganization', EXISTS (
    SELECT FROM organization_users AS owner
    WHERE owner.user_id = asked.user_id AND owner.organization_id = namespace.organization_id),
  'member', (
    SELECT json_build_object('role', role, 'expiresOn', expires_at) FROM members
    WHERE user_id = asked.user_id AND source_type = 'Project' AND source_id = project.id),
  'invited', (
    SELECT json_agg(json_build_object('via', via, 'path', path, 'role', role, 'expiresOn', expires_on, 'invitation', invitation))
    FROM (
      ${invitation('group_invited_to_group', 'shared.path_key')}
      FROM group_group_links AS link
      CROSS JOIN ${memberOf('link.shared_with_group_id')}
      JOIN namespaces AS shared ON shared.id = link.shared_group_id
      JOIN namespaces AS invited ON invited.id = link.shared_with_group_id
      WHERE link.shared_group_id = ANY (namespace.traversal_ids)
      UNION ALL
      ${invitation('group_invited_to_project', 'project.path_key')}
      FROM project_group_links AS link
      CROSS JOIN ${memberOf('link.group_id')}
      JOIN namespaces AS invited ON invited.id = link.group_id
      WHERE link.project_id = project.id
    ) AS membership)`;

const DEPLOY_TOKEN = `
  'ownDeployToken', EXISTS (
      SELECT FROM project_deploy_tokens WHERE deploy_token_id = asked.deploy_token_id AND project_id = project.id)
    OR EXISTS (SELECT FROM deploy_tokens WHERE id = asked.deploy_token_id AND group_id = ANY (namespace.traversal_ids))`;

const JOB = `
  'jobAccess', CASE
    WHEN project.job_token_open THEN 'anyone'
    WHEN EXISTS (SELECT FROM job_token_project_links WHERE project_id = project.id AND target_project_id = asked.job_project_id)
      OR EXISTS (
        SELECT FROM job_token_group_links AS link
        JOIN projects AS origin ON origin.id = asked.job_project_id
        JOIN namespaces AS origin_namespace ON origin_namespace.id = origin.namespace_id
        WHERE link.project_id = project.id AND link.target_group_id = ANY (origin_namespace.traversal_ids))
    THEN 'listed' ELSE 'not_listed' END`;

const RULE = `'pattern', pattern, 'minimumRoleForPush', minimum_role_for_push, 'minimumRoleForDelete', minimum_role_for_delete`;

/**
 * A join of `asked` (paths, user_id, deploy_token_id, job_project_id) with `found.projects`:
 * `ProjectRow`s as JSON, with everything that a decision needs, for any number of paths.
 *
 * Where none of the paths is a project, it reads a decoy project, which the reader drops, so that
 * the time of an answer does not tell a private project from a missing one.
 *
 * `asked` must end in OFFSET 0, which hides the parameters from the planner. The planner then
 * estimates the same with and without their values, and keeps one plan for a prepared statement;
 * otherwise it would plan each request anew, which takes longer than all else.
 */
export function projectFacts(relations: readonly Relation[]): string {
  const has = (relation: Relation): boolean => relations.includes(relation);
  const roles = has('memberships')
    ? {
        columns: `, 'role', member.role, 'expiresOn', member.expires_at`,
        join: `LEFT JOIN ${memberOf('source.id')} ON true`,
      }
    : { columns: '', join: '' };
  const columns = [
    `'id', project.id, 'path', project.path_key, 'asked', project.path_key = ANY (asked.paths),
      'rootNamespaceId', namespace.traversal_ids[1], 'organizationId', namespace.organization_id,
      'organization', organization.path, 'maintenance', organization.maintenance,
      'visibility', project.visibility, 'registryAccess', project.container_registry,
      'archived', project.archived, 'deletionScheduled', project.deletion_scheduled`,
    `'namespaces', (
      SELECT json_agg(json_build_object(${NAMESPACE}${roles.columns}))
      FROM namespaces AS source ${roles.join} WHERE source.id = ANY (namespace.traversal_ids))`,
    `'protectedRepositories', (
      SELECT json_agg(json_build_object(${RULE}) ORDER BY position) FROM protected_repositories WHERE project_id = project.id)`,
    `'protectedTags', (
      SELECT json_agg(json_build_object(${RULE}, 'immutable', immutable) ORDER BY position)
      FROM protected_tags WHERE project_id = project.id)`,
    ...(has('memberships') ? [MEMBERSHIPS] : []),
    ...(has('deployToken') ? [DEPLOY_TOKEN] : []),
    ...(has('job') ? [JOB] : []),
  ];
  return `
    LEFT JOIN LATERAL (
      SELECT json_agg(json_build_object(${columns.join(', ')})) AS projects
      FROM projects AS project
      JOIN namespaces AS namespace ON namespace.id = project.namespace_id
      JOIN organizations AS organization ON organization.id = namespace.organization_id
      WHERE project.id IN (
        SELECT id FROM projects WHERE path_key = ANY (asked.paths)
        UNION ALL
        (SELECT id FROM projects
          WHERE NOT EXISTS (SELECT FROM projects WHERE path_key = ANY (asked.paths)) AND cardinality(asked.paths) > 0
          ORDER BY id LIMIT 1))
    ) AS found ON true`;
}

/** The columns of a `FactsRow` without versions, from `settings`, `asked` and `found`. */
export const FACTS = `settings.registry_enabled, settings.maintenance_mode,
  asked.user_id, asked.deploy_token_id, asked.job_project_id, found.projects`;

/** The top-level groups of the asked projects, whether they exist or not. */
export const ASKED_GROUPS = topLevel('SELECT unnest(asked.paths)');

const factsAbout = (name: string, ids: string, relations: readonly Relation[]): Statement => ({
  name,
  isHot: true,
  text: `
    SELECT ${FACTS}, ${versionsColumn({ groups: ASKED_GROUPS })}
    FROM settings CROSS JOIN (SELECT $1::text[] AS paths, ${ids} OFFSET 0) AS asked ${projectFacts(relations)}`,
});

const FIND_FACTS = factsAbout(
  'find-facts',
  '$2::bigint AS user_id, $3::bigint AS deploy_token_id, $4::bigint AS job_project_id',
  ['memberships', 'deployToken', 'job'],
);
const FIND_PUBLIC_FACTS = factsAbout(
  'find-public-facts',
  'NULL::bigint AS user_id, NULL::bigint AS deploy_token_id, NULL::bigint AS job_project_id',
  [],
);

export interface FactsRow {
  readonly registry_enabled: boolean;
  readonly maintenance_mode: boolean;
  readonly versions: Versions;
  readonly user_id: number | null;
  readonly deploy_token_id: number | null;
  readonly job_project_id: number | null;
  readonly projects: readonly ProjectRow[] | null;
  readonly [column: string]: unknown;
}

/** Facts, and whom they are about. */
export interface AnsweredFacts {
  readonly facts: Facts;
  readonly about: SubjectIds;
  /** Of what the facts rest on, at that moment. */
  readonly versions: Versions;
}

/** The projects among `paths` (lower case), with how the subject stands to each. One round trip. */
export async function findFacts(
  sql: Sql,
  subject: Subject,
  paths: readonly string[],
): Promise<AnsweredFacts> {
  const { userId, deployTokenId, jobProjectId } = idsOf(subject);
  const [row] =
    subject.kind === 'anonymous'
      ? await sql.query<FactsRow>(FIND_PUBLIC_FACTS, [[...paths]])
      : await sql.query<FactsRow>(FIND_FACTS, [[...paths], userId, deployTokenId, jobProjectId]);
  return toAnsweredFacts(row);
}

const FIND_FACTS_ASIDE = { name: 'find-facts-aside', text: FIND_FACTS.text };

/**
 * The same facts, for an administrator: past the connections of token requests, which would wait
 * behind many projects.
 */
export async function findFactsAside(sql: Sql, subject: Subject, paths: readonly string[]): Promise<Facts> {
  const { userId, deployTokenId, jobProjectId } = idsOf(subject);
  const ids = [userId, deployTokenId, jobProjectId];
  const [row] = await sql.query<FactsRow>(FIND_FACTS_ASIDE, [[...paths], ...ids]);
  return toAnsweredFacts(row).facts;
}

/** One row for each subject, from the same parts as the statements of token requests. */
const FIND_FACTS_OF_EACH = {
  name: 'find-facts-of-each',
  text: `
    SELECT ${FACTS}, '{}'::jsonb AS versions
    FROM settings
    CROSS JOIN unnest($2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS each (user_id, deploy_token_id, job_project_id, position)
    CROSS JOIN LATERAL (
      SELECT $1::text[] AS paths, each.user_id, each.deploy_token_id, each.job_project_id OFFSET 0) AS asked
    ${projectFacts(['memberships', 'deployToken', 'job'])}
    ORDER BY each.position`,
};

/** The facts about each of several subjects, in their order. One round trip. */
export async function findFactsOfEach(
  sql: Sql,
  subjects: readonly SubjectIds[],
  paths: readonly string[],
): Promise<readonly Facts[]> {
  const column = (name: keyof SubjectIds): readonly (number | null)[] => subjects.map((one) => one[name]);
  const ids = [column('userId'), column('deployTokenId'), column('jobProjectId')];
  const rows = await sql.query<FactsRow>(FIND_FACTS_OF_EACH, [[...paths], ...ids]);
  return rows.map((row) => toAnsweredFacts(row).facts);
}

export function toAnsweredFacts(row: FactsRow | undefined): AnsweredFacts {
  if (row === undefined) throw new Error('the settings row is missing: the database was not migrated');
  const { versions, user_id, deploy_token_id, job_project_id } = row;
  return {
    versions,
    about: { userId: user_id, deployTokenId: deploy_token_id, jobProjectId: job_project_id },
    facts: {
      instance: { registryEnabled: row.registry_enabled, maintenanceMode: row.maintenance_mode },
      // Map the decoy project too, then drop it, so that timing does not reveal a private project.
      projects: (row.projects ?? [])
        .map((project) => ({ isAsked: project.asked, project: withKnownRoles(toProject(project)) }))
        .filter(({ isAsked }) => isAsked)
        .map(({ project }) => project),
    },
  };
}

const KNOWN_ROLES: ReadonlySet<string> = new Set(ROLES);
const KNOWN_MINIMUMS: ReadonlySet<string> = new Set(MINIMUM_ROLES);

/**
 * While two versions run, the later one may store a role that this one does not know: as a
 * membership it gives nothing, as the minimum of a rule it needs an admin.
 */
function withKnownRoles(project: Project): Project {
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
