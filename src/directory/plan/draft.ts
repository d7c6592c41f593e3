import type {
  DirectoryChanges,
  DirectoryRows,
  DirectoryTables,
  TableChanges,
  TableName,
} from '../../store/directory/rows.ts';
import { TABLES } from '../../store/directory/tables.ts';

/** A table as it is stored, and as it shall be. */
export interface DraftTable<R> {
  readonly stored: ReadonlyMap<string, R>;
  readonly rows: Map<string, R>;
  readonly keyOf: (row: R) => string;
  readonly isSame: (a: R, b: R) => boolean;
}

export type Draft = { readonly [T in TableName]: DraftTable<DirectoryTables[T]> };

export function createDraft(stored: DirectoryRows): Draft {
  return {
    settings: createTable('settings', stored.settings),
    organizations: createTable('organizations', stored.organizations),
    users: createTable('users', stored.users),
    organization_users: createTable('organization_users', stored.organization_users),
    namespaces: createTable('namespaces', stored.namespaces),
    projects: createTable('projects', stored.projects),
    members: createTable('members', stored.members),
    group_group_links: createTable('group_group_links', stored.group_group_links),
    project_group_links: createTable('project_group_links', stored.project_group_links),
    job_token_project_links: createTable('job_token_project_links', stored.job_token_project_links),
    job_token_group_links: createTable('job_token_group_links', stored.job_token_group_links),
    protected_repositories: createTable('protected_repositories', stored.protected_repositories),
    protected_tags: createTable('protected_tags', stored.protected_tags),
    access_tokens: createTable('access_tokens', stored.access_tokens),
    deploy_tokens: createTable('deploy_tokens', stored.deploy_tokens),
    project_deploy_tokens: createTable('project_deploy_tokens', stored.project_deploy_tokens),
    job_tokens: createTable('job_tokens', stored.job_tokens),
    revoked_secrets: createTable('revoked_secrets', stored.revoked_secrets),
  };
}

function createTable<T extends TableName>(
  name: T,
  rows: readonly DirectoryTables[T][],
): DraftTable<DirectoryTables[T]> {
  const { key, columns } = TABLES[name];
  const keyOf = (row: DirectoryTables[T]): string => key.map((column) => String(row[column])).join(':');
  const stored = new Map(rows.map((row) => [keyOf(row), row]));
  return {
    stored,
    rows: new Map(stored),
    keyOf,
    isSame: (a, b) => columns.every((column) => isSameValue(a[column], b[column])),
  };
}

function isSameValue(a: unknown, b: unknown): boolean {
  if (!Array.isArray(a) || !Array.isArray(b)) return a === b;
  return a.length === b.length && a.every((value, at) => value === b[at]);
}

/** A row that is stored just so stays the stored one: changes are then seen by identity. */
export function put<R>(table: DraftTable<R>, row: R): void {
  const key = table.keyOf(row);
  const stored = table.stored.get(key);
  table.rows.set(key, stored !== undefined && table.isSame(stored, row) ? stored : row);
}

export function byId<R>(table: DraftTable<R>, id: number): R | undefined {
  return table.rows.get(String(id));
}

export function removeRow<R>(table: DraftTable<R>, row: R): void {
  table.rows.delete(table.keyOf(row));
}

/** Puts `wanted` in the place of `existing`. */
export function replaceRows<R>(table: DraftTable<R>, existing: readonly R[], wanted: readonly R[]): void {
  for (const row of existing) removeRow(table, row);
  for (const row of wanted) put(table, row);
}

export function groupRows<R>(
  table: DraftTable<R>,
  ownerOf: (row: R) => string | number,
): ReadonlyMap<string | number, R[]> {
  const groups = new Map<string | number, R[]>();
  for (const row of table.rows.values()) {
    const owner = ownerOf(row);
    const group = groups.get(owner);
    if (group === undefined) groups.set(owner, [row]);
    else group.push(row);
  }
  return groups;
}

