import { isDeepStrictEqual } from 'node:util';
import { isRecord } from '../../config/issues.ts';
import { keyOf } from '../document/fields.ts';
import { movePattern } from '../document/patterns.ts';
import type { Plain } from '../export/names.ts';
import type { FieldChange } from './field-changes.ts';

/** The change of an entry. */
interface Change {
  readonly section: string;
  readonly fields: readonly FieldChange[];
  readonly before: Plain | null;
  readonly after: Plain | null;
}

/** New names by old ones, which are in lower case: of users and groups. */
export type Renamed = ReadonlyMap<string, string>;

/**
 * Leaves out groups and projects that only follow a group above them, or their user, to another
 * name: that is one change. What they name, such as members and the job token allowlist, may have
 * got another name in the same way.
 */
export function withoutFollowers<C extends Change>(changes: readonly C[]): readonly C[] {
  const renamed: Renamed = new Map(
    changes.flatMap(({ section, before, after }) => {
      const field = section === 'users' ? 'username' : 'path';
      const [old, given] = [before?.[field], after?.[field]];
      const isPlace = section === 'users' || section === 'groups';
      return isPlace && typeof old === 'string' && typeof given === 'string'
        ? [[keyOf(old), keyOf(given)]]
        : [];
    }),
  );
  return changes.filter(({ section, fields }) => {
    if (section !== 'groups' && section !== 'projects') return true;
    const path = fields.find(({ field }) => field === 'path');
    if (typeof path?.old !== 'string' || typeof path.new !== 'string') return true;
    const [old, given] = [path.old, path.new];
    const isFollower =
      follows(old, given, renamed) && fields.every((change) => isExplained(change, old, given, renamed));
    return !isFollower;
  });
}

/** Whether a path changed with a group or user above it. */
function follows(old: string, given: string, renamed: Renamed): boolean {
  for (let end = old.lastIndexOf('/'); end > 0; end = old.lastIndexOf('/', end - 1)) {
    const above = renamed.get(keyOf(old.slice(0, end)));
    if (above !== undefined && keyOf(given) === `${above}${keyOf(old.slice(end))}`) return true;
  }
  return false;
}

/** Whether a field of a follower is the same as before under the new names. */
function isExplained(
  { field, old, new: given }: FieldChange,
  oldPath: string,
  newPath: string,
  renamed: Renamed,
): boolean {
  if (field === 'path') return true;
  if (!Array.isArray(old) || !Array.isArray(given)) return false;
  if (field === 'protected_repositories')
    return isDeepStrictEqual(
      old.map((rule) => movedRule(rule, oldPath, newPath)),
      given,
    );
  // `onlyDifferences` keeps the order of each side, which is that of the names.
  const names = (list: readonly unknown[], to: Renamed) =>
    list.map((element) => keyOf(JSON.stringify(withNames(element, to)))).sort();
  return isDeepStrictEqual(names(old, renamed), names(given, NO_NAMES));
}

function movedRule(rule: unknown, oldPath: string, newPath: string): unknown {
  if (!isRecord(rule) || typeof rule['pattern'] !== 'string') return rule;
  return { ...rule, pattern: movePattern(rule['pattern'], oldPath, newPath) };
}

const NO_NAMES: Renamed = new Map();

/** An element of a list that names a user, group or project: with the new name. */
export function withNames(element: unknown, renamed: Renamed): unknown {
  if (typeof element === 'string') return newNameOf(element, renamed);
  if (!isRecord(element)) return element;
  const named = (['user', 'group'] as const).flatMap((field) => {
    const name = element[field];
    return typeof name === 'string' ? [[field, newNameOf(name, renamed)] as const] : [];
  });
  return { ...element, ...Object.fromEntries(named) };
}

/** The new name, also of what is below a group or user that has a new name. */
export function newNameOf(name: string, renamed: Renamed): string {
  const key = keyOf(name);
  for (let end = key.length; end > 0; end = key.lastIndexOf('/', end - 1)) {
    const above = renamed.get(key.slice(0, end));
    if (above !== undefined) return `${above}${name.slice(end)}`;
  }
  return name;
}
