import type { Sql } from '../../database/drivers.ts';
import { columnsOf, type DatabaseName, tablesIn } from './columns.ts';

/**
 * What a GitLab's database has and lets this role read. Statements are built from it, because tables
 * and columns come and go with GitLab's versions, and one missing column would fail a statement.
 */
export interface Shape {
  /** Whether the column is there and may be read. */
  has(table: string, column: string): boolean;
  /** Whether all columns without which nothing can be read there are there. */
  hasTable(table: string): boolean;
  /** `table.column`, which this GitLab lacks and without which nothing can be judged. */
  readonly missing: readonly string[];
  /** `table.column`, which are there, but this role may not read. */
  readonly unreadable: readonly string[];
  /** `table.column`, or `table`, that count as absent. */
  readonly absent: readonly string[];
}

/** Whether a role without rights sees a column depends on the catalog: `pg_attribute` shows all. */
const READ_COLUMNS = `
  SELECT class.relname AS table_name, attribute.attname AS column_name,
    has_column_privilege(class.oid, attribute.attnum, 'SELECT') AS readable
  FROM pg_class AS class
  JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace AND namespace.nspname = 'public'
  JOIN pg_attribute AS attribute ON attribute.attrelid = class.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
  WHERE class.relname = ANY ($1)`;

/** A column of the catalog. */
export interface ColumnRow {
  readonly table_name: string;
  readonly column_name: string;
  readonly readable: boolean;
  readonly [column: string]: unknown;
}

/** The columns of these tables that are there, whether this role may read them or not. */
export function readColumns(sql: Sql, tables: readonly string[]): Promise<readonly ColumnRow[]> {
  return sql.query<ColumnRow>(READ_COLUMNS, [tables]);
}

/**
 * One round trip.
 * @param ciIsElsewhere whether CI has a database of its own; then this one has the tables of
 *   `database` alone.
 */
export async function readShape(sql: Sql, database: DatabaseName, ciIsElsewhere: boolean): Promise<Shape> {
  const tables = tablesIn(database, ciIsElsewhere);
  const rows = await readColumns(
    sql,
    tables.map(([name]) => name),
  );
  const readable = new Set<string>();
  const known = new Set<string>();
  const knownTables = new Set<string>();
  for (const row of rows) {
    const name = `${row.table_name}.${row.column_name}`;
    knownTables.add(row.table_name);
    known.add(name);
    if (row.readable) readable.add(name);
  }
  const missing: string[] = [];
  const unreadable: string[] = [];
  const absent: string[] = [];
  for (const [table, used] of tables) {
    if (!knownTables.has(table)) {
      (used.without === null ? missing : absent).push(table);
      continue;
    }
    const withheld = new Set(used.withheld);
    for (const column of columnsOf(used)) {
      const name = `${table}.${column}`;
      if (!known.has(name)) (used.required.includes(column) ? missing : absent).push(name);
      else if (!readable.has(name) && !withheld.has(column)) unreadable.push(name);
    }
  }
  return {
    has: (table, column) => readable.has(`${table}.${column}`),
    hasTable: (table) => {
      const used = tables.find(([name]) => name === table)?.[1];
      return used?.required.every((column) => readable.has(`${table}.${column}`)) ?? false;
    },
    missing,
    unreadable,
    absent,
  };
}

/**
 * Where CI has a database of its own, GitLab keeps writers from the copies of CI's tables in the main
 * database, and these are empty or old. By the catalog, because a role without any right may ask, too.
 */
const CI_IS_ELSEWHERE = `
  SELECT EXISTS (
    SELECT FROM pg_trigger AS guard
    JOIN pg_proc AS refuse ON refuse.oid = guard.tgfoid AND refuse.proname = 'gitlab_schema_prevent_write'
    JOIN pg_class AS class ON class.oid = guard.tgrelid AND class.relname = 'p_ci_builds'
    JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace AND namespace.nspname = 'public') AS elsewhere`;

/** Whether the tables of CI in this database are only copies. One round trip. */
export async function hasCiElsewhere(sql: Sql): Promise<boolean> {
  const [row] = await sql.query<{ elsewhere: boolean }>(CI_IS_ELSEWHERE);
  return row?.elsewhere === true;
}
