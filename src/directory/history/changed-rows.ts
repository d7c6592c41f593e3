import type { Sql } from '../../store/database/drivers.ts';
import { findRows, parseRow, readTable } from '../../store/directory/read-rows.ts';
import {
  type ChangedRows,
  type ChangedTables,
  type DirectoryChanges,
  perTable,
  type TableChanges,
} from '../../store/directory/table-values.ts';
import { type DirectoryTables, TABLE_NAMES, TABLES, type TableName } from '../../store/directory/tables.ts';
import type { NewRow, RecordedRow } from '../../store/history/history.ts';
import { parentsFirst } from '../plan/tables.ts';

/** The rows of a recorded change, by table. */
export function toChangedTables(rows: readonly RecordedRow[]): ChangedTables {
  return perTable<'changed'>((table) => {
    const own = rows.filter((row) => row.table === table);
    const sideOf = (side: 'before' | 'after') =>
      byKey(
        table,
        own.map((row) => row[side]),
      );
    return { before: sideOf('before'), after: sideOf('after') };
  });
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
  { before, after }: ChangedRows<DirectoryTables[T]>,
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
  const changes = perTable<'changes'>((table) => reverse(tables[table]));
  return { ...changes, namespaces: parentsFirst(changes.namespaces) };
}

/** The rows of the change that takes this one back. */
export function reversedRows(tables: ChangedTables): readonly NewRow[] {
  return TABLE_NAMES.flatMap((table) => {
    const { before, after }: ChangedRows<object> = tables[table];
    const keys = new Set([...after.keys(), ...before.keys()]);
    return [...keys].map((key) => ({
      table,
      before: after.get(key) ?? null,
      after: before.get(key) ?? null,
    }));
  });
}

function reverse<R>({ before, after }: ChangedRows<R>): TableChanges<R> {
  return {
    upsert: [...before.values()],
    remove: [...after].filter(([key]) => !before.has(key)).map(([, row]) => row),
  };
}
