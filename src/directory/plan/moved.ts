import type { NamespaceRow } from '../../store/directory/rows.ts';
import type { PlannedTable, PlannedTables } from '../../store/directory/table-values.ts';

/** Ids of stored places that get another path, parent or organization. */
export interface Moved {
  /** Groups and personal namespaces. Everything below them moves along. */
  readonly groups: readonly number[];
  readonly projects: readonly number[];
}

export function movedPlaces({ namespaces, projects }: PlannedTables): Moved {
  return {
    groups: changedIds(namespaces, isMoved),
    projects: changedIds(projects, (before, after) => before.namespace_id !== after.namespace_id),
  };
}

function isMoved(before: NamespaceRow, after: NamespaceRow): boolean {
  return (
    before.path !== after.path ||
    before.parent_id !== after.parent_id ||
    before.organization_id !== after.organization_id
  );
}

function changedIds<R extends { readonly id: number }>(
  { stored, rows }: PlannedTable<R>,
  isChanged: (before: R, after: R) => boolean,
): readonly number[] {
  const ids: number[] = [];
  for (const [key, after] of rows) {
    const before = stored.get(key);
    if (before !== undefined && before !== after && isChanged(before, after)) ids.push(after.id);
  }
  return ids;
}
