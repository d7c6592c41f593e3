import type { Row, Sql } from '../../../database/drivers.ts';
import type { JobEntry } from '../../questions.ts';
import type { JobLink } from '../job-links.ts';
import { inboundLimited } from '../projects.ts';
import { settingsRelation } from '../settings.ts';
import type { Shape } from '../shape.ts';

/**
 * The names of a job token allowlist: $1 the project, $2 the listed projects, $3 whether each of
 * them lists this one, $4 the listed groups, $5 the key before, $6 the limit. A project whose jobs
 * reach only what it lists is left out where it does not list this one, unless this one is open.
 */
function entriesText(shape: Shape): string {
  const isLimited = shape.has('project_ci_cd_settings', 'job_token_scope_enabled')
    ? '(SELECT job_token_scope_enabled FROM project_ci_cd_settings WHERE project_id = link.id LIMIT 1) IS TRUE'
    : 'false';
  return `
    SELECT name, lower(name) AS key, access FROM (
      SELECT '*' AS name, 'anyone' AS access
      FROM projects AS p CROSS JOIN ${settingsRelation(shape)} WHERE p.id = $1 AND NOT (${inboundLimited(shape)})
      UNION ALL SELECT path, 'own' FROM routes WHERE source_type = 'Project' AND source_id = $1
      UNION ALL SELECT route.path, 'listed'
      FROM projects AS p CROSS JOIN unnest($2::bigint[], $3::boolean[]) AS link (id, reachable)
      JOIN routes AS route ON route.source_type = 'Project' AND route.source_id = link.id
      WHERE p.id = $1 AND link.id <> $1 AND (link.reachable OR p.visibility_level > 0 OR NOT ${isLimited})
      UNION ALL SELECT route.path, 'listed'
      FROM routes AS route WHERE route.source_type = 'Namespace' AND route.source_id = ANY ($4::bigint[])
    ) AS entry WHERE lower(name) COLLATE "C" > $5 ORDER BY lower(name) COLLATE "C" LIMIT $6`;
}

/** Whose jobs a project may let in, by `key`, after `after`; itself included. */
export function findJobEntries(
  sql: Sql,
  { shape, links }: { readonly shape: Shape; readonly links: readonly JobLink[] },
  { projectId, after, limit }: { readonly projectId: number; readonly after: string; readonly limit: number },
): Promise<readonly JobEntry[]> {
  const projects = links.filter(({ kind }) => kind === 'project');
  const groups = links.filter(({ kind }) => kind === 'group');
  return sql.query<JobEntry & Row>(entriesText(shape), [
    projectId,
    projects.map(({ id }) => id),
    projects.map(({ reachable }) => reachable),
    groups.map(({ id }) => id),
    after,
    limit,
  ]);
}
