import type { Row, Sql } from '../../database/drivers.ts';
import type { NearQuestion } from '../questions.ts';

/** $1 ids of tokens, $2 a group or null, $3 roles. */
const TARGET = `
  WITH target AS MATERIALIZED (
    SELECT group_id, namespace.traversal_ids, namespace.organization_id
    FROM (SELECT $2::bigint AS group_id) AS asked LEFT JOIN namespaces AS namespace ON namespace.id = asked.group_id)`;

const IN_GROUP = '(target.group_id IS NULL OR target.group_id = ANY (above.traversal_ids))';
/** The namespace is in the group, or above it. */
const NEAR_GROUP = `(${IN_GROUP} OR above.id = ANY (target.traversal_ids))`;

const membersOf = (type: 'Namespace' | 'Project'): string => `
  SELECT source_id AS id FROM members WHERE user_id = owner.id AND source_type = '${type}' AND role = ANY ($3::text[])`;
const invitedBy = (links: string, invited: string, inviting: string): string => `
  SELECT link.${inviting} AS id FROM members AS member JOIN ${links} AS link ON link.${invited} = member.source_id
  WHERE member.user_id = owner.id AND member.source_type = 'Namespace'
    AND member.role = ANY ($3::text[]) AND link.role = ANY ($3::text[])`;

/** By the memberships of each owner, which are few. */
const ACCESS_TOKENS = `${TARGET}
  SELECT token.id FROM access_tokens AS token JOIN users AS owner ON owner.id = token.user_id CROSS JOIN target
  WHERE token.id = ANY ($1::bigint[]) AND (
    owner.admin OR owner.auditor
    OR EXISTS (SELECT FROM organization_users AS owning WHERE owning.user_id = owner.id
      AND (target.group_id IS NULL OR owning.organization_id = target.organization_id))
    OR EXISTS (SELECT FROM namespaces AS above WHERE above.owner_id = owner.id AND ${NEAR_GROUP})
    OR EXISTS (
      SELECT FROM (${membersOf('Namespace')} UNION ALL ${invitedBy('group_group_links', 'shared_with_group_id', 'shared_group_id')}) AS place
      JOIN namespaces AS above ON above.id = place.id WHERE ${NEAR_GROUP})
    OR EXISTS (
      SELECT FROM (${membersOf('Project')} UNION ALL ${invitedBy('project_group_links', 'group_id', 'project_id')}) AS place
      JOIN projects AS project ON project.id = place.id
      JOIN namespaces AS above ON above.id = project.namespace_id WHERE ${IN_GROUP}))`;

/** Deploy tokens have no role, so all roles count. */
const DEPLOY_TOKENS = `${TARGET}
  SELECT token.id FROM deploy_tokens AS token CROSS JOIN target
  WHERE token.id = ANY ($1::bigint[]) AND $3::text[] IS NOT NULL AND (
    EXISTS (SELECT FROM namespaces AS above WHERE above.id = token.group_id AND ${NEAR_GROUP})
    OR EXISTS (
      SELECT FROM project_deploy_tokens AS link JOIN projects AS project ON project.id = link.project_id
      JOIN namespaces AS above ON above.id = project.namespace_id WHERE link.deploy_token_id = token.id AND ${IN_GROUP}))`;

/** Those of the tokens that may reach something in the group; the policy decides which do. */
export async function findTokensNear(
  sql: Sql,
  { table, ids, groupId, roles }: NearQuestion,
): Promise<ReadonlySet<number>> {
  const statement = table === 'access' ? ACCESS_TOKENS : DEPLOY_TOKENS;
  const rows = await sql.query<Row & { readonly id: number }>(statement, [[...ids], groupId, [...roles]]);
  return new Set(rows.map(({ id }) => id));
}
