import type { Sql } from '../../database/drivers.ts';
import { CI_MIRRORS, columnsOf, type DatabaseName, TABLES, tablesIn, WRITES } from './columns.ts';
import { hasCiElsewhere, readColumns } from './shape.ts';

/** The least rights that cellpass needs in GitLab's databases, as SQL for their owner. */

export interface GrantsOrder {
  readonly role: string;
  /** Null: cellpass writes nothing there. */
  readonly writeRole: string | null;
  /** `ci`: a database that has CI's tables alone. */
  readonly database: DatabaseName;
  /** The name of the database. */
  readonly databaseName: string;
}

/** What a GitLab has; null for the newest one that is known. */
export interface Catalog {
  readonly columns: ReadonlyMap<string, ReadonlySet<string>>;
  readonly ciIsElsewhere: boolean;
}

/** Which of the tables and columns are there. A role without any right may ask. */
export async function readCatalog(sql: Sql): Promise<Catalog> {
  const names = [...Object.keys({ ...TABLES, ...CI_MIRRORS }), ...Object.keys(WRITES)];
  const columns = new Map<string, Set<string>>();
  for (const { table_name, column_name } of await readColumns(sql, [...new Set(names)])) {
    const known = columns.get(table_name) ?? new Set();
    columns.set(table_name, known.add(column_name));
  }
  return { columns, ciIsElsewhere: await hasCiElsewhere(sql) };
}

/** The columns that a later version renamed. */
const GONE: ReadonlySet<string> = new Set([
  'push_protected_up_to_access_level',
  'delete_protected_up_to_access_level',
]);

/** SQL that grants, and creates nothing. */
export function printGrants(order: GrantsOrder, catalog: Catalog | null): string {
  const { role, writeRole, database, databaseName } = order;
  const isThere = (table: string, column: string): boolean =>
    catalog === null ? !GONE.has(column) : (catalog.columns.get(table)?.has(column) ?? false);
  const ciIsElsewhere = database === 'ci' || catalog?.ciIsElsewhere === true;
  const reads = tablesIn(database, ciIsElsewhere).flatMap(([table, used]) => {
    const columns = columnsOf(used).filter((column) => isThere(table, column));
    return columns.length === 0 ? [] : [grant(`SELECT (${columns.join(', ')})`, table, role)];
  });
  const writes = writeRole === null || database === 'ci' ? [] : writeGrants(writeRole, isThere);
  return [
    `-- What cellpass needs in ${database === 'ci' ? "GitLab's CI database" : "GitLab's database"}, and no more. Run it there as the owner of the tables,`,
    '-- after the roles were created, such as:',
    ...[role, ...(writes.length === 0 ? [] : [writeRole ?? ''])].map(
      (name) => `--   CREATE ROLE ${quote(name)} LOGIN PASSWORD '…' CONNECTION LIMIT 40;`,
    ),
    ...connect(databaseName, role),
    ...reads,
    ...(writes.length === 0 || writeRole === null
      ? []
      : [
          '-- Only for CELLPASS_GITLAB_WRITE_DATABASE_URL, on the primary.',
          ...connect(databaseName, writeRole),
          ...writes,
        ]),
    '',
  ].join('\n');
}

function connect(databaseName: string, role: string): readonly string[] {
  return [
    `GRANT CONNECT ON DATABASE ${quote(databaseName)} TO ${quote(role)};`,
    `GRANT USAGE ON SCHEMA public TO ${quote(role)};`,
  ];
}

function writeGrants(role: string, isThere: (table: string, column: string) => boolean): readonly string[] {
  return Object.entries(WRITES).flatMap(([table, { insert, select, update, sequence, ...rights }]) => {
    const list = (right: string, columns: readonly string[] = []): readonly string[] => {
      const there = columns.filter((column) => isThere(table, column));
      return there.length === 0 ? [] : [`${right} (${there.join(', ')})`];
    };
    const allowed = [...list('SELECT', select), ...list('INSERT', insert), ...list('UPDATE', update)];
    if (allowed.length === 0) return [];
    return [
      grant([...allowed, ...(rights.delete === true ? ['DELETE'] : [])].join(', '), table, role),
      ...(sequence === undefined ? [] : [`GRANT USAGE ON SEQUENCE public.${sequence} TO ${quote(role)};`]),
    ];
  });
}

function grant(rights: string, table: string, role: string): string {
  return `GRANT ${rights} ON public.${table} TO ${quote(role)};`;
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
