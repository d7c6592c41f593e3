import { CellpassError } from '../../errors.ts';
import type { Database, Sql } from '../../store/database/drivers.ts';
import { findContradiction } from '../../store/directory/contradictions.ts';
import { changeDirectory, lockJobTokens, writeDirectory } from '../../store/directory/directory.ts';
import { findReferring } from '../../store/directory/references.ts';
import type { ChangedTables } from '../../store/directory/table-values.ts';
import { TABLE_NAMES, type TableName } from '../../store/directory/tables.ts';
import {
  findChange,
  findLaterChanges,
  type NewEntry,
  type RecordedChange,
  recordChange,
} from '../../store/history/history.ts';
import { type EntryChange, nameAfter, toEntryChange } from '../preview/entry-changes.ts';
import { isTouchedLater, reversed, reversedRows, toChangedTables } from './changed-rows.ts';
import { keepRevoked, markRevoked } from './keep-revoked.ts';
import { withOrigins } from './origins.ts';
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
      await sql.execute('SAVEPOINT undo');
      const change = await findChange(sql, id);
      if (change === undefined)
        throw new CellpassError('not_found', `there is no change ${id}: "cellpass history" shows them`);
      const tables = toChangedTables(change.rows);
      const { before, after } = tables.job_tokens;
      // Before they are compared, and also to remove those that the change added.
      if (before.size + after.size > 0) await lockJobTokens(sql);
      const refused = await whyRefused(sql, id, change, tables);
      const taken = await keepRevoked(sql, tables);
      const entries = markRevoked(change.entries.map(reverseEntry), taken);
      // Read before the undo removes them.
      const rows = await withOrigins(sql, reversedRows(taken));
      // Also in a dry run: some reasons show only in what is written.
      const reason = refused ?? (await whyNotWritten(sql, id, taken));
      const changes = entries.map(toEntryChange);
      if (dryRun) {
        await sql.execute('ROLLBACK TO SAVEPOINT undo');
        return { changes, change_id: null, refused: reason };
      }
      if (reason !== null) throw new CellpassError('conflict', reason);
      const undo = await recordChange(sql, { ...author, undoOf: id, entries, rows });
      return { changes, change_id: undo, refused: null };
    },
    author.who,
  );
}

async function whyRefused(
  sql: Sql,
  id: number,
  { undoneBy, rows }: RecordedChange,
  tables: ChangedTables,
): Promise<string | null> {
  if (undoneBy !== null) return undoneBefore(id, undoneBy);
  return rows.length === 0 ? isRevocation(id) : whyNot(sql, id, tables);
}

/** Writes the undo. A reason: it must be rolled back. */
async function whyNotWritten(sql: Sql, id: number, tables: ChangedTables): Promise<string | null> {
  try {
    await writeDirectory(sql, reversed(tables));
    // Some constraints would be checked at the end of the transaction.
    await sql.execute('SET CONSTRAINTS ALL IMMEDIATE');
  } catch (error) {
    if (isViolation(error)) return nameTaken(id);
    throw error;
  }
  const contradiction = await findContradiction(sql, tables);
  if (contradiction === null) return null;
  return `change ${id} can't be undone: ${contradiction}${laterChanges(await findLaterChanges(sql, id))}`;
}

function undoneBefore(id: number, by: number): string {
  return `change ${id} was undone by change ${by}`;
}

function nameTaken(id: number): string {
  return `change ${id} can't be undone: a name that it brings back is in use, or what it refers to is gone`;
}

/** The secret may be known to others. */
function isRevocation(id: number): string {
  return `change ${id} revoked a token, and no undo makes it valid again: create another token`;
}

async function whyNot(sql: Sql, id: number, tables: ChangedTables): Promise<string | null> {
  const touched: string[] = [];
  for (const table of TABLE_NAMES) {
    if ((await isTouched(sql, table, tables)) || (await hasNewReferences(sql, table, tables)))
      touched.push(table.replaceAll('_', ' '));
  }
  if (touched.length === 0) return null;
  const by = laterChanges(await findLaterChanges(sql, id));
  return `change ${id} can't be undone: its ${touched.join(', ')} were changed later${by}`;
}

function laterChanges(ids: readonly number[]): string {
  return ids.length === 0 ? '' : ` (change ${ids.join(', ')})`;
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

/** SQLSTATE class 23: a unique name, or a foreign key. */
function isViolation(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('23');
}
