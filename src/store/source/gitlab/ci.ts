import type { Sql } from '../../database/drivers.ts';
import { withCurrent } from './changes.ts';
import { type JobRow, jobStatementText } from './credentials.ts';
import { findJobLinks, type JobLink, type JobLinks, jobLinks } from './job-links.ts';
import { keep } from './kept.ts';
import { readShape, type Shape } from './shape.ts';
import { KEEP, refuseIncomplete, type StateOptions } from './state.ts';
import {
  buildStatement,
  GIVEN,
  type GitlabStatement,
  type Refer,
  type Values,
  valuesFor,
} from './statement.ts';

/** CI's tables in a database of their own. While it is away, only jobs miss it. */
export interface CiDatabase {
  /** By its token, or by `jobId`. One round trip. */
  findJob(values: Partial<Values>): Promise<JobRow | null>;
  /**
   * How the projects stand to a job of `jobProjectId`. One round trip.
   * @returns by the id of the project.
   */
  links(projectIds: readonly number[], jobProjectId: number): Promise<ReadonlyMap<number, JobLinks>>;
  /** The job token allowlist of a project. One round trip. */
  entries(projectId: number): Promise<readonly JobLink[]>;
  ping(): Promise<void>;
}

interface Statements {
  readonly shape: Shape;
  readonly job: GitlabStatement;
  readonly links: GitlabStatement;
}

/** Looks at the database when it is asked first, because GitLab answers most without it. */
export function openCi(sql: Sql, options: Pick<StateOptions, 'log' | 'monotonicMs'>): CiDatabase {
  const read = async (): Promise<Statements> => {
    const shape = await readShape(sql, 'ci', true);
    refuseIncomplete(shape);
    return {
      shape,
      job: buildStatement('ci-job', (refer) => jobStatementText(shape, refer)),
      links: buildStatement('ci-links', (refer) => linksText(shape, refer)),
    };
  };
  const statements = keep(read, { what: "The database of GitLab's CI", ...KEEP, ...options });
  return {
    findJob: (values) =>
      withCurrent(statements, async ({ job }) => {
        const [row] = await sql.query<{ job: JobRow | null }>(job, valuesFor(job, values));
        return row?.job ?? null;
      }),
    links: (projectIds, jobProjectId) =>
      withCurrent(statements, async ({ links }) => {
        const rows = await sql.query<LinksRow>(links, valuesFor(links, { projectIds, jobProjectId }));
        return new Map(rows.map(({ id, listed, reachable }) => [id, { listed, reachable }]));
      }),
    entries: (projectId) => withCurrent(statements, ({ shape }) => findJobLinks(sql, shape, projectId)),
    ping: () =>
      withCurrent(statements, async ({ job }) => {
        await sql.query(job, valuesFor(job, {}));
      }),
  };
}

type LinksRow = JobLinks & { readonly id: number; readonly [column: string]: unknown };

/** The groups above the job's project are in GitLab's mirrors of them. */
function linksText(shape: Shape, refer: Refer): string {
  const hasMirrors = shape.hasTable('ci_project_mirrors') && shape.hasTable('ci_namespace_mirrors');
  const jobProjectId = refer('jobProjectId');
  const mirrors = `JOIN ci_project_mirrors AS origin ON origin.project_id = ${jobProjectId}
    JOIN LATERAL (
      SELECT namespace_id AS id, traversal_ids FROM ci_namespace_mirrors
      WHERE ci_namespace_mirrors.namespace_id = origin.namespace_id) AS above ON true`;
  const { listed, reachable } = jobLinks(shape, {
    projectId: 'asked.id',
    jobProjectId,
    joinAbove: hasMirrors ? mirrors : null,
  });
  return `
    SELECT asked.id, ${listed} AS listed, ${reachable} AS reachable
    FROM ${GIVEN} CROSS JOIN LATERAL unnest(${refer('projectIds')}) AS asked (id)`;
}
