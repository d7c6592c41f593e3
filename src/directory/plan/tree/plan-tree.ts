import type { Path } from '../../../config/yaml.ts';
import type { GroupEntry, ProjectEntry } from '../../document/document.ts';
import { keyOf } from '../../document/fields.ts';
import { mayExist, newId, type PlanContext } from '../context.ts';
import { claimedMessage, takenMessage } from '../resolve-entries.ts';
import { placePersonalNamespaces } from './personal-namespaces.ts';
import { evict, nounOf, pruneUnnamed, type TreeContext, willBePruned } from './prune-tree.ts';
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
 * Plans the tree of personal namespaces, groups and projects. Runs after `planUsers`. First
 * detaches every node that moves, so that two entries may swap their paths; then attaches each node
 * at its new path, parents first.
 */
export function planTree(context: PlanContext): Tree {
  const { tables, document } = context;
  const tree = buildTree(tables.namespaces.stored.values(), tables.projects.stored.values());
  const treeContext: TreeContext = {
    context,
    tree,
    claimed: {
      Group: detachMoving(tree.namespaces, document.groups ?? [], tree),
      Project: detachMoving(tree.projects, document.projects ?? [], tree),
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

/** Finds the stored nodes that entries name by id, and detaches the nodes that move. */
function detachMoving(
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
  // After the loop: the path of a node below a detached node could not be compared.
  for (const node of moving) detach(tree, node);
  return claimed;
}

function placeEntry(treeContext: TreeContext, section: Section, entry: GroupEntry | ProjectEntry): void {
  const { context, tree } = treeContext;
  const parent = findParent(treeContext, section, entry.path, [section, entry.at, 'path']);
  if (parent === undefined) return;
  const node = findOrCreate(treeContext, section, entry, parent);
  // `checkEntries` reports two entries with one id. The second could put a group below itself.
  if (node === undefined || context.results[section].indexById.has(node.id)) return;
  context.results[section].indexById.set(node.id, entry.at);
  attach(tree, node, parent, lastName(entry.path));
}

/**
 * Finds the node of an entry by its id, or without an id by its path, or creates it. Reports a
 * taken path and gives undefined.
 */
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
    const isSame = occupant.kind === kind && entry.id === undefined && !claimed[kind].has(occupant.id);
    if (isSame) return occupant;
    // `checkEntries` reports two entries with one path.
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
  if (occupant.kind === kind) return takenMessage(occupant.id);
  return `is taken by a ${nounOf(occupant)}`;
}

function idsByPath(
  rows: Iterable<{ readonly id: number; readonly path_key: string }>,
): ReadonlyMap<string, number> {
  return new Map([...rows].map(({ id, path_key }) => [path_key, id]));
}

/** The parent of a path; null for the root. Reports a missing parent and gives undefined. */
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
    context.report(
      at,
      `"${above}" is a user, and a personal namespace can't hold groups: choose a group as the parent`,
    );
    return undefined;
  }
  if (parent !== undefined && parent.kind !== 'Project' && !willBePruned(treeContext, parent)) return parent;
  if (mayExist(context, 'groups', above) || (!above.includes('/') && mayExist(context, 'users', above))) {
    return assumeGroups(treeContext, above);
  }
  if (section === 'groups')
    context.report(at, `there is no parent group "${above}"`, { name: above, among: ['groups'] });
  else
    context.report(at, `there is no group or user "${above}"`, { name: above, among: ['groups', 'users'] });
  return undefined;
}

/**
 * Creates placeholder groups where a lookup is impossible, so that the entries below can be
 * checked.
 */
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
