import { isRecord } from '../../config/issues.ts';
import { keyOf } from '../document/fields.ts';
import type { Plain } from '../export/names.ts';
import type { FieldChange } from './field-changes.ts';

/** A group with more members is still found by its own name. */
const MOST_SUBJECTS = 1000;

/** The section whose entries a field names. */
const NAMES_OF: Readonly<Record<string, 'users' | 'groups' | 'projects'>> = {
  user: 'users',
  account: 'users',
  owners: 'users',
  group: 'groups',
  project: 'projects',
  projects: 'projects',
};
/** Lists whose elements have such fields. */
const LISTS: ReadonlySet<string> = new Set(['members', 'invited_groups']);
/** Of tokens and identities: whose they are, also where it did not change. */
const OWNERS = ['user', 'account', 'group', 'project', 'projects'];

/**
 * All that a change is about, as `section:name` in lower case, by which the history is searched.
 * @param newName the name that the entry has afterwards.
 */
export function subjectsOf(
  change: { readonly section: string; readonly name: string; readonly fields: readonly FieldChange[] },
  newName: string,
  entry: Plain = {},
): readonly string[] {
  const { section, name, fields } = change;
  const subjects = new Set([`${section}:${keyOf(name)}`, `${section}:${keyOf(newName)}`]);
  const add = (field: string, value: unknown): void => {
    const named = NAMES_OF[field];
    if (named !== undefined && typeof value === 'string') subjects.add(`${named}:${keyOf(value)}`);
  };
  const visit = (field: string, value: unknown): void => {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (!LISTS.has(field)) add(field, one);
      else if (isRecord(one)) for (const [inner, text] of Object.entries(one)) add(inner, text);
    }
  };
  for (const field of OWNERS) visit(field, entry[field]);
  for (const { field, old, new: given } of fields) {
    visit(field, old);
    visit(field, given);
  }
  return [...subjects].slice(0, MOST_SUBJECTS);
}
