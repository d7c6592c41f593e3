import { CellpassError } from '../../errors.ts';
import type { Database, Sql } from '../../store/database/drivers.ts';
import { changeDirectory, lockJobTokens, writeDirectory } from '../../store/directory/directory.ts';
import { findRows } from '../../store/directory/read-rows.ts';
import { findReferring } from '../../store/directory/references.ts';
import type { ChangedTables } from '../../store/directory/table-values.ts';
import { TABLE_NAMES, type TableName } from '../../store/directory/tables.ts';
import {
  findChange,
  findLaterChanges,
  type NewEntry,
  type NewRow,
  type RecordedRow,
  recordChange,
} from '../../store/history/history.ts';
import { type EntryChange, nameAfter, toEntryChange } from '../preview/entry-changes.ts';
import { isTouchedLater, reversed, toChangedTables } from './changed-rows.ts';
import type { Authorship } from './record.ts';

export interface UndoResult {
  readonly changes: readonly EntryChange[];
  /** The id of the undo, by which it can itself be undone; null: a dry run. */
  readonly change_id: number | null;
  /** Why a change can't be undone; set in a dry run only. */
  readonly refused: string | null;
}

/**
 * Brings back what a change removed or altered, with secrets, and removes what it added: all that
 * changed together.
 * @throws {CellpassError} `not_found`; `conflict` when it was undone before, or when an entry was
 *   changed later.
 */
export function undoChange(
  database: Pick<Database, 'transaction'>,
  id: number,
  author: Authorship,
  { dryRun }: { readonly dryRun: boolean },
): Promise<UndoResult> {
  return changeDirectory(
    database,
    async (sql) => {
      const change = await findChange(sql, id);
      if (change === undefined)
        throw new CellpassError('not_found', `there is no change ${id}: "cellpass history" shows them`);
      const tables = toChangedTables(change.rows);
      const { before, after } = tables.job_tokens;
      // Before they are compared, and also to remove those that the change added.
      if (before.size + after.size > 0) await lockJobTokens(sql);
      const entries = change.entries.map(reverseEntry);
      const refused =
        change.undoneBy === null ? await whyNot(sql, id, tables) : undoneBefore(id, change.undoneBy);
      const changes = entries.map(toEntryChange);
      if (dryRun) return { changes, change_id: null, refused };
      if (refused !== null) throw new CellpassError('conflict', refused);
      const rows = await withOrigins(sql, change.rows.map(reverseRow));
      await writeDirectory(sql, reversed(tables));
      const undo = await recordChange(sql, { ...author, undoOf: id, entries, rows });
      return { changes, change_id: undo, refused: null };
    },
    author.who,
  ).catch((error: unknown) => {
    // Some constraints are checked at the end of the transaction.
    throw isViolation(error) ? new CellpassError('conflict', nameTaken(id), { cause: error }) : error;
  });
}

function undoneBefore(id: number, by: number): string {
  return `change ${id} was undone by change ${by}`;
}

function nameTaken(id: number): string {
  return `change ${id} can't be undone: a name that it brings back is in use, or what it refers to is gone`;
}

async function whyNot(sql: Sql, id: number, tables: ChangedTables): Promise<string | null> {
  const touched: string[] = [];
  for (const table of TABLE_NAMES) {
    if ((await isTouched(sql, table, tables)) || (await hasNewReferences(sql, table, tables)))
      touched.push(table.replaceAll('_', ' '));
  }
  if (touched.length === 0) return null;
  const later = await findLaterChanges(sql, id);
  const by = later.length === 0 ? '' : ` (change ${later.join(', ')})`;
  return `change ${id} can't be undone: its ${touched.join(', ')} were changed later${by}`;
}

function isTouched<T extends TableName>(sql: Sql, table: T, tables: ChangedTables): Promise<boolean> {
  return isTouchedLater(sql, table, tables[table]);
}

/** Whether later rows refer to a row that the undo removes, such as a token of a user. */
async function hasNewReferences(sql: Sql, table: TableName, tables: ChangedTables): Promise<boolean> {
  const { before, after } = tables[table];
  const added = [...after].flatMap(([key, row]) => ('id' in row && !before.has(key) ? [Number(row.id)] : []));
  const referring = await findReferring(sql, table, added);
  return referring.some(({ table: from, key }) => !tables[from].after.has(key));
}

function reverseEntry({ section, name, before, after, subjects }: NewEntry): NewEntry {
  return { section, name: nameAfter(section, name, after), before: after, after: before, subjects };
}

function reverseRow({ table, before, after }: RecordedRow): NewRow {
  return { table, before: parse(after), after: parse(before) };
}

/** Tables whose rows have columns that say who added them; see `writeDirectory`. */
const WITH_ORIGIN = ['access_tokens', 'deploy_tokens'] as const;

/** Tokens that the undo removes, as they are stored: undoing the undo then brings back who created them. */
async function withOrigins(sql: Sql, rows: readonly NewRow[]): Promise<readonly NewRow[]> {
  const stored = new Map<string, object>();
  for (const table of WITH_ORIGIN) {
    const removed = rows.filter((row) => row.table === table && row.after === null);
    const found = await findRows(sql, table, { id: removed.flatMap(({ before }) => idOf(before)) });
    for (const row of found) stored.set(`${table}:${row.id}`, row);
  }
  return rows.map((row) => {
    const [id] = row.after === null ? idOf(row.before) : [];
    const before = stored.get(`${row.table}:${id}`);
    return before === undefined ? row : { ...row, before };
  });
}

function idOf(row: object | null): readonly number[] {
  return row !== null && 'id' in row ? [Number(row.id)] : [];
}

function parse(text: string | null): object | null {
  return text === null ? null : JSON.parse(text);
}

/** SQLSTATE class 23: a unique name, or a foreign key. */
function isViolation(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('23');
}
