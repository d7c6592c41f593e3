import type { DeployTokenRecord } from '../../../../authn/account.ts';
import type { Row, Sql } from '../../../database/drivers.ts';
import { DEPLOY_TOKEN_COLUMN, type DeployTokenRow, toDeployToken } from '../credentials.ts';

/** $1 the project, $2 the id before the first one, $3 the limit. */
const FIND_DEPLOY_TOKENS = `
  SELECT ${DEPLOY_TOKEN_COLUMN} AS deploy_token FROM deploy_tokens AS t
  WHERE t.id > $2 AND t.id IN (
    SELECT deploy_token_id FROM project_deploy_tokens WHERE project_id = $1
    UNION ALL SELECT link.deploy_token_id
    FROM projects AS p JOIN namespaces AS n ON n.id = p.namespace_id
    JOIN group_deploy_tokens AS link ON link.group_id = ANY (n.traversal_ids || n.id) WHERE p.id = $1)
  ORDER BY t.id LIMIT $3`;

/** The deploy tokens of a project and of the groups above it, by id. */
export async function findDeployTokens(
  sql: Sql,
  projectId: number,
  after: number,
  limit: number,
): Promise<readonly DeployTokenRecord[]> {
  const rows = await sql.query<Row & { readonly deploy_token: DeployTokenRow }>(FIND_DEPLOY_TOKENS, [
    ...[projectId, after, limit],
  ]);
  return rows.map(({ deploy_token }) => toDeployToken(deploy_token));
}
