import { isRecord } from '../../config/issues.ts';
import { keyOf } from '../document/fields.ts';
import type { RecordedEntry } from './entry-changes.ts';

interface CountedList {
  /** The field that names an element. */
  readonly name: string;
  /** The section of that name; null: the elements are rules, which also count with their project. */
  readonly section: string | null;
}

/** Lists of rules and memberships: what they lose counts as removed, too. */
const COUNTED_LISTS: Readonly<Record<string, CountedList>> = {
  members: { name: 'user', section: 'users' },
  invited_groups: { name: 'group', section: 'groups' },
  protected_repositories: { name: 'pattern', section: null },
  protected_tags: { name: 'pattern', section: null },
};
const MOST_NAMES = 3;

/**
 * Why changes should not be made without a question; null: they may.
 * @param maxRemovals how many entries, protection rules and memberships they may remove; null: any
 *   number, and admins, too.
 */
export function whyAsk(changes: readonly RecordedEntry[], maxRemovals: number | null): string | null {
  if (maxRemovals === null) return null;
  const admins = changes.filter(({ takesAdmin }) => takesAdmin).map(({ name }) => name);
  if (admins.length > 0) {
    const more = admins.length > MOST_NAMES ? ` and ${admins.length - MOST_NAMES} more` : '';
    return `it takes the rights of an admin away: ${admins.slice(0, MOST_NAMES).join(', ')}${more}`;
  }
  const removed = removals(changes);
  return removed > maxRemovals ? `it removes ${removed} entries, more than ${maxRemovals}` : null;
}

/**
 * Entries, rules, and memberships of entries that stay. A membership that ends with its user, or an
 * invitation with its group, is not counted twice.
 */
function removals(changes: readonly RecordedEntry[]): number {
  const entries = changes.filter(({ op }) => op === '-');
  const removed = new Set(entries.map(({ section, name }) => `${section}:${keyOf(name)}`));
  const lost = changes.flatMap(({ op, fields }) =>
    fields.flatMap(({ field, old, new: given }) => {
      const list = COUNTED_LISTS[field];
      if (list === undefined || (op !== '~' && list.section !== null)) return [];
      const stay = new Set(namesIn(given, list.name));
      return namesIn(old, list.name).filter(
        (name) => !stay.has(name) && !removed.has(`${list.section}:${keyOf(name)}`),
      );
    }),
  );
  return entries.length + lost.length;
}

function namesIn(list: unknown, field: string): readonly string[] {
  if (!Array.isArray(list)) return [];
  return list.map((element) => String(isRecord(element) ? element[field] : element));
}
