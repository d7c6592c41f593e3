import { levelOfRole } from '../../../../policy/role.ts';
import type { Row, Sql } from '../../../database/drivers.ts';
import type { Reachable, ReachQuestion } from '../../questions.ts';
import { OWNER, VISIBILITY } from '../projects.ts';
import type { Shape } from '../shape.ts';

/** How many routes one statement looks at: a few dozen milliseconds. */
const WINDOW = 4000;
/** Up to so many projects of a group are sorted for each page; a larger one is looked at by routes. */
const SMALL_GROUP = 10_000;

/** The namespaces `n` below the group $8, itself included. */
const BELOW = '(n.traversal_ids @> ARRAY[$8::bigint] OR n.id = $8)';

/** All projects and groups, by an index on their paths. */
const ALL_ROUTES = `
  SELECT lower(path) AS path, CASE WHEN source_type = 'Project' THEN source_id END AS project_id
  FROM routes WHERE lower(path) > $1 ORDER BY lower(path) FETCH FIRST ${WINDOW} ROWS WITH TIES`;

const ROUTES_OF_GROUP = `
  SELECT lower(route.path) AS path, p.id AS project_id
  FROM namespaces AS n JOIN projects AS p ON p.namespace_id = n.id
  JOIN routes AS route ON route.source_type = 'Project' AND route.source_id = p.id
  WHERE ${BELOW} AND lower(route.path) > $1 ORDER BY lower(route.path) FETCH FIRST ${WINDOW} ROWS WITH TIES`;

const COUNT_PROJECTS = `
  SELECT count(*) AS count FROM (
    SELECT FROM namespaces AS n JOIN projects AS p ON p.namespace_id = n.id
    WHERE ${BELOW.replaceAll('$8', '$1')} LIMIT ${SMALL_GROUP + 1}) AS project`;

/**
 * $1 the path before, $2 user, $3 deploy token, $4 the job's own project, $5 levels, $6 levels of
 * visibility, $7 whether all projects are candidates, $8 the group. Paths that differ only in case
 * stay in one window.
 */
function reachableText(shape: Shape, routes: string): string {
  const ownsOrganization =
    shape.hasTable('organization_users') && shape.has('projects', 'organization_id')
      ? `OR EXISTS (SELECT FROM organization_users AS owning
          WHERE owning.organization_id = p.organization_id AND owning.user_id = $2 AND owning.access_level = ${OWNER})`
      : '';
  return `
    WITH looked_at AS MATERIALIZED (${routes}),
    own_group AS MATERIALIZED (SELECT group_id AS id FROM group_deploy_tokens WHERE deploy_token_id = $3)
    SELECT (SELECT max(path) FROM looked_at) AS last, (SELECT count(*) FROM looked_at) AS looked_at,
      (SELECT json_agg(path ORDER BY path) FROM (
        SELECT DISTINCT looked_at.path
        FROM looked_at JOIN projects AS p ON p.id = looked_at.project_id JOIN namespaces AS n ON n.id = p.namespace_id
        WHERE ($8::bigint IS NULL OR ${BELOW}) AND (
          $7::boolean OR p.visibility_level = ANY ($6::integer[]) OR p.id = $4::bigint
          OR EXISTS (SELECT FROM project_authorizations AS own
            WHERE own.user_id = $2::bigint AND own.project_id = p.id AND own.access_level = ANY ($5::integer[]))
          OR EXISTS (SELECT FROM project_deploy_tokens AS own WHERE own.project_id = p.id AND own.deploy_token_id = $3::bigint)
          OR EXISTS (SELECT FROM own_group WHERE own_group.id = ANY (n.traversal_ids || n.id))
          ${ownsOrganization})
      ) AS candidate) AS paths`;
}

interface ReachRow extends Row {
  readonly last: string | null;
  readonly looked_at: number;
  readonly paths: readonly string[] | null;
}

/** One round trip, and one more below a group. */
export async function findReachable(
  sql: Sql,
  shape: Shape,
  { subject, roles, visibilities, everything, groupId, after }: ReachQuestion,
): Promise<Reachable> {
  const { userId, deployTokenId, jobProjectId } = subject;
  const levels = Object.entries(VISIBILITY).filter(([, name]) => visibilities.includes(name));
  const routes = groupId !== null && (await isSmall(sql, groupId)) ? ROUTES_OF_GROUP : ALL_ROUTES;
  const [row] = await sql.query<ReachRow>(reachableText(shape, routes), [
    ...[after, userId, deployTokenId, jobProjectId],
    roles.map(levelOfRole),
    levels.map(([level]) => Number(level)),
    everything,
    groupId,
  ]);
  const hasMore = row !== undefined && row.looked_at >= WINDOW;
  return { paths: row?.paths ?? [], last: hasMore ? row.last : null };
}

async function isSmall(sql: Sql, groupId: number): Promise<boolean> {
  const [row] = await sql.query<Row & { readonly count: number }>(COUNT_PROJECTS, [groupId]);
  return (row?.count ?? 0) <= SMALL_GROUP;
}
