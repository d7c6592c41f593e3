import type { Path } from '../../../config/yaml.ts';
import type { NamespaceRow, UserRow } from '../../../store/directory/rows.ts';
import type { GroupEntry, ProjectEntry } from '../../document/document.ts';
import { keyOf } from '../../document/fields.ts';
import { mayExist, newId, type PlanContext } from '../context.ts';
import { claimedMessage } from '../resolve-entries.ts';
import { put } from '../tables.ts';
import { evict, nounOf, pruneUnnamed, removeBranch, type TreeContext, willBePruned } from './prune-tree.ts';
import {
  attach,
  buildTree,
  childrenOf,
  createNode,
  detach,
  findNode,
  lastName,
  parentPath,
  pathOf,
  type Tree,
  type TreeNode,
} from './tree.ts';

type Section = 'groups' | 'projects';
const KIND = { groups: 'Group', projects: 'Project' } as const;

/**
 * The tree of personal namespaces, groups and projects, as it shall be; users must be planned. First everything that moves is
 * lifted out, so that entries may swap their places; then it is put where the document says, parents first.
 */
export function planTree(context: PlanContext): Tree {
  const { tables, document } = context;
  const tree = buildTree(tables.namespaces.stored.values(), tables.projects.stored.values());
  const treeContext: TreeContext = {
    context,
    tree,
    claimed: {
      Group: liftClaimed(tree.namespaces, document.groups ?? [], tree),
      Project: liftClaimed(tree.projects, document.projects ?? [], tree),
    },
    named: {
      Group: new Set(document.groups?.map(({ path }) => keyOf(path))),
      Project: new Set(document.projects?.map(({ path }) => keyOf(path))),
    },
    storedIds: {
      Group: idsByPath(tables.namespaces.stored.values()),
      Project: idsByPath(tables.projects.stored.values()),
    },
  };
  placePersonalNamespaces(treeContext);
  const parentsFirst = (document.groups ?? []).toSorted((a, b) => depthOf(a) - depthOf(b));
  for (const entry of parentsFirst) placeEntry(treeContext, 'groups', entry);
  for (const entry of document.projects ?? []) placeEntry(treeContext, 'projects', entry);
  pruneUnnamed(treeContext);
  return tree;
}

function depthOf({ path }: GroupEntry): number {
  return path.split('/').length;
}

/** Claims stored nodes by id, and detaches those that are to stand elsewhere. */
function liftClaimed(
  nodes: ReadonlyMap<number, TreeNode>,
  entries: readonly (GroupEntry | ProjectEntry)[],
  tree: Tree,
): ReadonlyMap<number, number> {
  const claimed = new Map<number, number>();
  const moving: TreeNode[] = [];
  for (const { id, at, path } of entries) {
    const node = id === undefined ? undefined : nodes.get(id);
    if (node === undefined || node.kind === 'User') continue;
    claimed.set(node.id, at);
    if (pathOf(node) !== path) moving.push(node);
  }
  // Only now, as a detached node has no path by which those below it could be compared.
  for (const node of moving) detach(tree, node);
  return claimed;
}

/** Every user but a bot has one; it is created, renamed and removed with the user. */
function placePersonalNamespaces(treeContext: TreeContext): void {
  const { context, tree } = treeContext;
  const { tables } = context;
  const byOwner = new Map<number, TreeNode>();
  for (const { id, owner_id } of tables.namespaces.stored.values()) {
    const node = tree.namespaces.get(id);
    if (owner_id !== null && node !== undefined) byOwner.set(owner_id, node);
  }
  const owners = [...tables.users.rows.values()].filter(
    ({ kind }) => kind === 'human' || kind === 'service_account',
  );
  const ownerIds = new Set(owners.map(({ id }) => id));
  for (const [ownerId, node] of byOwner) if (!ownerIds.has(ownerId)) removeBranch(treeContext, node);
  const misplaced = owners.filter(({ id, username }) => byOwner.get(id)?.name !== username);
  for (const { id } of misplaced) {
    const node = byOwner.get(id);
    if (node !== undefined) detach(tree, node);
  }
  for (const owner of misplaced) placePersonalNamespace(treeContext, owner, byOwner.get(owner.id));
}

function placePersonalNamespace(
  treeContext: TreeContext,
  owner: UserRow,
  stored: TreeNode | undefined,
): void {
  const { context, tree } = treeContext;
  const node = stored ?? createNode('User', context.takeId('unnamed'));
  if (stored === undefined) {
    tree.namespaces.set(node.id, node);
    put(context.tables.namespaces, personalNamespace(node.id, owner));
  }
  const occupant = tree.roots.get(owner.username_key);
  // Two users of one name are reported as such.
  if (occupant?.kind === 'User') return;
  if (occupant !== undefined && !evict(treeContext, occupant)) {
    const at = context.results.users.indexById.get(owner.id) ?? 0;
    context.report(
      ['users', at, 'username'],
      `is the path of the ${nounOf(occupant)} with id ${occupant.id}`,
    );
    return;
  }
  attach(tree, node, null, owner.username);
}