/** Takes away what hangs on rows that are gone, as the database's foreign keys do. A bot goes with its last token. */
export function removeOrphans(draft: Draft): void {
  const hasUser = (id: number | null): boolean => id === null || draft.users.rows.has(String(id));
  const hasNamespace = (id: number | null): boolean => id === null || draft.namespaces.rows.has(String(id));
  const hasProject = (id: number | null): boolean => id === null || draft.projects.rows.has(String(id));
  keep(
    draft.access_tokens,
    (row) => hasUser(row.user_id) && hasProject(row.project_id) && hasNamespace(row.group_id),
  );
  const owners = new Set([...draft.access_tokens.rows.values()].map(({ user_id }) => user_id));
  keep(draft.users, ({ id, kind }) => (kind !== 'project_bot' && kind !== 'group_bot') || owners.has(id));
  keep(draft.deploy_tokens, (row) => hasNamespace(row.group_id));
  keep(draft.job_tokens, (row) => hasProject(row.project_id) && hasUser(row.user_id));
  keep(
    draft.project_deploy_tokens,
    (row) => hasProject(row.project_id) && draft.deploy_tokens.rows.has(String(row.deploy_token_id)),
  );
  keep(
    draft.members,
    ({ user_id, source_type, source_id }) =>
      hasUser(user_id) && (source_type === 'Project' ? hasProject(source_id) : hasNamespace(source_id)),
  );
  keep(
    draft.organization_users,
    (row) => hasUser(row.user_id) && draft.organizations.rows.has(String(row.organization_id)),
  );
  keep(
    draft.group_group_links,
    (row) => hasNamespace(row.shared_group_id) && hasNamespace(row.shared_with_group_id),
  );
  keep(draft.project_group_links, (row) => hasProject(row.project_id) && hasNamespace(row.group_id));
  keep(
    draft.job_token_project_links,
    (row) => hasProject(row.project_id) && hasProject(row.target_project_id),
  );
  keep(draft.job_token_group_links, (row) => hasProject(row.project_id) && hasNamespace(row.target_group_id));
  keep(draft.protected_repositories, (row) => hasProject(row.project_id));
  keep(draft.protected_tags, (row) => hasProject(row.project_id));
}

function keep<R>(table: DraftTable<R>, isKept: (row: R) => boolean): void {
  for (const [key, row] of table.rows) if (!isKept(row)) table.rows.delete(key);
}

export function diffDraft(draft: Draft): DirectoryChanges {
  return {
    settings: diffTable(draft.settings),
    organizations: diffTable(draft.organizations),
    users: diffTable(draft.users),
    organization_users: diffTable(draft.organization_users),
    namespaces: parentsFirst(diffTable(draft.namespaces)),
    projects: diffTable(draft.projects),
    members: diffTable(draft.members),
    group_group_links: diffTable(draft.group_group_links),
    project_group_links: diffTable(draft.project_group_links),
    job_token_project_links: diffTable(draft.job_token_project_links),
    job_token_group_links: diffTable(draft.job_token_group_links),
    protected_repositories: diffTable(draft.protected_repositories),
    protected_tags: diffTable(draft.protected_tags),
    access_tokens: diffTable(draft.access_tokens),
    deploy_tokens: diffTable(draft.deploy_tokens),
    project_deploy_tokens: diffTable(draft.project_deploy_tokens),
    job_tokens: diffTable(draft.job_tokens),
    revoked_secrets: diffTable(draft.revoked_secrets),
  };
}

function diffTable<R>({ stored, rows }: DraftTable<R>): TableChanges<R> {
  return {
    upsert: [...rows].filter(([key, row]) => stored.get(key) !== row).map(([, row]) => row),
    remove: [...stored].filter(([key]) => !rows.has(key)).map(([, row]) => row),
  };
}

/** A statement checks its foreign keys at its end, and there may be several. */
function parentsFirst<R extends { readonly traversal_ids: readonly number[] }>(
  changes: TableChanges<R>,
): TableChanges<R> {
  return {
    ...changes,
    upsert: changes.upsert.toSorted((a, b) => a.traversal_ids.length - b.traversal_ids.length),
  };
}
