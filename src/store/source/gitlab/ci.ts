import type { Sql } from '../../database/drivers.ts';
import { type JobRow, jobStatementText } from './credentials.ts';
import type { JobLinks } from './projects.ts';
import type { Shape } from './shape.ts';
import { buildStatement, GIVEN, type Refer, type Values, valuesFor } from './statement.ts';

/** CI's tables in a database of their own. */
export interface CiDatabase {
  readonly shape: Shape;
  /** By its token, or by `jobId`. One round trip. */
  findJob(values: Partial<Values>): Promise<JobRow | null>;
  /**
   * How the projects stand to a job of `jobProjectId`. One round trip.
   * @returns by the id of the project.
   */
  links(projectIds: readonly number[], jobProjectId: number): Promise<ReadonlyMap<number, JobLinks>>;
  ping(): Promise<void>;
}

/** @param generation see `createStatements`. */
export function openCi(sql: Sql, shape: Shape, generation: number): CiDatabase {
  const job = buildStatement(`gitlab-${generation}-ci-job`, (refer) => jobStatementText(shape, refer));
  const links = buildStatement(`gitlab-${generation}-ci-links`, (refer) => linksText(shape, refer));
  return {
    shape,
    findJob: async (values) => {
      const [row] = await sql.query<{ job: JobRow | null }>(job, valuesFor(job, values));
      return row?.job ?? null;
    },
    links: async (projectIds, jobProjectId) => {
      const rows = await sql.query<LinksRow>(links, valuesFor(links, { projectIds, jobProjectId }));
      return new Map(rows.map(({ id, listed, reachable }) => [id, { listed, reachable }]));
    },
    ping: async () => {
      await sql.query(job, valuesFor(job, {}));
    },
  };
}

type LinksRow = JobLinks & { readonly id: number; readonly [column: string]: unknown };

/** The groups above the job's project are in GitLab's mirrors of them. */
function linksText(shape: Shape, refer: Refer): string {
  const hasMirrors = shape.hasTable('ci_project_mirrors') && shape.hasTable('ci_namespace_mirrors');
  const project = (source: string, target: string, direction: number): string =>
    shape.hasTable('ci_job_token_project_scope_links')
      ? `EXISTS (SELECT FROM ci_job_token_project_scope_links AS link
          WHERE link.source_project_id = ${source} AND link.target_project_id = ${target} AND link.direction = ${direction})`
      : 'false';
  const group =
    hasMirrors && shape.hasTable('ci_job_token_group_scope_links')
      ? `EXISTS (SELECT FROM ci_job_token_group_scope_links AS link
          JOIN ci_project_mirrors AS origin ON origin.project_id = ${refer('jobProjectId')}
          JOIN ci_namespace_mirrors AS above ON above.namespace_id = origin.namespace_id
          WHERE link.source_project_id = asked.id AND link.target_group_id = ANY (above.traversal_ids || above.namespace_id))`
      : 'false';
  return `
    SELECT asked.id, ${project('asked.id', refer('jobProjectId'), 1)} OR ${group} AS listed,
      ${project(refer('jobProjectId'), 'asked.id', 0)} AS reachable
    FROM ${GIVEN} CROSS JOIN LATERAL unnest(${refer('projectIds')}) AS asked (id)`;
}