function personalNamespace(id: number, owner: UserRow): NamespaceRow {
  return {
    id,
    type: 'User',
    organization_id: owner.organization_id,
    parent_id: null,
    owner_id: owner.id,
    path: owner.username,
    path_key: owner.username_key,
    traversal_ids: [id],
    share_with_group_lock: false,
    over_storage_limit: false,
    archived: false,
    ip_allowlist: [],
  };
}

function placeEntry(treeContext: TreeContext, section: Section, entry: GroupEntry | ProjectEntry): void {
  const { context, tree } = treeContext;
  const parent = findParent(treeContext, section, entry.path, [section, entry.at, 'path']);
  if (parent === undefined) return;
  const node = findOrCreate(treeContext, section, entry, parent);
  if (node === undefined) return;
  context.results[section].indexById.set(node.id, entry.at);
  attach(tree, node, parent, lastName(entry.path));
}

/** The node that an entry means: by id where given, else by its path; or a new one. Undefined: the place is taken, which is reported. */
function findOrCreate(
  treeContext: TreeContext,
  section: Section,
  entry: GroupEntry | ProjectEntry,
  parent: TreeNode | null,
): TreeNode | undefined {
  const { context, tree, claimed, storedIds } = treeContext;
  const kind = KIND[section];
  const nodes = section === 'groups' ? tree.namespaces : tree.projects;
  const own = entry.id === undefined ? undefined : nodes.get(entry.id);
  const occupant = childrenOf(tree, parent).get(keyOf(lastName(entry.path)));
  if (occupant !== undefined && occupant !== own) {
    const isMeant = occupant.kind === kind && entry.id === undefined && !claimed[kind].has(occupant.id);
    if (isMeant) return occupant;
    // The same path twice in the document is reported as that.
    if (context.results[section].indexById.has(occupant.id) && occupant.kind === kind) return undefined;
    if (!evict(treeContext, occupant)) {
      context.report([section, entry.at, 'path'], occupiedMessage(occupant, kind));
      return undefined;
    }
  }
  if (own?.kind === kind) return own;
  const stored = storedIds[kind].get(keyOf(entry.path));
  if (stored !== undefined && entry.id === undefined && claimed[kind].has(stored)) {
    context.report([section, entry.at, 'path'], claimedMessage(stored));
    return undefined;
  }
  const node = createNode(kind, newId(context, section, entry));
  nodes.set(node.id, node);
  return node;
}

function occupiedMessage(occupant: TreeNode, kind: TreeNode['kind']): string {
  if (occupant.kind === kind) return `is stored with id ${occupant.id}`;
  return occupant.kind === 'User' ? 'is the name of a user' : `is the path of a ${nounOf(occupant)}`;
}

function idsByPath(
  rows: Iterable<{ readonly id: number; readonly path_key: string }>,
): ReadonlyMap<string, number> {
  return new Map([...rows].map(({ id, path_key }) => [path_key, id]));
}

/** Null: the root. Undefined: there is none, which is reported. */
function findParent(
  treeContext: TreeContext,
  section: Section,
  path: string,
  at: Path,
): TreeNode | null | undefined {
  const { context, tree } = treeContext;
  const above = parentPath(path);
  if (above === undefined) return null;
  const parent = findNode(tree, above);
  if (parent?.kind === 'User' && section === 'groups') {
    context.report(at, `"${above}" is a user: a personal namespace holds no groups`);
    return undefined;
  }
  if (parent !== undefined && parent.kind !== 'Project' && !willBePruned(treeContext, parent)) return parent;
  if (mayExist(context, 'groups', above) || (!above.includes('/') && mayExist(context, 'users', above))) {
    return assumeGroups(treeContext, above);
  }
  context.report(
    at,
    section === 'groups' ? `unknown parent group "${above}"` : `unknown group or user "${above}"`,
  );
  return undefined;
}

/** Stands in for groups that can't be looked up, so that what is below them can be checked. */
function assumeGroups({ context, tree }: TreeContext, path: string): TreeNode | null {
  let parent: TreeNode | null = null;
  for (const name of path.split('/')) {
    let node: TreeNode | undefined = childrenOf(tree, parent).get(keyOf(name));
    if (node === undefined) {
      node = createNode('Group', context.takeId('unnamed'));
      attach(tree, node, parent, name);
    }
    parent = node;
  }
  return parent;
}
