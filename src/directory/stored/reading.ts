import type { Sql } from '../../store/database/drivers.ts';
import { findRows, type Match } from '../../store/directory/read-rows.ts';
import { type DirectoryRows, perTable, type RowsByKey } from '../../store/directory/table-values.ts';
import { type DirectoryTables, TABLES, type TableName } from '../../store/directory/tables.ts';

/** Rows of the directory that were read in one transaction, each once. */
export interface Reading {
  readonly sql: Sql;
  readonly found: RowsByKey;
}

export function startReading(sql: Sql): Reading {
  return { sql, found: perTable<'byKey'>(() => new Map()) };
}

/** Reads the rows that match and adds them to the reading. */
export async function find<T extends TableName>(
  reading: Reading,
  table: T,
  match: Match<DirectoryTables[T]>,
): Promise<readonly DirectoryTables[T][]> {
  const rows = await findRows(reading.sql, table, match);
  add(reading, table, rows);
  return rows;
}

export function add<T extends TableName>(
  { found }: Reading,
  table: T,
  rows: readonly DirectoryTables[T][],
): void {
  const byKey: Map<string, DirectoryTables[T]> = found[table];
  for (const row of rows) byKey.set(TABLES[table].keyOf(row), row);
}

export function rowsOf({ found }: Reading): DirectoryRows {
  return perTable<'rows'>((table) => [...found[table].values()]);
}
