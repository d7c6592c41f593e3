import { keyOf } from '../../document/fields.ts';
import type { PlanContext } from '../context.ts';
import { childrenOf, descendants, detach, pathOf, type Tree, type TreeNode } from './tree.ts';

/** The state that the steps of `planTree` share. */
export interface TreeContext {
  readonly context: PlanContext;
  readonly tree: Tree;
  /** Index of the entry that names a stored group or project by id, by that id. */
  readonly claimed: {
    readonly Group: ReadonlyMap<number, number>;
    readonly Project: ReadonlyMap<number, number>;
  };
  /** Paths in the document, in lower case. */
  readonly named: { readonly Group: ReadonlySet<string>; readonly Project: ReadonlySet<string> };
  /** Ids of stored groups and projects, by path in lower case. */
  readonly storedIds: {
    readonly Group: ReadonlyMap<string, number>;
    readonly Project: ReadonlyMap<string, number>;
  };
}

function isNamed({ claimed, named }: TreeContext, node: TreeNode): boolean {
  if (node.kind === 'User') return true;
  return claimed[node.kind].has(node.id) || named[node.kind].has(keyOf(pathOf(node)));
}

/**
 * Whether pruning will remove a node. Such a node is no parent for entries, and its path is free.
 */
export function willBePruned(treeContext: TreeContext, node: TreeNode): boolean {
  const { prune, document } = treeContext.context;
  if (!prune || node.kind === 'User') return false;
  return document[node.kind === 'Group' ? 'groups' : 'projects'] !== undefined && !isNamed(treeContext, node);
}

/** Removes a node that pruning would remove later anyway. False when the node stays. */
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

/**
 * Removes a node with everything below it. Reports a branch with projects when the document has no
 * section `projects`, because such a document must not change projects.
 */
export function removeBranch({ context, tree }: TreeContext, branch: TreeNode): void {
  const { document, report } = context;
  const [project] = descendants(branch, 'Project');
  if (project !== undefined && document.projects === undefined) {
    const section = branch.kind === 'User' ? 'users' : 'groups';
    report(
      [section],
      `"${pathOf(branch)}" can't be pruned, because it holds the project ${pathOf(project)} and the document has no section projects: add the section`,
    );
  }
  detach(tree, branch);
}

export function nounOf({ kind }: TreeNode): string {
  return kind === 'User' ? 'user' : kind === 'Group' ? 'group' : 'project';
}
