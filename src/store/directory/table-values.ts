import { type DirectoryTables, TABLE_NAMES, type Table, type TableName } from './tables.ts';

export interface TableChanges<R> {
  /** Whole rows, new or changed. */
  readonly upsert: readonly R[];
  readonly remove: readonly R[];
}

/** The stored rows of a table, and the rows that it shall have. Both by their keys. */
export interface PlannedTable<R> {
  readonly definition: Table<R>;
  readonly stored: ReadonlyMap<string, R>;
  readonly rows: Map<string, R>;
}

/** The rows that a change wrote, by their keys: as they were before and after it. */
export interface ChangedRows<R> {
  readonly before: ReadonlyMap<string, R>;
  readonly after: ReadonlyMap<string, R>;
}

/** The kinds of values that `perTable` makes. */
interface TableValues<R> {
  readonly rows: readonly R[];
  /** Rows by their keys, to collect them. */
  readonly byKey: Map<string, R>;
  readonly changes: TableChanges<R>;
  readonly planned: PlannedTable<R>;
  readonly changed: ChangedRows<R>;
}

type ValueKind = keyof TableValues<unknown>;
type PerTable<K extends ValueKind> = { readonly [T in TableName]: TableValues<DirectoryTables[T]>[K] };
export type DirectoryRows = PerTable<'rows'>;
export type RowsByKey = PerTable<'byKey'>;
export type DirectoryChanges = PerTable<'changes'>;
export type PlannedTables = PerTable<'planned'>;
export type ChangedTables = PerTable<'changed'>;

/** Makes a value for each table. */
export function perTable<K extends ValueKind>(
  make: <T extends TableName>(table: T) => TableValues<DirectoryTables[T]>[K],
): PerTable<K> {
  return complete<K>(TABLE_NAMES.map((table) => [table, make(table)]));
}

/** Makes a value for each table, one after the other. */
export async function perTableInTurn<K extends ValueKind>(
  make: <T extends TableName>(table: T) => Promise<TableValues<DirectoryTables[T]>[K]>,
): Promise<PerTable<K>> {
  const made: [TableName, unknown][] = [];
  for (const table of TABLE_NAMES) made.push([table, await make(table)]);
  return complete<K>(made);
}

function complete<K extends ValueKind>(made: readonly (readonly [TableName, unknown])[]): PerTable<K> {
  const values: object = Object.fromEntries(made);
  if (!isComplete<K>(values)) throw new Error('a table has no value');
  return values;
}

function isComplete<K extends ValueKind>(values: object): values is PerTable<K> {
  return TABLE_NAMES.every((table) => table in values);
}
