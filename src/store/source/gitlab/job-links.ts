import type { Row, Sql } from '../../database/drivers.ts';
import type { Shape } from './shape.ts';

/** What CI's tables say of a job and a project that it asks for. */
export interface JobLinks {
  /** The project lists the job's project, or a group above it. */
  readonly listed: boolean;
  /** The job's project lists this one among those that it wants to reach. */
  readonly reachable: boolean;
}

/** `ci_job_token_project_scope_links.direction`. */
const OUTBOUND = 0;
const INBOUND = 1;

interface Ends {
  /** An expression for the id of the project that is asked for. */
  readonly projectId: string;
  readonly jobProjectId: string;
  /**
   * Joins a relation `above` (id, traversal_ids) with the namespace of the job's project; null: this
   * database does not have it.
   */
  readonly joinAbove: string | null;
}

/** Expressions for `JobLinks`, in the database that has the tables of CI. */
export function jobLinks(
  shape: Shape,
  { projectId, jobProjectId, joinAbove }: Ends,
): Record<keyof JobLinks, string> {
  const link = (source: string, target: string, direction: number): string =>
    shape.hasTable('ci_job_token_project_scope_links')
      ? `EXISTS (SELECT FROM ci_job_token_project_scope_links AS link
          WHERE link.source_project_id = ${source} AND link.target_project_id = ${target} AND link.direction = ${direction})`
      : 'false';
  const group =
    joinAbove !== null && shape.hasTable('ci_job_token_group_scope_links')
      ? `EXISTS (SELECT FROM ci_job_token_group_scope_links AS link ${joinAbove}
          WHERE link.source_project_id = ${projectId} AND link.target_group_id = ANY (above.traversal_ids || above.id))`
      : 'false';
  return {
    listed: `${link(projectId, jobProjectId, INBOUND)} OR ${group}`,
    reachable: link(jobProjectId, projectId, OUTBOUND),
  };
}

/** An entry of a project's job token allowlist. */
export interface JobLink {
  readonly kind: 'project' | 'group';
  readonly id: number;
  /** Of a project: it lists this one among those that its jobs want to reach. */
  readonly reachable: boolean;
}

/** GitLab takes 200 projects and 200 groups into an allowlist; a longer one is cut. */
const MOST_LINKS = 10_000;

/**
 * The job token allowlist of a project, from the database that has the tables of CI. One round
 * trip, or none.
 */
export async function findJobLinks(sql: Sql, shape: Shape, projectId: number): Promise<readonly JobLink[]> {
  const projects = `
    SELECT 'project' AS kind, link.target_project_id AS id, EXISTS (
      SELECT FROM ci_job_token_project_scope_links AS other
      WHERE other.source_project_id = link.target_project_id AND other.target_project_id = $1 AND other.direction = ${OUTBOUND}) AS reachable
    FROM ci_job_token_project_scope_links AS link WHERE link.source_project_id = $1 AND link.direction = ${INBOUND}`;
  const groups = `
    SELECT 'group' AS kind, link.target_group_id AS id, false AS reachable
    FROM ci_job_token_group_scope_links AS link WHERE link.source_project_id = $1`;
  const parts = [
    ...(shape.hasTable('ci_job_token_project_scope_links') ? [projects] : []),
    ...(shape.hasTable('ci_job_token_group_scope_links') ? [groups] : []),
  ];
  if (parts.length === 0) return [];
  return sql.query<JobLink & Row>(`${parts.join(' UNION ALL ')} LIMIT ${MOST_LINKS}`, [projectId]);
}
