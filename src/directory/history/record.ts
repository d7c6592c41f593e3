import type { Sql } from '../../store/database/drivers.ts';
import type { DirectoryChanges, PlannedTables } from '../../store/directory/table-values.ts';
import { type DirectoryTables, TABLE_NAMES, TABLES, type TableName } from '../../store/directory/tables.ts';
import { type NewRow, recordChange } from '../../store/history/history.ts';
import type { RecordedEntry } from '../preview/entry-changes.ts';

/** Who changes the directory, and when. */
export interface Authorship {
  readonly at: Date;
  /** Such as `admin token ci (3)`. */
  readonly who: string;
}

/**
 * Records what a plan changed, in its transaction.
 * @returns the id of the change; null: nothing changed.
 */
export async function recordPlan(
  sql: Sql,
  { changes, tables }: { readonly changes: DirectoryChanges; readonly tables: PlannedTables },
  entries: readonly RecordedEntry[],
  { at, who }: Authorship,
): Promise<number | null> {
  const rows = TABLE_NAMES.flatMap((table) => rowsOf(table, changes, tables));
  if (rows.length === 0) return null;
  return recordChange(sql, { at, who, entries, rows });
}

function rowsOf<T extends TableName>(
  table: T,
  changes: DirectoryChanges,
  tables: PlannedTables,
): readonly NewRow[] {
  const { keyOf } = TABLES[table];
  const stored: ReadonlyMap<string, DirectoryTables[T]> = tables[table].stored;
  const { upsert, remove } = changes[table];
  return [
    ...upsert.map((row) => ({ table, before: stored.get(keyOf(row)) ?? null, after: row })),
    ...remove.map((row) => ({ table, before: row, after: null })),
  ];
}
