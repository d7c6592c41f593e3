import type { Sql } from '../../store/database/drivers.ts';
import { findRows } from '../../store/directory/read-rows.ts';
import { type DirectoryRows, perTable } from '../../store/directory/table-values.ts';
import { collectNames, type Names } from '../export/names.ts';

/** Ids that rows refer to, by the table that has their names. */
interface References {
  readonly organizations: readonly number[];
  readonly users: readonly number[];
  readonly namespaces: readonly number[];
  readonly projects: readonly number[];
}

/**
 * The names of all that `rows` refer to: from `known`, which a plan read or changes, and for the
 * others from the database.
 */
export async function findNames(sql: Sql, rows: DirectoryRows, known: DirectoryRows): Promise<Names> {
  const names = collectNames(known);
  const wanted = referencesOf(rows);
  const missing = (ids: readonly number[], found: ReadonlyMap<number, string>) => ({
    id: [...new Set(ids)].filter((id) => !found.has(id)),
  });
  const organizations = await findRows(
    sql,
    'organizations',
    missing(wanted.organizations, names.organizations),
  );
  const users = await findRows(sql, 'users', missing(wanted.users, names.users));
  const namespaces = await findRows(sql, 'namespaces', missing(wanted.namespaces, names.namespaces));
  const projects = await findRows(sql, 'projects', missing(wanted.projects, names.projects));
  const others = collectNames({ ...NO_ROWS, organizations, users, namespaces, projects });
  return {
    organizations: new Map([...names.organizations, ...others.organizations]),
    users: new Map([...names.users, ...others.users]),
    namespaces: new Map([...names.namespaces, ...others.namespaces]),
    projects: new Map([...names.projects, ...others.projects]),
    bots: new Set([...names.bots, ...others.bots]),
  };
}

const NO_ROWS = perTable<'rows'>(() => []);

function referencesOf(rows: DirectoryRows): References {
  const present = (ids: readonly (number | null)[]): readonly number[] => ids.filter((id) => id !== null);
  const owned = [...rows.access_tokens, ...rows.federated_identities];
  return {
    organizations: [...rows.users, ...rows.namespaces].map(({ organization_id }) => organization_id),
    users: present(
      [...rows.members, ...rows.organization_users, ...owned, ...rows.job_tokens].map(
        ({ user_id }) => user_id,
      ),
    ),
    namespaces: present([
      ...[...owned, ...rows.deploy_tokens, ...rows.project_group_links].map(({ group_id }) => group_id),
      ...rows.group_group_links.map(({ shared_with_group_id }) => shared_with_group_id),
      ...rows.job_token_group_links.map(({ target_group_id }) => target_group_id),
    ]),
    projects: present([
      ...[...owned, ...rows.project_deploy_tokens, ...rows.job_tokens].map(({ project_id }) => project_id),
      ...rows.job_token_project_links.map(({ target_project_id }) => target_project_id),
    ]),
  };
}
