import type { NamespaceRow, UserRow } from '../../../store/directory/rows.ts';
import { put } from '../tables.ts';
import { evict, nounOf, removeBranch, type TreeContext } from './prune-tree.ts';
import { attach, createNode, detach, type TreeNode } from './tree.ts';

/**
 * Creates, renames and removes the personal namespaces of users that are new, changed or removed.
 * Bots have none.
 */
export function placePersonalNamespaces(treeContext: TreeContext): void {
  const { context, tree } = treeContext;
  const { users, namespaces } = context.tables;
  const byOwner = new Map<number, TreeNode>();
  for (const { id, owner_id } of namespaces.stored.values()) {
    const node = tree.namespaces.get(id);
    if (owner_id !== null && node !== undefined) byOwner.set(owner_id, node);
  }
  for (const [ownerId, node] of byOwner) {
    const key = String(ownerId);
    if (users.stored.has(key) && !users.rows.has(key)) removeBranch(treeContext, node);
  }
  const misplaced = [...users.rows]
    .filter(([key, row]) => users.stored.get(key) !== row && hasNamespace(row))
    .map(([, row]) => row)
    .filter(({ id, username }) => byOwner.get(id)?.name !== username);
  for (const { id } of misplaced) {
    const node = byOwner.get(id);
    if (node !== undefined) detach(tree, node);
  }
  for (const owner of misplaced) placePersonalNamespace(treeContext, owner, byOwner.get(owner.id));
}

function hasNamespace({ kind }: UserRow): boolean {
  return kind === 'human' || kind === 'service_account';
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
  // `planUsers` reports two users with one name.
  if (occupant?.kind === 'User') return;
  if (occupant !== undefined && !evict(treeContext, occupant)) {
    const at = context.results.users.indexById.get(owner.id) ?? 0;
    context.report(['users', at, 'username'], `is taken by the ${nounOf(occupant)} with id ${occupant.id}`);
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
