import type { NamespaceRow, ProjectRow } from '../../../store/directory/rows.ts';
import type { GroupEntry, ProjectEntry } from '../../document/document.ts';
import { keyOf } from '../../document/fields.ts';
import { movePattern } from '../../document/patterns.ts';
import { findOrganization, type Organizations } from '../accounts.ts';
import type { PlanContext } from '../context.ts';
import { byId, put } from '../tables.ts';
import type { Tree, TreeNode } from './tree.ts';

interface ParentPlace {
  readonly path: string;
  readonly traversalIds: readonly number[];
  readonly organizationId: number;
}

interface TreeWriting {
  readonly context: PlanContext;
  readonly organizations: Organizations;
  readonly groups: ReadonlyMap<number, GroupEntry>;
  readonly projects: ReadonlyMap<number, ProjectEntry>;
  readonly written: { readonly namespaces: Set<number>; readonly projects: Set<number> };
}

/**
 * Writes the tree into the tables. The position of a node gives its path, parent and organization,
 * its entry the other columns.
 */
export function writeTree(context: PlanContext, tree: Tree, organizations: Organizations): void {
  const { document, tables, results } = context;
  const writing: TreeWriting = {
    context,
    organizations,
    groups: entriesById(document.groups ?? [], results.groups.indexById),
    projects: entriesById(document.projects ?? [], results.projects.indexById),
    written: { namespaces: new Set(), projects: new Set() },
  };
  for (const root of tree.roots.values()) writeNamespace(writing, root, null);
  for (const row of tables.namespaces.stored.values()) {
    if (writing.written.namespaces.has(row.id)) continue;
    tables.namespaces.rows.delete(String(row.id));
    if (row.type === 'Group') results.groups.removed.add(row.id);
  }
  for (const { id } of tables.projects.stored.values()) {
    if (writing.written.projects.has(id)) continue;
    tables.projects.rows.delete(String(id));
    results.projects.removed.add(id);
  }
  renamePatterns(writing);
}

function entriesById<E extends { readonly at: number }>(
  entries: readonly E[],
  indexById: ReadonlyMap<number, number>,
): ReadonlyMap<number, E> {
  const byPlace = new Map(entries.map((entry) => [entry.at, entry]));
  return new Map(
    [...indexById].flatMap(([id, at]) => {
      const entry = byPlace.get(at);
      return entry === undefined ? [] : [[id, entry] as const];
    }),
  );
}

function writeNamespace(writing: TreeWriting, node: TreeNode, parent: ParentPlace | null): void {
  const path = parent === null ? node.name : `${parent.path}/${node.name}`;
  const traversalIds = [...(parent?.traversalIds ?? []), node.id];
  const organizationId = organizationOf(writing, node, parent);
  const fields = attributesOf(writing, node);
  if (fields !== undefined) {
    const parent_id = node.parent?.id ?? null;
    const place = {
      organization_id: organizationId,
      parent_id,
      path,
      path_key: keyOf(path),
      traversal_ids: traversalIds,
    };
    put(writing.context.tables.namespaces, { ...fields, ...place });
    writing.written.namespaces.add(node.id);
  }
  for (const child of node.children.values()) {
    if (child.kind === 'Project') writeProject(writing, child, path);
    else writeNamespace(writing, child, { path, traversalIds, organizationId });
  }
}

type Attributes = Omit<NamespaceRow, 'organization_id' | 'parent_id' | 'path' | 'path_key' | 'traversal_ids'>;

/** Undefined for a placeholder, which has neither an entry nor a stored row. */
function attributesOf({ context, groups }: TreeWriting, node: TreeNode): Attributes | undefined {
  const entry = groups.get(node.id);
  if (entry === undefined) return byId(context.tables.namespaces, node.id);
  const { share_with_group_lock, over_storage_limit, archived, ip_allowlist } = entry;
  const flags = { share_with_group_lock, over_storage_limit, archived, ip_allowlist };
  return { id: node.id, type: 'Group', owner_id: null, ...flags };
}

function organizationOf(
  { context, organizations, groups }: TreeWriting,
  node: TreeNode,
  parent: ParentPlace | null,
): number {
  const entry = groups.get(node.id);
  const stored = byId(context.tables.namespaces, node.id);
  if (entry !== undefined && (parent === null || entry.organization !== undefined)) {
    const path = ['groups', entry.at, 'organization'];
    const id = findOrganization(context, organizations, { name: entry.organization, path });
    if (parent === null) return id;
    if (id !== parent.organizationId && !context.assume)
      context.report(
        path,
        'must be the organization of the top-level group: leave it out, or move the top-level group',
      );
  }
  if (parent !== null) return parent.organizationId;
  const owner = stored?.owner_id == null ? undefined : byId(context.tables.users, stored.owner_id);
  return owner?.organization_id ?? stored?.organization_id ?? 0;
}

function writeProject({ context, projects, written }: TreeWriting, node: TreeNode, parentPath: string): void {
  const path = `${parentPath}/${node.name}`;
  const entry = projects.get(node.id);
  const stored = byId(context.tables.projects, node.id);
  const fields = entry === undefined ? stored : toAttributes(entry);
  if (fields === undefined || node.parent === null) return;
  put(context.tables.projects, {
    ...fields,
    id: node.id,
    namespace_id: node.parent.id,
    path,
    path_key: keyOf(path),
  });
  written.projects.add(node.id);
}

function toAttributes(entry: ProjectEntry): Omit<ProjectRow, 'id' | 'namespace_id' | 'path' | 'path_key'> {
  const { visibility, container_registry, archived, deletion_scheduled, ci_enabled, job_token_allowlist } =
    entry;
  const job_token_open = job_token_allowlist === 'anyone';
  return { visibility, container_registry, archived, deletion_scheduled, ci_enabled, job_token_open };
}

/** Renames the patterns of a project whose group moved: the old patterns would match nothing. */
function renamePatterns({ context, projects }: TreeWriting): void {
  const { tables } = context;
  for (const rule of tables.protected_repositories.stored.values()) {
    const before = tables.projects.stored.get(String(rule.project_id));
    const after = byId(tables.projects, rule.project_id);
    if (before === undefined || after === undefined || projects.has(rule.project_id)) continue;
    if (before.path_key === after.path_key) continue;
    put(tables.protected_repositories, {
      ...rule,
      pattern: movePattern(rule.pattern, before.path, after.path),
    });
  }
}
