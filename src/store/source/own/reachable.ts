import type { Row, Sql } from '../../database/drivers.ts';
import type { Reachable, ReachQuestion } from '../questions.ts';

/** How many projects one statement looks at: a few dozen milliseconds. */
const WINDOW = 4000;
/** Up to so many projects of a subject are sorted for each page. */
const FEW = 10_000;

/** The groups and projects that a subject has by itself: parameters $2 to $5. */
const OWN_PLACES = `
  own_group AS MATERIALIZED (
    SELECT source_id AS id FROM members WHERE user_id = $2 AND source_type = 'Namespace' AND role = ANY ($5::text[])
    UNION SELECT link.shared_group_id
    FROM members AS member JOIN group_group_links AS link ON link.shared_with_group_id = member.source_id
    WHERE member.user_id = $2 AND member.source_type = 'Namespace' AND member.role = ANY ($5::text[]) AND link.role = ANY ($5::text[])
    UNION SELECT id FROM namespaces WHERE owner_id = $2
    UNION SELECT group_id FROM deploy_tokens WHERE id = $3 AND group_id IS NOT NULL),
  own_project AS MATERIALIZED (
    SELECT source_id AS id FROM members WHERE user_id = $2 AND source_type = 'Project' AND role = ANY ($5::text[])
    UNION SELECT link.project_id
    FROM members AS member JOIN project_group_links AS link ON link.group_id = member.source_id
    WHERE member.user_id = $2 AND member.source_type = 'Namespace' AND member.role = ANY ($5::text[]) AND link.role = ANY ($5::text[])
    UNION SELECT project_id FROM project_deploy_tokens WHERE deploy_token_id = $3
    UNION SELECT $4::bigint WHERE $4::bigint IS NOT NULL)`;

/**
 * The projects of a subject to whom no other project is open, where they are few. $1 the path
 * before, $2 user, $3 deploy token, $4 the job's own project, $5 roles, $6 the group.
 */
const FIND_FEW = `
  WITH RECURSIVE ${OWN_PLACES},
  below AS (
    SELECT id FROM own_group UNION SELECT child.id FROM below JOIN namespaces AS child ON child.parent_id = below.id),
  candidate AS MATERIALIZED (
    SELECT id FROM own_project
    UNION ALL SELECT project.id FROM below JOIN projects AS project ON project.namespace_id = below.id
    LIMIT ${FEW + 1})
  SELECT (SELECT count(*) FROM candidate) > ${FEW} OR EXISTS (SELECT FROM organization_users WHERE user_id = $2) AS is_unfit,
    (SELECT json_agg(path_key ORDER BY path_key) FROM (
      SELECT project.path_key
      FROM projects AS project JOIN namespaces AS namespace ON namespace.id = project.namespace_id
      WHERE project.id IN (SELECT id FROM candidate) AND project.path_key > $1
        AND ($6::bigint IS NULL OR $6 = ANY (namespace.traversal_ids))
      ORDER BY project.path_key LIMIT ${WINDOW}) AS found) AS paths`;

/**
 * $1 the path before, $2 user, $3 deploy token, $4 the job's own project, $5 roles, $6 visibilities,
 * $7 whether all projects are candidates, $8 the group.
 */
const FIND_REACHABLE = `
  WITH ${OWN_PLACES},
  looked_at AS MATERIALIZED (
    SELECT project.id, project.path_key, project.visibility, namespace.traversal_ids, namespace.organization_id
    FROM projects AS project JOIN namespaces AS namespace ON namespace.id = project.namespace_id
    WHERE project.path_key > $1 AND ($8::bigint IS NULL OR $8 = ANY (namespace.traversal_ids))
    ORDER BY project.path_key LIMIT ${WINDOW})
  SELECT (SELECT max(path_key) FROM looked_at) AS last, (SELECT count(*) FROM looked_at) AS looked_at,
    (SELECT json_agg(path_key ORDER BY path_key) FROM looked_at
      WHERE $7 OR visibility = ANY ($6::text[])
        OR id IN (SELECT id FROM own_project)
        OR organization_id IN (SELECT organization_id FROM organization_users WHERE user_id = $2)
        OR EXISTS (SELECT FROM unnest(traversal_ids) AS above (id) WHERE above.id IN (SELECT id FROM own_group))
    ) AS paths`;

interface ReachRow extends Row {
  readonly last: string | null;
  readonly looked_at: number;
  readonly paths: readonly string[] | null;
}

/** At most two round trips. */
export async function findReachable(sql: Sql, asked: ReachQuestion): Promise<Reachable> {
  const { visibilities, everything } = asked;
  const isOpen = everything || visibilities.length > 0;
  return (isOpen ? null : await findFew(sql, asked)) ?? findInWindow(sql, asked);
}

/** Null: the subject has too many projects, or owns an organization. */
async function findFew(
  sql: Sql,
  { subject, roles, groupId, after }: ReachQuestion,
): Promise<Reachable | null> {
  const { userId, deployTokenId, jobProjectId } = subject;
  const values = [after, userId, deployTokenId, jobProjectId, [...roles], groupId];
  const [row] = await sql.query<Pick<ReachRow, 'paths'> & { readonly is_unfit: boolean }>(FIND_FEW, values);
  if (row === undefined || row.is_unfit) return null;
  const paths = row.paths ?? [];
  return { paths, last: paths.length === WINDOW ? (paths.at(-1) ?? null) : null };
}

/** The candidates among the next projects by path, whoever they belong to. */
async function findInWindow(
  sql: Sql,
  { subject, roles, visibilities, everything, groupId, after }: ReachQuestion,
): Promise<Reachable> {
  const { userId, deployTokenId, jobProjectId } = subject;
  const values = [after, userId, deployTokenId, jobProjectId, [...roles], [...visibilities], everything];
  const [row] = await sql.query<ReachRow>(FIND_REACHABLE, [...values, groupId]);
  const hasMore = row !== undefined && row.looked_at === WINDOW;
  return { paths: row?.paths ?? [], last: hasMore ? row.last : null };
}
