import type { Row, Sql } from '../database/drivers.ts';
import { type DirectoryRows, perTableInTurn } from './table-values.ts';
import type { DirectoryTables, TableName } from './tables.ts';

/**
 * Rows, or values to look for, in one statement. A longer answer would block the event loop of the
 * process that reads it.
 */
const ROWS_PER_STATEMENT = 1000;

/** Values by column: a row matches that has one of the values in each of these columns. */
export type Match<R> = { readonly [C in keyof R & string]?: readonly (string | number)[] };

/**
 * A row `t` as JSON text. Without its version, which belongs to the cache of answers and is not
 * part of the directory.
 */
const ROW = `(to_jsonb(t) - 'version')::text AS row`;

/** A row as JSON text, so that the process which plans parses it, and not the one that answers. */
interface TextRow extends Row {
  readonly row: string;
}

/** All rows, secrets only as digests. 100,000 projects take about 100 MB. */
export function readDirectory(sql: Sql): Promise<DirectoryRows> {
  return perTableInTurn<'rows'>((table) => readTable(sql, table));
}

/** All rows of a table. Runs in a transaction, which a cursor needs. */
export async function readTable<T extends TableName>(
  sql: Sql,
  table: T,
): Promise<readonly DirectoryTables[T][]> {
  await sql.query(`DECLARE directory_rows NO SCROLL CURSOR FOR SELECT ${ROW} FROM ${table} AS t`);
  const found: DirectoryTables[T][] = [];
  let count = ROWS_PER_STATEMENT;
  while (count === ROWS_PER_STATEMENT) {
    const rows = await sql.query<TextRow>(`FETCH ${ROWS_PER_STATEMENT} FROM directory_rows`);
    count = rows.length;
    for (const { row } of rows) found.push(parseRow(row));
  }
  await sql.query('CLOSE directory_rows');
  return found;
}

/**
 * The rows that match. Costs in proportion to the values of the first column if an index has this
 * column.
 */
export async function findRows<T extends TableName>(
  sql: Sql,
  table: T,
  match: Match<DirectoryTables[T]>,
): Promise<readonly DirectoryTables[T][]> {
  const columns = Object.entries<readonly (string | number)[] | undefined>(match).flatMap(
    ([column, values]) => (values === undefined ? [] : [{ column, values: [...new Set(values)] }]),
  );
  const [first, ...others] = columns;
  if (first === undefined || columns.some(({ values }) => values.length === 0)) return [];
  const conditions = columns.map(({ column, values }, at) => condition(column, values, at + 1));
  const statement = `SELECT ${ROW} FROM ${table} AS t WHERE ${conditions.join(' AND ')}`;
  const found: DirectoryTables[T][] = [];
  for (let from = 0; from < first.values.length; from += ROWS_PER_STATEMENT) {
    const some = first.values.slice(from, from + ROWS_PER_STATEMENT);
    const lists = [some, ...others.map(({ values }) => values)];
    const rows = await sql.query<TextRow>(
      statement,
      lists.map((list) => JSON.stringify(list)),
    );
    for (const { row } of rows) found.push(parseRow(row));
  }
  return found;
}

/** The organization that users and groups get if they name none. */
export async function findDefaultOrganization(
  sql: Sql,
): Promise<readonly DirectoryTables['organizations'][]> {
  const rows = await sql.query<TextRow>(
    `SELECT ${ROW} FROM organizations AS t ORDER BY position, id LIMIT 1`,
  );
  return rows.map(({ row }) => parseRow<'organizations'>(row));
}

/** As an array, for which PostgreSQL uses an index whatever the number of values. */
function condition(column: string, values: readonly (string | number)[], parameter: number): string {
  const value =
    column === 'token_digest'
      ? `decode(substr(value, 3), 'hex')`
      : typeof values[0] === 'number'
        ? 'value::bigint'
        : 'value';
  return `t.${column} = ANY(ARRAY(SELECT ${value} FROM jsonb_array_elements_text($${parameter}::jsonb) AS value))`;
}

/** A row from its JSON. Both drivers give that in the same way: ids as numbers, dates and digests as text. */
export function parseRow<T extends TableName>(text: string): DirectoryTables[T] {
  const row = JSON.parse(text);
  for (const column of TIMES) if (column in row) row[column] = inUtc(row[column]);
  return row;
}

/** Columns, not members of a column that is JSON. */
const TIMES = ['expires_at', 'ends_at', 'revoked_at'] as const;
const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:/;

/** In JSON, PostgreSQL writes a timestamp in the zone of the session. */
function inUtc(value: unknown): unknown {
  return typeof value === 'string' && TIMESTAMP.test(value) ? new Date(value).toISOString() : value;
}
