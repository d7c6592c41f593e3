import type { Sql } from '../../store/database/drivers.ts';
import { findRows, parseRow, readTable } from '../../store/directory/read-rows.ts';
import type { DirectoryChanges } from '../../store/directory/table-values.ts';
import { type DirectoryTables, TABLE_NAMES, TABLES, type TableName } from '../../store/directory/tables.ts';
import type { RecordedRow } from '../../store/history/history.ts';
import { parentsFirst } from '../plan/tables.ts';

/** The rows of one table that a change wrote, by their keys: as they were before and after it. */
interface ChangedRows<T extends TableName> {
  readonly before: ReadonlyMap<string, DirectoryTables[T]>;
  readonly after: ReadonlyMap<string, DirectoryTables[T]>;
}

/** The rows of a recorded change, by table. */
export type ChangedTables = { readonly [T in TableName]: ChangedRows<T> };

export function toChangedTables(rows: readonly RecordedRow[]): ChangedTables {
  const make = <T extends TableName>(table: T): ChangedRows<T> => {
    const own = rows.filter((row) => row.table === table);
    return {
      before: byKey(
        table,
        own.map(({ before }) => before),
      ),
      after: byKey(
        table,
        own.map(({ after }) => after),
      ),
    };
  };
  const tables: Partial<Record<TableName, unknown>> = {};
  for (const table of TABLE_NAMES) tables[table] = make(table);
  if (!isComplete(tables)) throw new Error('a table has no rows');
  return tables;
}

function isComplete(tables: object): tables is ChangedTables {
  return TABLE_NAMES.every((table) => table in tables);
}

function byKey<T extends TableName>(
  table: T,
  texts: readonly (string | null)[],
): ReadonlyMap<string, DirectoryTables[T]> {
  const rows = texts.flatMap((text) => (text === null ? [] : [parseRow<T>(text)]));
  return new Map(rows.map((row) => [TABLES[table].keyOf(row), row]));
}

/** Whether a row is no longer as the change left it. */
export async function isTouchedLater<T extends TableName>(
  sql: Sql,
  table: T,
  { before, after }: ChangedRows<T>,
): Promise<boolean> {
  const rows = [...before.values(), ...after.values()];
  if (rows.length === 0) return false;
  const { keyOf, isSame } = TABLES[table];
  const current = new Map((await readCurrent(sql, table, rows)).map((row) => [keyOf(row), row]));
  return [...new Set([...before.keys(), ...after.keys()])].some((key) => {
    const [left, now] = [after.get(key), current.get(key)];
    return left === undefined || now === undefined ? left !== now : !isSame(left, now);
  });
}

/** At least the current rows with the keys of `rows`. */
function readCurrent<T extends TableName>(
  sql: Sql,
  table: T,
  rows: readonly DirectoryTables[T][],
): Promise<readonly DirectoryTables[T][]> {
  const keys: readonly (keyof DirectoryTables[T] & string)[] = TABLES[table].key;
  const [column] = keys;
  const values = rows.flatMap((row) => {
    const value: unknown = column === undefined ? null : row[column];
    return typeof value === 'number' || typeof value === 'string' ? [value] : [];
  });
  // The settings are one row, whose key is no number.
  if (column === undefined || values.length === 0) return readTable(sql, table);
  const match: { [C in typeof column]?: readonly (string | number)[] } = {};
  match[column] = values;
  return findRows<T>(sql, table, match);
}

/** What takes a change back. */
export function reversed(tables: ChangedTables): DirectoryChanges {
  const make = <T extends TableName>({ before, after }: ChangedRows<T>) => ({
    upsert: [...before.values()],
    remove: [...after].filter(([key]) => !before.has(key)).map(([, row]) => row),
  });
  return {
    settings: make(tables.settings),
    organizations: make(tables.organizations),
    users: make(tables.users),
    organization_users: make(tables.organization_users),
    namespaces: parentsFirst(make(tables.namespaces)),
    projects: make(tables.projects),
    members: make(tables.members),
    group_group_links: make(tables.group_group_links),
    project_group_links: make(tables.project_group_links),
    job_token_project_links: make(tables.job_token_project_links),
    job_token_group_links: make(tables.job_token_group_links),
    protected_repositories: make(tables.protected_repositories),
    protected_tags: make(tables.protected_tags),
    federated_identities: make(tables.federated_identities),
    access_tokens: make(tables.access_tokens),
    deploy_tokens: make(tables.deploy_tokens),
    project_deploy_tokens: make(tables.project_deploy_tokens),
    job_tokens: make(tables.job_tokens),
    revoked_secrets: make(tables.revoked_secrets),
  };
}
