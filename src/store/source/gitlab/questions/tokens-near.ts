import { levelOfRole } from '../../../../policy/role.ts';
import type { Row, Sql } from '../../../database/drivers.ts';
import type { NearQuestion } from '../../questions.ts';
import { OWNER } from '../projects.ts';
import type { Shape } from '../shape.ts';

/** $1 ids of tokens, $2 a group or null, $3 levels. */
const TARGET = `
  WITH target AS MATERIALIZED (
    SELECT asked.group_id, n.traversal_ids || n.id AS above
    FROM (SELECT $2::bigint AS group_id) AS asked LEFT JOIN namespaces AS n ON n.id = asked.group_id)`;

/** The namespace `n` is in the group. */
const IN_GROUP = '(target.group_id IS NULL OR target.group_id = ANY (n.traversal_ids || n.id))';

/** Roles are on projects, so nothing has to be found out about groups above. */
function accessTokensText(shape: Shape, isEnterprise: boolean): string {
  // An owner of an organization may own the group: the policy decides.
  const ownsOrganization = shape.hasTable('organization_users')
    ? `OR EXISTS (SELECT FROM organization_users AS owning WHERE owning.user_id = owner.id AND owning.access_level = ${OWNER})`
    : '';
  const isAuditor = isEnterprise && shape.has('users', 'auditor') ? 'OR owner.auditor' : '';
  return `${TARGET}
    SELECT t.id FROM personal_access_tokens AS t JOIN users AS owner ON owner.id = t.user_id CROSS JOIN target
    WHERE t.id = ANY ($1::bigint[]) AND (
      owner.admin ${isAuditor} ${ownsOrganization}
      OR EXISTS (
        SELECT FROM project_authorizations AS own JOIN projects AS p ON p.id = own.project_id
        JOIN namespaces AS n ON n.id = p.namespace_id
        WHERE own.user_id = owner.id AND own.access_level = ANY ($3::integer[]) AND ${IN_GROUP}))`;
}

/** Deploy tokens have no role, so all levels count. */
const DEPLOY_TOKENS = `${TARGET}
  SELECT t.id FROM deploy_tokens AS t CROSS JOIN target
  WHERE t.id = ANY ($1::bigint[]) AND $3::integer[] IS NOT NULL AND (
    EXISTS (SELECT FROM group_deploy_tokens AS link JOIN namespaces AS n ON n.id = link.group_id
      WHERE link.deploy_token_id = t.id AND (${IN_GROUP} OR link.group_id = ANY (target.above)))
    OR EXISTS (SELECT FROM project_deploy_tokens AS link JOIN projects AS p ON p.id = link.project_id
      JOIN namespaces AS n ON n.id = p.namespace_id WHERE link.deploy_token_id = t.id AND ${IN_GROUP}))`;

/** Those of the tokens that may reach something in the group; the policy decides which do. */
export async function findTokensNear(
  sql: Sql,
  { shape, isEnterprise }: { readonly shape: Shape; readonly isEnterprise: boolean },
  { table, ids, groupId, roles }: NearQuestion,
): Promise<ReadonlySet<number>> {
  const text = table === 'access' ? accessTokensText(shape, isEnterprise) : DEPLOY_TOKENS;
  const values = [[...ids], groupId, roles.map(levelOfRole)];
  const rows = await sql.query<Row & { readonly id: number }>(text, values);
  return new Set(rows.map(({ id }) => id));
}
