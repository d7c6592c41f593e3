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

/**
 * Removes rows that refer to removed rows, as the foreign keys do, and bots whose token or identity
 * was removed. Says nothing about rows that were not read.
 */
export function removeOrphans(tables: PlannedTables): void {
  const places = { namespaces: removedIds(tables.namespaces), projects: removedIds(tables.projects) };
  removeOrphanTokens(tables, { ...places, users: removedIds(tables.users) });
  removeBotsWithoutToken(tables);
  const removed = { ...places, users: removedIds(tables.users) };
  const isKept = placeKeeper(removed);
  const deployTokens = removedIds(tables.deploy_tokens);
  const organizations = removedIds(tables.organizations);
  keep(tables.job_tokens, isKept);
  keep(tables.project_deploy_tokens, (row) => isKept(row) && !deployTokens.has(row.deploy_token_id));
  keep(
    tables.members,
    ({ user_id, source_type, source_id }) =>
      isKept({ user_id }) &&
      isKept(source_type === 'Project' ? { project_id: source_id } : { group_id: source_id }),
  );
  keep(tables.organization_users, (row) => isKept(row) && !organizations.has(row.organization_id));
  keep(
    tables.group_group_links,
    (row) => isKept({ group_id: row.shared_group_id }) && isKept({ group_id: row.shared_with_group_id }),
  );
  keep(tables.project_group_links, isKept);
  keep(tables.job_token_project_links, (row) => isKept(row) && isKept({ project_id: row.target_project_id }));
  keep(tables.job_token_group_links, (row) => isKept(row) && isKept({ group_id: row.target_group_id }));
  keep(tables.protected_repositories, isKept);
  keep(tables.protected_tags, isKept);
}

interface RemovedIds {
  readonly users: ReadonlySet<number>;
  readonly namespaces: ReadonlySet<number>;
  readonly projects: ReadonlySet<number>;
}

/** The columns with which most rows refer to others. */
interface Referring {
  readonly user_id?: number | null;
  readonly project_id?: number | null;
  readonly group_id?: number | null;
}

function placeKeeper(removed: RemovedIds): (row: Referring) => boolean {
  const isIn = (ids: ReadonlySet<number>, id: number | null | undefined): boolean =>
    id !== null && id !== undefined && ids.has(id);
  return ({ user_id, project_id, group_id }) =>
    !isIn(removed.users, user_id) &&
    !isIn(removed.projects, project_id) &&
    !isIn(removed.namespaces, group_id);
}

function removeOrphanTokens(tables: PlannedTables, removed: RemovedIds): void {
  const isKept = placeKeeper(removed);
  keep(tables.federated_identities, isKept);
  const identities = removedIds(tables.federated_identities);
  keep(
    tables.access_tokens,
    (row) => isKept(row) && (row.identity_id === null || !identities.has(row.identity_id)),
  );
  keep(tables.deploy_tokens, isKept);
}

function removeBotsWithoutToken({ access_tokens, federated_identities, users }: PlannedTables): void {
  const orphans = new Set<number>();
  for (const [key, { user_id }] of access_tokens.stored)
    if (!access_tokens.rows.has(key)) orphans.add(user_id);
  for (const [key, { user_id }] of federated_identities.stored)
    if (federated_identities.rows.get(key)?.user_id !== user_id) orphans.add(user_id);
  if (orphans.size === 0) return;
  for (const { user_id, identity_id } of access_tokens.rows.values())
    if (identity_id === null) orphans.delete(user_id);
  for (const { user_id } of federated_identities.rows.values()) orphans.delete(user_id);
  keep(users, ({ id, kind }) => (kind !== 'project_bot' && kind !== 'group_bot') || !orphans.has(id));
}

function removedIds<R extends { readonly id: number }>({
  stored,
  rows,
}: PlannedTable<R>): ReadonlySet<number> {
  const ids = new Set<number>();
  for (const [key, { id }] of stored) if (!rows.has(key)) ids.add(id);
  return ids;
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
export function parentsFirst<R extends { readonly traversal_ids: readonly number[] }>(
  changes: TableChanges<R>,
): TableChanges<R> {
  return {
    ...changes,
    upsert: changes.upsert.toSorted((a, b) => a.traversal_ids.length - b.traversal_ids.length),
  };
}
