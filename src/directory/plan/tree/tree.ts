import type { NamespaceRow, ProjectRow } from '../../../store/directory/rows.ts';
import { keyOf } from '../../document/fields.ts';

/**
 * A group, a personal namespace or a project. Its path follows from its parents, so that moving a
 * node moves everything below it.
 */
export interface TreeNode {
  readonly kind: 'Group' | 'User' | 'Project';
  readonly id: number;
  name: string;
  parent: TreeNode | null;
  /** By name in lower case. */
  readonly children: Map<string, TreeNode>;
}

export interface Tree {
  readonly roots: Map<string, TreeNode>;
  readonly namespaces: Map<number, TreeNode>;
  readonly projects: Map<number, TreeNode>;
}

export function createNode(kind: TreeNode['kind'], id: number): TreeNode {
  return { kind, id, name: '', parent: null, children: new Map() };
}

export function buildTree(namespaces: Iterable<NamespaceRow>, projects: Iterable<ProjectRow>): Tree {
  const tree: Tree = { roots: new Map(), namespaces: new Map(), projects: new Map() };
  const parentsFirst = [...namespaces].sort((a, b) => a.traversal_ids.length - b.traversal_ids.length);
  for (const { id, type, path, parent_id } of parentsFirst) {
    const node = createNode(type, id);
    tree.namespaces.set(id, node);
    attach(tree, node, parent_id === null ? null : (tree.namespaces.get(parent_id) ?? null), lastName(path));
  }
  for (const { id, path, namespace_id } of projects) {
    const node = createNode('Project', id);
    tree.projects.set(id, node);
    attach(tree, node, tree.namespaces.get(namespace_id) ?? null, lastName(path));
  }
  return tree;
}

/** Attaches a node below a parent, or at the root. The name must be free there. */
export function attach(tree: Tree, node: TreeNode, parent: TreeNode | null, name: string): void {
  node.name = name;
  node.parent = parent;
  childrenOf(tree, parent).set(keyOf(name), node);
}

export function detach(tree: Tree, node: TreeNode): void {
  const siblings = childrenOf(tree, node.parent);
  if (siblings.get(keyOf(node.name)) === node) siblings.delete(keyOf(node.name));
  node.parent = null;
}

export function childrenOf(tree: Tree, parent: TreeNode | null): Map<string, TreeNode> {
  return parent === null ? tree.roots : parent.children;
}

export function findNode(tree: Tree, path: string): TreeNode | undefined {
  let children: Map<string, TreeNode> | undefined = tree.roots;
  let node: TreeNode | undefined;
  for (const name of keyOf(path).split('/')) {
    node = children?.get(name);
    children = node?.children;
  }
  return node;
}

export function pathOf(node: TreeNode): string {
  return node.parent === null ? node.name : `${pathOf(node.parent)}/${node.name}`;
}

/** All nodes of one kind at and below a node. */
export function* descendants(node: TreeNode, kind: TreeNode['kind']): Generator<TreeNode> {
  if (node.kind === kind) yield node;
  for (const child of node.children.values()) yield* descendants(child, kind);
}

export function lastName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Undefined for a path at the root. */
export function parentPath(path: string): string | undefined {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? undefined : path.slice(0, slash);
}
