import { levelOfRole } from '../../../../policy/role.ts';
import type { Row, Sql } from '../../../database/drivers.ts';
import type { Reachable, ReachQuestion } from '../../questions.ts';
import { OWNER, VISIBILITY } from '../projects.ts';
import type { Shape } from '../shape.ts';

/** How many routes one statement looks at: a few dozen milliseconds. */
const WINDOW = 4000;
/** Up to so many projects are sorted for each page; more are looked at in the order of an index. */
const FEW = 10_000;

/** The namespaces `n` below the group $8, itself included. */
const BELOW = '(n.traversal_ids @> ARRAY[$8::bigint] OR n.id = $8)';
const OF_GROUP = `
  SELECT p.id FROM namespaces AS n JOIN projects AS p ON p.namespace_id = n.id WHERE ${BELOW}`;
/** Those that a subject reaches by a role, as a deploy token or as a job: four parameters from `first` on. */
function ofSubject(first: number): string {
  const [user, deployToken, jobProject, levels] = [0, 1, 2, 3].map((at) => `$${first + at}`);
  return `
    SELECT project_id FROM project_authorizations WHERE user_id = ${user}::bigint AND access_level = ANY (${levels}::integer[])
    UNION ALL SELECT project_id FROM project_deploy_tokens WHERE deploy_token_id = ${deployToken}::bigint
    UNION ALL SELECT p.id FROM group_deploy_tokens AS link
      JOIN namespaces AS n ON n.traversal_ids @> ARRAY[link.group_id] OR n.id = link.group_id
      JOIN projects AS p ON p.namespace_id = n.id WHERE link.deploy_token_id = ${deployToken}::bigint
    UNION ALL SELECT ${jobProject}::bigint WHERE ${jobProject}::bigint IS NOT NULL`;
}

/** All projects and groups, by an index on their paths. */
const ALL_ROUTES = `
  SELECT lower(path) AS path, CASE WHEN source_type = 'Project' THEN source_id END AS project_id
  FROM routes WHERE lower(path) > $1 ORDER BY lower(path) FETCH FIRST ${WINDOW} ROWS WITH TIES`;

const routesOf = (projects: string): string => `
  SELECT lower(path) AS path, source_id AS project_id
  FROM routes WHERE source_type = 'Project' AND source_id IN (${projects}) AND lower(path) > $1
  ORDER BY lower(path) FETCH FIRST ${WINDOW} ROWS WITH TIES`;

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

/** At most three round trips. */
export async function findReachable(sql: Sql, shape: Shape, asked: ReachQuestion): Promise<Reachable> {
  const { subject, roles, visibilities, everything, groupId, after } = asked;
  const { userId, deployTokenId, jobProjectId } = subject;
  const levels = Object.entries(VISIBILITY).filter(([, name]) => visibilities.includes(name));
  const values = [
    ...[after, userId, deployTokenId, jobProjectId],
    roles.map(levelOfRole),
    levels.map(([level]) => Number(level)),
    everything,
    groupId,
  ];
  const routes = await routesFor(sql, shape, asked);
  const [row] = await sql.query<ReachRow>(reachableText(shape, routes), values);
  const hasMore = row !== undefined && row.looked_at >= WINDOW;
  return { paths: row?.paths ?? [], last: hasMore ? row.last : null };
}

/** The shortest list that has all candidates. */
async function routesFor(sql: Sql, shape: Shape, asked: ReachQuestion): Promise<string> {
  const { subject, roles, visibilities, everything, groupId } = asked;
  const isOpen = everything || visibilities.length > 0;
  if (!isOpen && !(await ownsOrganization(sql, shape, subject.userId))) {
    const { userId, deployTokenId, jobProjectId } = subject;
    const values = [userId, deployTokenId, jobProjectId, roles.map(levelOfRole)];
    if (await areFew(sql, ofSubject(1), values)) return routesOf(ofSubject(2));
  }
  if (groupId !== null) {
    if (await areFew(sql, OF_GROUP.replaceAll('$8', '$1'), [groupId])) return routesOf(OF_GROUP);
  }
  return ALL_ROUTES;
}

async function areFew(sql: Sql, projects: string, values: readonly unknown[]): Promise<boolean> {
  const [row] = await sql.query<Row & { readonly count: number }>(
    `SELECT count(*) AS count FROM (SELECT FROM (${projects}) AS project LIMIT ${FEW + 1}) AS counted`,
    values,
  );
  return (row?.count ?? 0) <= FEW;
}

async function ownsOrganization(sql: Sql, shape: Shape, userId: number | null): Promise<boolean> {
  if (userId === null || !shape.hasTable('organization_users')) return false;
  const rows = await sql.query(
    `SELECT FROM organization_users WHERE user_id = $1 AND access_level = ${OWNER} LIMIT 1`,
    [userId],
  );
  return rows.length > 0;
}
