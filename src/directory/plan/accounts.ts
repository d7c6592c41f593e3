import type { OrganizationRow, SettingsRow, UserRow } from '../../store/directory/rows.ts';
import type { OrganizationEntry, UserEntry } from '../document/document.ts';
import { keyOf } from '../document/fields.ts';
import type { Path } from '../document/read.ts';
import { byId, put, removeRow } from './draft.ts';
import { matchEntries } from './match.ts';
import { findUser, mayExist, newId, type Planning, type References } from './planning.ts';

export function planSettings({ document, draft }: Planning): void {
  if (document.settings !== undefined) put<SettingsRow>(draft.settings, { id: true, ...document.settings });
}

export function planOrganizations(planning: Planning): void {
  const { document, draft, outcome } = planning;
  const entries = document.organizations ?? [];
  const matches = matchEntries(planning, {
    section: 'organizations',
    nameField: 'path',
    unique: true,
    entries,
    rows: draft.organizations.stored.values(),
    entryName: ({ path }) => keyOf(path),
    rowName: ({ path_key }) => path_key,
  });
  const rows: OrganizationRow[] = [];
  for (const [entry, stored] of matches) {
    const id = stored?.id ?? newId(planning, 'organizations', entry);
    outcome.organizations.placeOf.set(id, entry.at);
    rows.push({
      id,
      path: entry.path,
      path_key: keyOf(entry.path),
      maintenance: entry.maintenance,
      position: 0,
    });
  }
  for (const stored of draft.organizations.stored.values()) {
    const named = outcome.organizations.placeOf.has(stored.id);
    if (named || !planning.prune || document.organizations === undefined) continue;
    removeRow(draft.organizations, stored);
    outcome.organizations.removed.add(stored.id);
  }
  if (entries.length > 0) {
    for (const row of inOrder([...draft.organizations.rows.values()], rows)) put(draft.organizations, row);
  }
  if (needsOrganization(planning)) addDefaultOrganization(planning);
}

/**
 * Those that the document names stand in its order, in the places that they have among those that it doesn't; new ones come last.
 * So a document that doesn't name the default one never makes another one the default.
 */
function inOrder(
  stored: readonly OrganizationRow[],
  named: readonly OrganizationRow[],
): readonly OrganizationRow[] {
  const ids = new Set(named.map(({ id }) => id));
  const queue = [...named];
  const places = stored.toSorted((a, b) => a.position - b.position || a.id - b.id);
  const kept = places.map((row) => (ids.has(row.id) ? (queue.shift() ?? row) : row));
  return [...kept, ...queue].map((row, position) => ({ ...row, position }));
}

function needsOrganization({ document, draft }: Planning): boolean {
  const { users = [], groups = [] } = document;
  return draft.organizations.rows.size === 0 && users.length + groups.length > 0;
}

function addDefaultOrganization(planning: Planning): void {
  const { draft, outcome, highestGivenId } = planning;
  const id = draft.organizations.stored.has('1') ? planning.takeId('organizations') : 1;
  highestGivenId.set('organizations', Math.max(id, highestGivenId.get('organizations') ?? 0));
  put(draft.organizations, { id, path: 'default', path_key: 'default', maintenance: false, position: 0 });
  outcome.organizations.added.add(id);
}

/** The id of the organization, or of the default one. */
export function findOrganization(planning: Planning, name: string | undefined, path: Path): number {
  const organizations = [...planning.draft.organizations.rows.values()];
  const [first] = organizations.toSorted((a, b) => a.position - b.position || a.id - b.id);
  const found = name === undefined ? first : organizations.find(({ path_key }) => path_key === keyOf(name));
  if (found !== undefined) return found.id;
  if (name !== undefined && !mayExist(planning, 'organizations', name)) {
    planning.report(path, `unknown organization "${name}"`);
  }
  return first?.id ?? 0;
}

/** After users are planned. */
export function planOwners(planning: Planning, references: References): void {
  const { document, draft, outcome } = planning;
  const placeOf = outcome.organizations.placeOf;
  for (const row of draft.organization_users.stored.values()) {
    if (placeOf.has(row.organization_id)) removeRow(draft.organization_users, row);
  }
  const entries = new Map(
    document.organizations?.map((entry): [number, OrganizationEntry] => [entry.at, entry]),
  );
  for (const [organization_id, at] of placeOf) {
    entries.get(at)?.owners.forEach((owner, place) => {
      const user_id = findUser(planning, references, owner, ['organizations', at, 'owners', place]);
      if (user_id !== undefined) put(draft.organization_users, { organization_id, user_id });
    });
  }
}

/** After users and groups are planned: an organization that still has some can't be pruned. */
export function checkRemovedOrganizations({ draft, outcome, report }: Planning): void {
  const used = new Set<number>();
  for (const { organization_id } of draft.users.rows.values()) used.add(organization_id);
  for (const { organization_id } of draft.namespaces.rows.values()) used.add(organization_id);
  for (const id of outcome.organizations.removed) {
    const path = draft.organizations.stored.get(String(id))?.path ?? '';
    if (used.has(id)) report(['organizations'], `"${path}" can't be pruned: it still has users or groups`);
  }
}

export function planUsers(planning: Planning): void {
  const { document, draft, outcome, prune } = planning;
  const stored = [...draft.users.stored.values()].filter(
    ({ kind }) => kind === 'human' || kind === 'service_account',
  );
  const matches = matchEntries(planning, {
    section: 'users',
    nameField: 'username',
    unique: true,
    entries: document.users ?? [],
    rows: stored,
    entryName: ({ username }) => keyOf(username),
    rowName: ({ username_key }) => username_key,
  });
  for (const [entry, row] of matches) {
    const id = row?.id ?? newId(planning, 'users', entry);
    outcome.users.placeOf.set(id, entry.at);
    put(draft.users, toUserRow(planning, entry, id, row));
  }
  for (const row of stored) {
    if (!prune || document.users === undefined || outcome.users.placeOf.has(row.id)) continue;
    removeRow(draft.users, row);
    outcome.users.removed.add(row.id);
  }
  checkUnique(planning);
}

function toUserRow(planning: Planning, entry: UserEntry, id: number, stored: UserRow | null): UserRow {
  const { at, password, password_hash, organization, ...fields } = entry;
  const hash = password === undefined ? password_hash : planning.passwordHashes.get(at);
  return {
    ...fields,
    id,
    organization_id: findOrganization(planning, organization, ['users', at, 'organization']),
    username_key: keyOf(entry.username),
    email_key: entry.email === null ? null : keyOf(entry.email),
    password_hash: hash ?? stored?.password_hash ?? null,
  };
}

/** Names and addresses that a user of the document shares with a bot, or with a user that only the server has. */
function checkUnique({ draft, outcome, report }: Planning): void {
  const fields = [
    { field: 'username', keyOf: ({ username_key }: UserRow) => username_key },
    { field: 'email', keyOf: ({ email_key }: UserRow) => email_key },
  ];
  for (const { field, keyOf } of fields) {
    const others = new Map<string | null, UserRow>();
    for (const row of draft.users.rows.values())
      if (!outcome.users.placeOf.has(row.id)) others.set(keyOf(row), row);
    for (const [id, at] of outcome.users.placeOf) {
      const row = byId(draft.users, id);
      const other = row === undefined || keyOf(row) === null ? undefined : others.get(keyOf(row));
      if (other !== undefined) report(['users', at, field], `is taken by the user with id ${other.id}`);
    }
  }
}
