import type { Path } from '../../config/yaml.ts';
import type { OrganizationRow, SettingsRow, UserRow } from '../../store/directory/rows.ts';
import type { OrganizationEntry, UserEntry } from '../document/document.ts';
import { keyOf } from '../document/fields.ts';
import { findUser, mayExist, newId, type PlanContext, type References } from './context.ts';
import { resolveEntries } from './resolve-entries.ts';
import { byId, put, removeRow } from './tables.ts';

export function planSettings({ document, tables }: PlanContext): void {
  if (document.settings !== undefined) put<SettingsRow>(tables.settings, { id: true, ...document.settings });
}

/** The planned organizations. */
export interface Organizations {
  /** The default; undefined without organizations. */
  readonly first: OrganizationRow | undefined;
  readonly byKey: ReadonlyMap<string, OrganizationRow>;
}

export function planOrganizations(context: PlanContext): Organizations {
  const { document, tables, results } = context;
  const entries = document.organizations ?? [];
  const resolved = resolveEntries(context, {
    section: 'organizations',
    nameField: 'path',
    unique: true,
    entries,
    rows: tables.organizations.stored.values(),
    entryName: ({ path }) => keyOf(path),
    rowName: ({ path_key }) => path_key,
  });
  const rows: OrganizationRow[] = [];
  for (const [entry, stored] of resolved) {
    const id = stored?.id ?? newId(context, 'organizations', entry);
    results.organizations.indexById.set(id, entry.at);
    rows.push({
      id,
      path: entry.path,
      path_key: keyOf(entry.path),
      maintenance: entry.maintenance,
      position: stored?.position ?? Number.POSITIVE_INFINITY,
    });
  }
  checkPaths(context, rows);
  if (context.keepsOrder === true) rows.sort((a, b) => a.position - b.position);
  for (const stored of tables.organizations.stored.values()) {
    const isNamed = results.organizations.indexById.has(stored.id);
    if (isNamed || !context.prune || document.organizations === undefined) continue;
    removeRow(tables.organizations, stored);
    results.organizations.removed.add(stored.id);
  }
  if (entries.length > 0) {
    for (const row of inOrder([...tables.organizations.rows.values()], rows)) put(tables.organizations, row);
  }
  if (needsOrganization(context)) addDefaultOrganization(context);
  const planned = byPosition(tables.organizations.rows.values());
  return { first: planned[0], byKey: new Map(planned.map((row) => [row.path_key, row])) };
}

/** Reports a path that another stored organization has and keeps. */
function checkPaths(
  { document, tables, results, prune, report }: PlanContext,
  rows: readonly OrganizationRow[],
): void {
  // Removes all that the section does not name.
  if (prune && document.organizations !== undefined) return;
  const stored = new Map([...tables.organizations.stored.values()].map((row) => [row.path_key, row.id]));
  const { indexById } = results.organizations;
  for (const { id, path_key } of rows) {
    const other = stored.get(path_key);
    if (other === undefined || other === id || indexById.has(other)) continue;
    report(
      ['organizations', indexById.get(id) ?? 0, 'path'],
      `is taken by the stored organization with id ${other}: give this id, or give another path`,
    );
  }
}

function byPosition(rows: Iterable<OrganizationRow>): readonly OrganizationRow[] {
  return [...rows].sort((a, b) => a.position - b.position || a.id - b.id);
}

/**
 * Puts the organizations of the document in its order, into the positions that they have now.
 * Others keep their positions, new ones come last: a document without the default organization,
 * which is the first, does not change the default. Where the order stays, so do the positions, even
 * two that are equal, to which an undo can lead.
 */
function inOrder(
  stored: readonly OrganizationRow[],
  named: readonly OrganizationRow[],
): readonly OrganizationRow[] {
  const ids = new Set(named.map(({ id }) => id));
  const queue = [...named];
  const now = byPosition(stored);
  const kept = now.map((row) => (ids.has(row.id) ? (queue.shift() ?? row) : row));
  const staysInOrder = kept.every((row, at) => row.id === now[at]?.id);
  const ordered = staysInOrder ? kept : kept.map((row, position) => ({ ...row, position }));
  const next = (ordered.at(-1)?.position ?? -1) + 1;
  return [...ordered, ...queue.map((row, at) => ({ ...row, position: next + at }))];
}

function needsOrganization({ document, tables }: PlanContext): boolean {
  const { users = [], groups = [] } = document;
  return tables.organizations.rows.size === 0 && users.length + groups.length > 0;
}

