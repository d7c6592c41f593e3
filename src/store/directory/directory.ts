import { AT_LENGTH, type Database, type Sql } from '../database/drivers.ts';
import type { DirectoryChanges } from './table-values.ts';
import { TABLE_NAMES, TABLES, type TableName } from './tables.ts';

/** The key of the advisory lock, the same in every version. No other lock of cellpass uses it. */
const DIRECTORY_LOCK = 7_021_004;
/**
 * Rows in one statement. A longer statement of the embedded database would block the event loop.
 */
const ROWS_PER_STATEMENT = 1000;

/**
 * Runs `work` in a transaction, one such transaction at a time. Code that adds, changes or removes
 * rows that a document may name takes this lock.
 * @param who is recorded as the creator of the tokens that `work` adds; missing: it adds none.
 */
export function changeDirectory<T>(
  database: Pick<Database, 'transaction'>,
  work: (sql: Sql) => Promise<T>,
  who?: string,
): Promise<T> {
  return database.transaction(async (sql) => {
    await sql.query('SELECT pg_advisory_xact_lock($1)', [DIRECTORY_LOCK]);
    if (who !== undefined) await nameCreator(sql, who);
    return work(sql);
  }, AT_LENGTH);
}

/**
 * Records `who` as the creator of the tokens that the transaction adds; see migration 0022.
 * @param who such as `admin token ci (3)`.
 */
export async function nameCreator(sql: Pick<Sql, 'query'>, who: string): Promise<void> {
  await sql.query("SELECT set_config('cellpass.actor', $1, true)", [who]);
}

/** Makes CI systems wait, which put and delete job tokens without the lock of `changeDirectory`. */
export async function lockJobTokens(sql: Sql): Promise<void> {
  await sql.query('LOCK TABLE job_tokens IN SHARE ROW EXCLUSIVE MODE');
}

/**
 * Writes thousands of rows with one statement. Inserts follow the order of foreign keys, deletes
 * reverse it.
 */
export async function writeDirectory(sql: Sql, changes: Partial<DirectoryChanges>): Promise<void> {
  for (const table of TABLE_NAMES) {
    for (const rows of chunks(changes[table]?.upsert ?? []))
      await sql.query(upsert(table), [JSON.stringify(rows)]);
  }
  for (const table of TABLE_NAMES.toReversed()) {
    for (const rows of chunks(changes[table]?.remove ?? []))
      await sql.query(remove(table), [JSON.stringify(rows)]);
  }
}

/** SQL with names from `TABLES` only; the rows are one JSON parameter. */
function upsert(table: TableName): string {
  const key: readonly string[] = TABLES[table].key;
  const columns: readonly string[] = TABLES[table].columns;
  const origin = ORIGINS[table];
  const list = [...columns, ...(origin === undefined ? [] : ORIGIN_COLUMNS)].join(', ');
  const changing = columns.filter((column) => !key.includes(column));
  const sets = changing.map((column) => `${column} = excluded.${column}`).join(', ');
  return `
    INSERT INTO ${table} (${list}) SELECT ${list}
    FROM jsonb_populate_recordset(${origin ?? `NULL::${table}`}, $1::jsonb)
    ON CONFLICT (${key.join(', ')}) DO ${sets === '' ? 'NOTHING' : `UPDATE SET ${sets}`}`;
}

/** Columns that are written when a row is added, and not by a change of the row. */
const ORIGIN_COLUMNS = ['created_at', 'created_by', 'last_used_at'] as const;

/**
 * The values of `ORIGIN_COLUMNS` for rows that don't have these columns. A removed row that an undo
 * brings back has them, and keeps its own, null included.
 */
const ORIGINS: { readonly [T in TableName]?: string } = {
  access_tokens: originOf('access_tokens'),
  deploy_tokens: originOf('deploy_tokens'),
};

function originOf(table: TableName): string {
  return `jsonb_populate_record(NULL::${table},
      jsonb_build_object('created_at', now(), 'created_by', nullif(current_setting('cellpass.actor', true), '')))`;
}

function remove(table: TableName): string {
  const same = TABLES[table].key.map((column) => `stored.${column} = removed.${column}`).join(' AND ');
  return `DELETE FROM ${table} AS stored USING jsonb_populate_recordset(NULL::${table}, $1::jsonb) AS removed WHERE ${same}`;
}

function* chunks(rows: readonly object[]): Generator<readonly object[]> {
  for (let from = 0; from < rows.length; from += ROWS_PER_STATEMENT) {
    yield rows.slice(from, from + ROWS_PER_STATEMENT);
  }
}
