import type { SectionName } from '../document/sections.ts';
import type { PlanContext } from './context.ts';

interface Entry {
  readonly id: number | undefined;
  readonly at: number;
}

interface Row {
  readonly id: number;
}

export interface EntryLookup<E extends Entry, R extends Row> {
  readonly section: SectionName;
  /** The field with the name, for messages. */
  readonly nameField: string;
  /** Whether two rows can't have the same name. */
  readonly unique: boolean;
  readonly entries: readonly E[];
  readonly rows: Iterable<R>;
  readonly entryName: (entry: E) => string;
  /** Null: the row can only be found by its id. */
  readonly rowName: (row: R) => string | null;
}

/**
 * Finds the stored row of each entry: by id, or for an entry without an id by name. Null: the entry
 * is new. Reports ambiguous entries and leaves them out.
 */
export function resolveEntries<E extends Entry, R extends Row>(
  context: PlanContext,
  lookup: EntryLookup<E, R>,
): ReadonlyMap<E, R | null> {
  const { section, nameField, unique, entries, entryName } = lookup;
  const { byId, byName } = indexRows(lookup);
  const claimed = new Map(
    entries.flatMap((entry) => (entry.id !== undefined && byId.has(entry.id) ? [[entry.id, entry]] : [])),
  );
  const resolved = new Map<E, R | null>();
  for (const entry of entries) {
    const named = byName.get(entryName(entry)) ?? [];
    const free = named.filter(({ id }) => !claimed.has(id));
    const problem = (message: string): void => context.report([section, entry.at, nameField], message);
    const [only] = free;
    if (entry.id !== undefined) {
      const row = byId.get(entry.id);
      if (row !== undefined) resolved.set(entry, row);
      else if (unique && only !== undefined) problem(takenMessage(only.id));
      else resolved.set(entry, null);
    } else if (free.length > 1) problem('several stored entries have this name: give the id');
    else if (only !== undefined) resolved.set(entry, only);
    else if (unique && named[0] !== undefined) problem(claimedMessage(named[0].id));
    else resolved.set(entry, null);
  }
  return resolved;
}

export function takenMessage(id: number): string {
  return `is taken by the stored entry with id ${id}: give this id, or another name`;
}

/**
 * As a new entry it would silently replace the old one, and the old secrets would go with the id.
 */
export function claimedMessage(id: number): string {
  return `is taken by the stored entry with id ${id}, which another entry renames: give an id here, or apply the rename first`;
}

function indexRows<E extends Entry, R extends Row>({ rows, rowName }: EntryLookup<E, R>) {
  const byId = new Map<number, R>();
  const byName = new Map<string, R[]>();
  for (const row of rows) {
    byId.set(row.id, row);
    const name = rowName(row);
    const same = name === null ? [] : byName.get(name);
    if (same !== undefined) same.push(row);
    else if (name !== null) byName.set(name, [row]);
  }
  return { byId, byName };
}
