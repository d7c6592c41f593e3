import type { NamespaceRow, ProjectRow } from '../../store/directory/rows.ts';
import type { GroupEntry, ProjectEntry } from '../document/document.ts';
import { keyOf } from '../document/fields.ts';
import { findOrganization } from './accounts.ts';
import { byId, put } from './draft.ts';
import type { Planning } from './planning.ts';
import type { Tree, TreeNode } from './tree.ts';

interface Above {
  readonly path: string;
  readonly traversalIds: readonly number[];
  readonly organizationId: number;
}

interface Settling {
  readonly planning: Planning;
  readonly groups: ReadonlyMap<number, GroupEntry>;
  readonly projects: ReadonlyMap<number, ProjectEntry>;
  readonly settled: { readonly namespaces: Set<number>; readonly projects: Set<number> };
}

/** Writes the tree into the draft: paths, parents and organizations follow from where a node stands, the rest from its entry. */
export function settleTree(planning: Planning, tree: Tree): void {
  const { document, draft, outcome } = planning;
  const settling: Settling = {
    planning,
    groups: entriesById(document.groups ?? [], outcome.groups.placeOf),
    projects: entriesById(document.projects ?? [], outcome.projects.placeOf),
    settled: { namespaces: new Set(), projects: new Set() },
  };
  for (const root of tree.roots.values()) settleNamespace(settling, root, null);
  for (const row of draft.namespaces.stored.values()) {
    if (settling.settled.namespaces.has(row.id)) continue;
    draft.namespaces.rows.delete(String(row.id));
    if (row.type === 'Group') outcome.groups.removed.add(row.id);
  }
  for (const { id } of draft.projects.stored.values()) {
    if (settling.settled.projects.has(id)) continue;
    draft.projects.rows.delete(String(id));
    outcome.projects.removed.add(id);
  }
  renamePatterns(settling);
}

function entriesById<E extends { readonly at: number }>(
  entries: readonly E[],
  placeOf: ReadonlyMap<number, number>,
): ReadonlyMap<number, E> {
  const byPlace = new Map(entries.map((entry) => [entry.at, entry]));
  return new Map(
    [...placeOf].flatMap(([id, at]) => {
      const entry = byPlace.get(at);
      return entry === undefined ? [] : [[id, entry] as const];
    }),
  );
}

function settleNamespace(settling: Settling, node: TreeNode, above: Above | null): void {
  const path = above === null ? node.name : `${above.path}/${node.name}`;
  const traversalIds = [...(above?.traversalIds ?? []), node.id];
  const organizationId = organizationOf(settling, node, above);
  const fields = attributesOf(settling, node);
  if (fields !== undefined) {
    const parent_id = node.parent?.id ?? null;
    const place = {
      organization_id: organizationId,
      parent_id,
      path,
      path_key: keyOf(path),
      traversal_ids: traversalIds,
    };
    put(settling.planning.draft.namespaces, { ...fields, ...place });
    settling.settled.namespaces.add(node.id);
  }
  for (const child of node.children.values()) {
    if (child.kind === 'Project') settleProject(settling, child, path);
    else settleNamespace(settling, child, { path, traversalIds, organizationId });
  }
}

type Attributes = Omit<NamespaceRow, 'organization_id' | 'parent_id' | 'path' | 'path_key' | 'traversal_ids'>;

/** Undefined for a node that only stands in for what can't be looked up. */
function attributesOf({ planning, groups }: Settling, node: TreeNode): Attributes | undefined {
  const entry = groups.get(node.id);
  if (entry === undefined) return byId(planning.draft.namespaces, node.id);
  const { share_with_group_lock, over_storage_limit, archived, ip_allowlist } = entry;
  const flags = { share_with_group_lock, over_storage_limit, archived, ip_allowlist };
  return { id: node.id, type: 'Group', owner_id: null, ...flags };
}

function organizationOf({ planning, groups }: Settling, node: TreeNode, above: Above | null): number {
  const entry = groups.get(node.id);
  const stored = byId(planning.draft.namespaces, node.id);
  if (entry !== undefined && (above === null || entry.organization !== undefined)) {
    const path = ['groups', entry.at, 'organization'];
    const id = findOrganization(planning, entry.organization, path);
    if (above === null) return id;
    if (id !== above.organizationId && !planning.assume)
      planning.report(path, 'must be that of its top-level group');
  }
  if (above !== null) return above.organizationId;
  const owner = stored?.owner_id == null ? undefined : byId(planning.draft.users, stored.owner_id);
  return owner?.organization_id ?? stored?.organization_id ?? 0;
}

function settleProject({ planning, projects, settled }: Settling, node: TreeNode, parentPath: string): void {
  const path = `${parentPath}/${node.name}`;
  const entry = projects.get(node.id);
  const stored = byId(planning.draft.projects, node.id);
  const fields = entry === undefined ? stored : toAttributes(entry);
  if (fields === undefined || node.parent === null) return;
  put(planning.draft.projects, {
    ...fields,
    id: node.id,
    namespace_id: node.parent.id,
    path,
    path_key: keyOf(path),
  });
  settled.projects.add(node.id);
}

function toAttributes(entry: ProjectEntry): Omit<ProjectRow, 'id' | 'namespace_id' | 'path' | 'path_key'> {
  const { visibility, container_registry, archived, deletion_scheduled, ci_enabled, job_token_allowlist } =
    entry;
  const job_token_open = job_token_allowlist === 'anyone';
  return { visibility, container_registry, archived, deletion_scheduled, ci_enabled, job_token_open };
}

/** A project that follows its group to another path takes its protection along: the old patterns would match nothing. */
function renamePatterns({ planning, projects }: Settling): void {
  const { draft } = planning;
  for (const rule of draft.protected_repositories.stored.values()) {
    const before = draft.projects.stored.get(String(rule.project_id));
    const after = byId(draft.projects, rule.project_id);
    if (before === undefined || after === undefined || projects.has(rule.project_id)) continue;
    if (before.path_key === after.path_key || !keyOf(rule.pattern).startsWith(before.path_key)) continue;
    put(draft.protected_repositories, {
      ...rule,
      pattern: `${after.path}${rule.pattern.slice(before.path.length)}`,
    });
  }
}
