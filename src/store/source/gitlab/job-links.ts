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
