import { isRecord } from '../../config/issues.ts';
import { keyOf } from '../document/fields.ts';
import { movePattern } from '../document/patterns.ts';
import { NAME_FIELDS, type SectionName } from '../document/sections.ts';
import type { Plain } from '../export/names.ts';
import { newNameOf, type Renamed, withNames } from '../preview/followers.ts';

/** New names by old ones in lower case, of what a document names by its id and calls otherwise. */
export interface Renames {
  /** Of users, groups and projects, which share one space of names. */
  readonly places: Renamed;
  readonly organizations: Renamed;
}

const PLACES = ['users', 'groups', 'projects'] as const;

/** @param storedById the stored entry with an id. */
export function renamesOf(
  content: Plain,
  storedById: (section: SectionName, id: number) => Plain | undefined,
): Renames {
  const renamesIn = (sections: readonly SectionName[]): Renamed =>
    new Map(
      sections.flatMap((section) => {
        const list = content[section];
        return (Array.isArray(list) ? list.filter(isRecord) : []).flatMap((entry) => {
          const field = NAME_FIELDS[section];
          const old = storedById(section, Number(entry['id']))?.[field];
          const given = entry[field];
          return typeof old === 'string' && typeof given === 'string' && keyOf(old) !== keyOf(given)
            ? [[keyOf(old), given] as const]
            : [];
        });
      }),
    );
  return { places: renamesIn(PLACES), organizations: renamesIn(['organizations']) };
}

/** Old names by new ones, both in lower case. */
export function former(renamed: Renamed): Renamed {
  return new Map([...renamed].map(([old, given]) => [keyOf(given), old]));
}

/**
 * The names, in lower case, of all stored entries that may have this name when the document is
 * applied: those of the same name, and those below what gets a name above.
 */
export function storedNames(name: string, formerNames: Renamed): readonly string[] {
  const key = keyOf(name);
  const found = [key];
  for (let end = key.length; end > 0; end = key.lastIndexOf('/', end - 1)) {
    const above = formerNames.get(key.slice(0, end));
    if (above !== undefined) found.push(`${above}${key.slice(end)}`);
  }
  return found;
}

/** Fields that name users, groups and projects. */
const REFERENCES = [
  'members',
  'invited_groups',
  'job_token_allowlist',
  'owners',
  'user',
  'account',
  'project',
  'projects',
  'group',
];

/** A stored entry as it is after the renames: with its own new name, and those that it refers to. */
export function underNewNames(
  section: SectionName,
  stored: Plain,
  { places, organizations }: Renames,
): Plain {
  const move = (value: unknown): unknown =>
    Array.isArray(value) ? value.map((one: unknown) => withNames(one, places)) : withNames(value, places);
  const fields = REFERENCES.filter((field) => field in stored).map((field) => [field, move(stored[field])]);
  const { organization } = stored;
  return {
    ...stored,
    ...Object.fromEntries(fields),
    ...(typeof organization === 'string' && { organization: newNameOf(organization, organizations) }),
    ...ownNewName(section, stored, section === 'organizations' ? organizations : places),
  };
}

function ownNewName(section: SectionName, stored: Plain, renamed: Renamed): Plain {
  const field = NAME_FIELDS[section];
  const old = stored[field];
  const isPlace = field === 'path' || section === 'users';
  if (!isPlace || typeof old !== 'string') return {};
  const name = newNameOf(old, renamed);
  return { [field]: name, ...movedRules(stored, name) };
}

/** The patterns of a project begin with its path, and move with it. */
export function movedRules(stored: Plain, path: unknown): Plain {
  const { path: old, protected_repositories: rules } = stored;
  if (typeof old !== 'string' || typeof path !== 'string' || !Array.isArray(rules)) return {};
  const moved = rules.map((rule: unknown) => {
    const pattern: unknown = isRecord(rule) ? rule['pattern'] : undefined;
    if (!isRecord(rule) || typeof pattern !== 'string') return rule;
    return { ...rule, pattern: movePattern(pattern, old, path) };
  });
  return { protected_repositories: moved };
}
