import type { DirectoryRows, PlannedTables } from '../../store/directory/table-values.ts';
import { perTable } from '../../store/directory/table-values.ts';
import type { DirectoryTables, TableName } from '../../store/directory/tables.ts';
import type { TouchedEntries } from '../plan/counts.ts';

/** Which rows belong to entries that a plan changes. */
type Filters = { readonly [T in TableName]: (row: DirectoryTables[T]) => boolean };

/** All rows of the entries that a plan changes, as they are, and as they shall be. */
export function touchedRows(
  tables: PlannedTables,
  touched: TouchedEntries,
): { readonly before: DirectoryRows; readonly after: DirectoryRows } {
  const filters = filtersOf(tables, touched);
  const rowsOf = (side: 'stored' | 'rows'): DirectoryRows =>
    perTable<'rows'>((name) => pick(tables[name][side].values(), filters[name]));
  return { before: rowsOf('stored'), after: rowsOf('rows') };
}

function pick<R>(rows: Iterable<R>, filter: (row: R) => boolean): readonly R[] {
  return [...rows].filter(filter);
}

function filtersOf({ access_tokens, federated_identities }: PlannedTables, touched: TouchedEntries): Filters {
  const bots = new Set<number>();
  for (const side of ['stored', 'rows'] as const) {
    for (const { id, user_id } of access_tokens[side].values())
      if (touched.access_tokens.has(id)) bots.add(user_id);
    for (const { id, user_id } of federated_identities[side].values())
      if (touched.federated_identities.has(id)) bots.add(user_id);
  }
  const ofProject = ({ project_id }: { readonly project_id: number }): boolean =>
    touched.projects.has(project_id);
  return {
    settings: () => false,
    organizations: ({ id }) => touched.organizations.has(id),
    users: ({ id }) => touched.users.has(id),
    organization_users: ({ organization_id }) => touched.organizations.has(organization_id),
    namespaces: ({ id }) => touched.groups.has(id),
    projects: ({ id }) => touched.projects.has(id),
    members: ({ source_type, source_id, user_id }) =>
      bots.has(user_id) ||
      (source_type === 'Namespace' ? touched.groups.has(source_id) : touched.projects.has(source_id)),
    group_group_links: ({ shared_group_id }) => touched.groups.has(shared_group_id),
    project_group_links: ofProject,
    job_token_project_links: ofProject,
    job_token_group_links: ofProject,
    protected_repositories: ofProject,
    protected_tags: ofProject,
    federated_identities: ({ id }) => touched.federated_identities.has(id),
    access_tokens: ({ id }) => touched.access_tokens.has(id),
    deploy_tokens: ({ id }) => touched.deploy_tokens.has(id),
    project_deploy_tokens: ({ deploy_token_id }) => touched.deploy_tokens.has(deploy_token_id),
    job_tokens: ({ id }) => touched.job_tokens.has(id),
    revoked_secrets: () => false,
  };
}