function addDefaultOrganization(context: PlanContext): void {
  const { tables, results, highestGivenId } = context;
  const id = tables.organizations.stored.has('1') ? context.takeId('organizations') : 1;
  highestGivenId.set('organizations', Math.max(id, highestGivenId.get('organizations') ?? 0));
  put(tables.organizations, { id, path: 'default', path_key: 'default', maintenance: false, position: 0 });
  results.organizations.added.add(id);
}

/** The id of the named organization; without a name of the default organization. */
export function findOrganization(
  context: PlanContext,
  { first, byKey }: Organizations,
  { name, path }: { readonly name: string | undefined; readonly path: Path },
): number {
  const found = name === undefined ? first : byKey.get(keyOf(name));
  if (found !== undefined) return found.id;
  if (name !== undefined && !mayExist(context, 'organizations', name)) {
    context.report(path, `there is no organization "${name}"`, { name, among: ['organizations'] });
  }
  return first?.id ?? 0;
}

/** Runs after `planUsers`. */
export function planOwners(context: PlanContext, references: References): void {
  const { document, tables, results } = context;
  const indexById = results.organizations.indexById;
  for (const row of tables.organization_users.stored.values()) {
    if (indexById.has(row.organization_id)) removeRow(tables.organization_users, row);
  }
  const entries = new Map(
    document.organizations?.map((entry): [number, OrganizationEntry] => [entry.at, entry]),
  );
  for (const [organization_id, at] of indexById) {
    entries.get(at)?.owners.forEach((owner, place) => {
      const user_id = findUser(context, references, owner, ['organizations', at, 'owners', place]);
      if (user_id !== undefined) put(tables.organization_users, { organization_id, user_id });
    });
  }
}

/**
 * Runs after users and groups are planned: an organization with users or groups can't be pruned.
 */
export function checkRemovedOrganizations({ tables, results, report }: PlanContext): void {
  const used = new Set<number>();
  for (const { organization_id } of tables.users.rows.values()) used.add(organization_id);
  for (const { organization_id } of tables.namespaces.rows.values()) used.add(organization_id);
  for (const id of results.organizations.removed) {
    const path = tables.organizations.stored.get(String(id))?.path ?? '';
    if (used.has(id))
      report(['organizations'], `"${path}" can't be pruned, because it has users or groups: move them first`);
  }
}

/** Runs after `planOrganizations`. */
export function planUsers(context: PlanContext, organizations: Organizations): void {
  const { document, tables, results, prune } = context;
  const stored = [...tables.users.stored.values()].filter(
    ({ kind }) => kind === 'human' || kind === 'service_account',
  );
  const resolved = resolveEntries(context, {
    section: 'users',
    nameField: 'username',
    unique: true,
    entries: document.users ?? [],
    rows: stored,
    entryName: ({ username }) => keyOf(username),
    rowName: ({ username_key }) => username_key,
  });
  for (const [entry, row] of resolved) {
    const id = row?.id ?? newId(context, 'users', entry);
    results.users.indexById.set(id, entry.at);
    const path = ['users', entry.at, 'organization'];
    const organizationId = findOrganization(context, organizations, { name: entry.organization, path });
    put(tables.users, { ...toUserFields(context, entry, row), id, organization_id: organizationId });
  }
  for (const row of stored) {
    if (!prune || document.users === undefined || results.users.indexById.has(row.id)) continue;
    removeRow(tables.users, row);
    results.users.removed.add(row.id);
  }
  checkUnique(context);
}

function toUserFields(
  context: PlanContext,
  entry: UserEntry,
  stored: UserRow | null,
): Omit<UserRow, 'id' | 'organization_id'> {
  const { at, id, password, password_hash, organization, ...fields } = entry;
  const hash = password === undefined ? password_hash : context.passwordHashes.get(at);
  return {
    ...fields,
    username_key: keyOf(entry.username),
    email_key: entry.email === null ? null : keyOf(entry.email),
    password_hash: hash ?? stored?.password_hash ?? null,
  };
}

/**
 * Reports names and addresses that a bot, or a user that the document doesn't name, has already.
 */
function checkUnique({ tables, results, report }: PlanContext): void {
  const fields = [
    { field: 'username', keyOf: ({ username_key }: UserRow) => username_key },
    { field: 'email', keyOf: ({ email_key }: UserRow) => email_key },
  ];
  for (const { field, keyOf } of fields) {
    const others = new Map<string | null, UserRow>();
    for (const row of tables.users.rows.values())
      if (!results.users.indexById.has(row.id)) others.set(keyOf(row), row);
    for (const [id, at] of results.users.indexById) {
      const row = byId(tables.users, id);
      const other = row === undefined || keyOf(row) === null ? undefined : others.get(keyOf(row));
      if (other !== undefined) report(['users', at, field], `is taken by the user with id ${other.id}`);
    }
  }
}
