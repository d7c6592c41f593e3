import { isDeepStrictEqual } from 'node:util';
import type { Plain } from '../export/names.ts';

/** One field of an entry. Of a list, only the elements that differ. Null: there is no value. */
export interface FieldChange {
  readonly field: string;
  readonly old: unknown;
  readonly new: unknown;
}

/** In place of a password, a token, or a digest. */
export const HIDDEN = '(hidden)';

/** What documents need not say, for fields that are no flag and no list. */
const DEFAULTS: Plain = {
  kind: 'human',
  state: 'active',
  visibility: 'private',
  container_registry: 'enabled',
};
/** Flags that are true unless the document says otherwise. */
const TRUE_BY_DEFAULT: ReadonlySet<string> = new Set(['running', 'ci_enabled']);

/**
 * The fields that differ, in the order of the document. An entry that is added or removed has only
 * the fields that are not the default.
 * @param before, after entries as `exportEntries` makes them; null: there is none.
 */
export function fieldChanges(before: Plain | null, after: Plain | null): readonly FieldChange[] {
  const fields = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})]);
  fields.delete('id');
  const side = (entry: Plain | null, field: string, other: unknown): unknown => {
    if (entry === null) return null;
    return entry[field] ?? (before === null || after === null ? null : defaultOf(field, other));
  };
  return [...fields].flatMap((field) => {
    const [left, right] = [before?.[field], after?.[field]];
    const change = { field, old: side(before, field, right), new: side(after, field, left) };
    return isDeepStrictEqual(change.old, change.new) ? [] : [onlyDifferences(change)];
  });
}

function defaultOf(field: string, other: unknown): unknown {
  if (typeof other === 'boolean') return TRUE_BY_DEFAULT.has(field);
  if (Array.isArray(other)) return [];
  return DEFAULTS[field] ?? null;
}

/** A group may have thousands of members, of which one changes. */
function onlyDifferences({ field, old, new: given }: FieldChange): FieldChange {
  if (!Array.isArray(old) || !Array.isArray(given)) return { field, old, new: given };
  const [left, right] = [without(old, given), without(given, old)];
  // The same elements in another order.
  return left.length + right.length === 0 ? { field, old, new: given } : { field, old: left, new: right };
}

function without(list: readonly unknown[], others: readonly unknown[]): readonly unknown[] {
  const known = new Set(others.map((one) => JSON.stringify(one)));
  return list.filter((one) => !known.has(JSON.stringify(one)));
}

/** The fields of one side, for the record; null: there was no entry. */
export function sideOf(
  entry: Plain | null,
  changes: readonly FieldChange[],
  side: 'old' | 'new',
): Plain | null {
  if (entry === null) return null;
  return Object.fromEntries(changes.map((change) => [change.field, change[side]]));
}

/** The fields of a recorded change. */
export function changesOfSides(before: Plain | null, after: Plain | null): readonly FieldChange[] {
  const fields = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})]);
  return [...fields].map((field) => ({
    field,
    old: before?.[field] ?? null,
    new: after?.[field] ?? null,
  }));
}
