import {
  type DirectoryChanges,
  type DirectoryRows,
  type PlannedTable,
  type PlannedTables,
  perTable,
  type TableChanges,
} from '../../store/directory/table-values.ts';
import { TABLES, type Table } from '../../store/directory/tables.ts';

export function createTables(stored: DirectoryRows): PlannedTables {
  return perTable<'planned'>((name) => createTable(TABLES[name], stored[name]));
}

function createTable<R>(definition: Table<R>, rows: readonly R[]): PlannedTable<R> {
  const stored = new Map(rows.map((row) => [definition.keyOf(row), row]));
  return { definition, stored, rows: new Map(stored) };
}

/**
 * Puts a row. If it equals the stored row, keeps the stored object, so that `diffTables` compares
 * identity.
 */
export function put<R>(table: PlannedTable<R>, row: R): void {
  const { keyOf, isSame } = table.definition;
  const stored = table.stored.get(keyOf(row));
  table.rows.set(keyOf(row), stored !== undefined && isSame(stored, row) ? stored : row);
}

export function byId<R>(table: PlannedTable<R>, id: number): R | undefined {
  return table.rows.get(String(id));
}

export function removeRow<R>(table: PlannedTable<R>, row: R): void {
  table.rows.delete(table.definition.keyOf(row));
}

/** Removes `existing` and puts `wanted`. */
export function replaceRows<R>(table: PlannedTable<R>, existing: readonly R[], wanted: readonly R[]): void {
  for (const row of existing) removeRow(table, row);
  for (const row of wanted) put(table, row);
}

export function groupRows<R>(
  table: PlannedTable<R>,
  ownerOf: (row: R) => string | number,
): ReadonlyMap<string | number, R[]> {
  const groups = new Map<string | number, R[]>();
  for (const row of table.rows.values()) {
    const owner = ownerOf(row);
    const group = groups.get(owner);
    if (group === undefined) groups.set(owner, [row]);
    else group.push(row);
  }
  return groups;
}

/** Removes rows that refer to removed rows, as the foreign keys do, and bots without a token. */
export function removeOrphans(tables: PlannedTables): void {
  const hasUser = (id: number | null): boolean => id === null || tables.users.rows.has(String(id));
  const hasNamespace = (id: number | null): boolean => id === null || tables.namespaces.rows.has(String(id));
  const hasProject = (id: number | null): boolean => id === null || tables.projects.rows.has(String(id));
  keep(
    tables.access_tokens,
    (row) => hasUser(row.user_id) && hasProject(row.project_id) && hasNamespace(row.group_id),
  );
  const owners = new Set([...tables.access_tokens.rows.values()].map(({ user_id }) => user_id));
  keep(tables.users, ({ id, kind }) => (kind !== 'project_bot' && kind !== 'group_bot') || owners.has(id));
  keep(tables.deploy_tokens, (row) => hasNamespace(row.group_id));
  keep(tables.job_tokens, (row) => hasProject(row.project_id) && hasUser(row.user_id));
  keep(
    tables.project_deploy_tokens,
    (row) => hasProject(row.project_id) && tables.deploy_tokens.rows.has(String(row.deploy_token_id)),
  );
  keep(
    tables.members,
    ({ user_id, source_type, source_id }) =>
      hasUser(user_id) && (source_type === 'Project' ? hasProject(source_id) : hasNamespace(source_id)),
  );
  keep(
    tables.organization_users,
    (row) => hasUser(row.user_id) && tables.organizations.rows.has(String(row.organization_id)),
  );
  keep(
    tables.group_group_links,
    (row) => hasNamespace(row.shared_group_id) && hasNamespace(row.shared_with_group_id),
  );
  keep(tables.project_group_links, (row) => hasProject(row.project_id) && hasNamespace(row.group_id));
  keep(
    tables.job_token_project_links,
    (row) => hasProject(row.project_id) && hasProject(row.target_project_id),
  );
  keep(
    tables.job_token_group_links,
    (row) => hasProject(row.project_id) && hasNamespace(row.target_group_id),
  );
  keep(tables.protected_repositories, (row) => hasProject(row.project_id));
  keep(tables.protected_tags, (row) => hasProject(row.project_id));
}

function keep<R>(table: PlannedTable<R>, isKept: (row: R) => boolean): void {
  for (const [key, row] of table.rows) if (!isKept(row)) table.rows.delete(key);
}

export function diffTables(tables: PlannedTables): DirectoryChanges {
  const changes = perTable<'changes'>((name) => diffTable(tables[name]));
  return { ...changes, namespaces: parentsFirst(changes.namespaces) };
}

function diffTable<R>({ stored, rows }: PlannedTable<R>): TableChanges<R> {
  return {
    upsert: [...rows].filter(([key, row]) => stored.get(key) !== row).map(([, row]) => row),
    remove: [...stored].filter(([key]) => !rows.has(key)).map(([, row]) => row),
  };
}

/** A parent must be stored in the same statement as its child, or in an earlier one. */
function parentsFirst<R extends { readonly traversal_ids: readonly number[] }>(
  changes: TableChanges<R>,
): TableChanges<R> {
  return {
    ...changes,
    upsert: changes.upsert.toSorted((a, b) => a.traversal_ids.length - b.traversal_ids.length),
  };
}
