import type { SectionName } from '../document/read.ts';
import type { Planning } from './planning.ts';

interface Entry {
  readonly id: number | undefined;
  readonly at: number;
}

interface Row {
  readonly id: number;
}

export interface Matching<E extends Entry, R extends Row> {
  readonly section: SectionName;
  /** The field that is the name, for messages. */
  readonly nameField: string;
  /** Whether a name belongs to one row only. */
  readonly unique: boolean;
  readonly entries: readonly E[];
  readonly rows: Iterable<R>;
  readonly entryName: (entry: E) => string;
  /** Null: only an id means it. */
  readonly rowName: (row: R) => string | null;
}

/**
 * Finds the stored row that each entry means: by id where given, else by name. Null: the entry is new.
 * Entries for which that can't be said are reported and left out.
 */
export function matchEntries<E extends Entry, R extends Row>(
  planning: Planning,
  matching: Matching<E, R>,
): ReadonlyMap<E, R | null> {
  const { section, nameField, unique, entries, entryName } = matching;
  const { byId, byName } = indexRows(matching);
  const claimed = new Map(
    entries.flatMap((entry) => (entry.id !== undefined && byId.has(entry.id) ? [[entry.id, entry]] : [])),
  );
  const matches = new Map<E, R | null>();
  for (const entry of entries) {
    const named = byName.get(entryName(entry)) ?? [];
    const free = named.filter(({ id }) => !claimed.has(id));
    const problem = (message: string): void => planning.report([section, entry.at, nameField], message);
    const [only] = free;
    if (entry.id !== undefined) {
      const row = byId.get(entry.id);
      if (row !== undefined) matches.set(entry, row);
      else if (unique && only !== undefined) problem(`is stored with id ${only.id}`);
      else matches.set(entry, null);
    } else if (free.length > 1) problem('is stored several times: give the id');
    else if (only !== undefined) matches.set(entry, only);
    else if (unique && named[0] !== undefined) problem(claimedMessage(named[0].id));
    else matches.set(entry, null);
  }
  return matches;
}

/** Taken for a new entry, it would silently replace the old one, whose secrets go with the id. */
export function claimedMessage(id: number): string {
  return `is stored with id ${id}, which another entry of this document has: give the id here, or apply the rename first`;
}

function indexRows<E extends Entry, R extends Row>({ rows, rowName }: Matching<E, R>) {
  const byId = new Map<number, R>();
  const byName = new Map<string, R[]>();
  for (const row of rows) {
    byId.set(row.id, row);
    const name = rowName(row);
    if (name !== null) byName.set(name, [...(byName.get(name) ?? []), row]);
  }
  return { byId, byName };
}
