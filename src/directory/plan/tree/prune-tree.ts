import { keyOf } from '../../document/fields.ts';
import type { PlanContext } from '../context.ts';
import { childrenOf, descendants, detach, pathOf, type Tree, type TreeNode } from './tree.ts';

/** What every step of treeContext the document's entries in the tree works on. */
export interface TreeContext {
  readonly context: PlanContext;
  readonly tree: Tree;
  /** Ids of the stored groups and projects that an entry names by id, with its place. */
  readonly claimed: {
    readonly Group: ReadonlyMap<number, number>;
    readonly Project: ReadonlyMap<number, number>;
  };
  /** Paths in the document, in lower case. */
  readonly named: { readonly Group: ReadonlySet<string>; readonly Project: ReadonlySet<string> };
  /** By path in lower case, as it is stored. */
  readonly storedIds: {
    readonly Group: ReadonlyMap<string, number>;
    readonly Project: ReadonlyMap<string, number>;
  };
}

function isNamed({ claimed, named }: TreeContext, node: TreeNode): boolean {
  if (node.kind === 'User') return true;
  return claimed[node.kind].has(node.id) || named[node.kind].has(keyOf(pathOf(node)));
}

/** An entry that pruning will remove neither counts as a parent nor stands in the way. */
export function willBePruned(treeContext: TreeContext, node: TreeNode): boolean {
  const { prune, document } = treeContext.context;
  if (!prune || node.kind === 'User') return false;
  return document[node.kind === 'Group' ? 'groups' : 'projects'] !== undefined && !isNamed(treeContext, node);
}

export function evict(treeContext: TreeContext, node: TreeNode): boolean {
  if (!willBePruned(treeContext, node)) return false;
  removeBranch(treeContext, node);
  return true;
}

export function pruneUnnamed(treeContext: TreeContext): void {
  const { tree } = treeContext;
  for (const node of [...tree.namespaces.values(), ...tree.projects.values()]) {
    if (willBePruned(treeContext, node) && isReachable(tree, node)) removeBranch(treeContext, node);
  }
}

function isReachable(tree: Tree, node: TreeNode): boolean {
  if (childrenOf(tree, node.parent).get(keyOf(node.name)) !== node) return false;
  return node.parent === null || isReachable(tree, node.parent);
}

/** Sections that the document leaves out stay untouched: so nothing is removed that holds projects of such a section. */
export function removeBranch({ context, tree }: TreeContext, branch: TreeNode): void {
  const { document, report } = context;
  const [project] = descendants(branch, 'Project');
  if (project !== undefined && document.projects === undefined) {
    const section = branch.kind === 'User' ? 'users' : 'groups';
    report(
      [section],
      `"${pathOf(branch)}" can't be pruned: it still holds ${pathOf(project)}, and the document has no section projects`,
    );
  }
  detach(tree, branch);
}

export function nounOf({ kind }: TreeNode): string {
  return kind === 'User' ? 'user' : kind === 'Group' ? 'group' : 'project';
}
