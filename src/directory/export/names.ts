import type { DirectoryRows } from '../../store/directory/table-values.ts';

export type Plain = Readonly<Record<string, unknown>>;

/** The names that a document has in place of ids, by id. */
export interface Names {
  readonly organizations: ReadonlyMap<number, string>;
  readonly users: ReadonlyMap<number, string>;
  readonly namespaces: ReadonlyMap<number, string>;
  readonly projects: ReadonlyMap<number, string>;
  readonly bots: ReadonlySet<number>;
}

export function collectNames(rows: DirectoryRows): Names {
  const paths = (
    list: readonly { readonly id: number; readonly path: string }[],
  ): ReadonlyMap<number, string> => new Map(list.map(({ id, path }) => [id, path]));
  const bots = rows.users.filter(({ kind }) => kind === 'project_bot' || kind === 'group_bot');
  return {
    organizations: paths(rows.organizations),
    users: new Map(rows.users.map(({ id, username }) => [id, username])),
    namespaces: paths(rows.namespaces),
    projects: paths(rows.projects),
    bots: new Set(bots.map(({ id }) => id)),
  };
}

/** Leaves out fields with their default values. */
export function withoutDefaults(fields: Plain): Plain {
  return Object.fromEntries(Object.entries(fields).filter(([field, value]) => !isDefault(field, value)));
}

const DEFAULTS: Plain = {
  kind: 'human',
  state: 'active',
  visibility: 'private',
  container_registry: 'enabled',
};
/** Flags that are true unless the document says otherwise. */
const TRUE_BY_DEFAULT: ReadonlySet<string> = new Set(['running', 'ci_enabled']);

/**
 * The value of a field that `withoutDefaults` left out; null: none.
 * @param other a value of the field, which tells its type.
 */
export function defaultOf(field: string, other: unknown): unknown {
  if (typeof other === 'boolean') return TRUE_BY_DEFAULT.has(field);
  if (Array.isArray(other)) return [];
  return DEFAULTS[field] ?? null;
}

function isDefault(field: string, value: unknown): boolean {
  if (value === undefined || value === null) return true;
  if (Array.isArray(value)) return value.length === 0;
  if (value === false) return !TRUE_BY_DEFAULT.has(field);
  return DEFAULTS[field] === value;
}

export function groupBy<R>(rows: readonly R[], keyOf: (row: R) => number): ReadonlyMap<number, readonly R[]> {
  const groups = new Map<number, R[]>();
  for (const row of rows) {
    const group = groups.get(keyOf(row));
    if (group === undefined) groups.set(keyOf(row), [row]);
    else group.push(row);
  }
  return groups;
}

/** Compares by code units: the order must not depend on the locale. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function sorted(names: readonly string[]): readonly string[] {
  return names.toSorted(compare);
}

export function byPath(a: { readonly path_key: string }, b: { readonly path_key: string }): number {
  return compare(a.path_key, b.path_key);
}
