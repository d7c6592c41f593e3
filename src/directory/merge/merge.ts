import { isRecord } from '../../config/issues.ts';
import type { Sql } from '../../store/database/drivers.ts';
import { keyOf } from '../document/fields.ts';
import { movePattern } from '../document/patterns.ts';
import { NAME_FIELDS, SECTIONS } from '../document/sections.ts';
import type { Plain } from '../export/names.ts';
import { type Renamed, withNames } from '../preview/followers.ts';
import { readStoredEntries, type StoredEntries } from './stored-entries.ts';

/** Fields of which an entry has one: naming one of them takes the place of the stored one. */
const ONE_OF = ['user', 'account', 'project', 'projects', 'group'];

/**
 * Completes the entries of a document by what is stored, so that each entry changes only the fields
 * that it names. A list counts as a whole where it is named.
 * @param content what the document holds, valid or not.
 */
export async function mergeStored(sql: Sql, content: Plain): Promise<Plain> {
  const stored = await readStoredEntries(sql, content);
  const renamed = renamedBy(content, stored);
  const sections = SECTIONS.flatMap((section) => {
    const list: unknown = content[section];
    if (!Array.isArray(list)) return [];
    const merged = list.map((entry: unknown) =>
      isRecord(entry) ? mergeEntry(underNewNames(stored.find(section, entry), renamed), entry) : entry,
    );
    return [[section, merged]];
  });
  const { settings } = content;
  return {
    ...content,
    ...(isRecord(settings) && { settings: { ...stored.settings, ...settings } }),
    ...Object.fromEntries(sections),
  };
}

/** The users, groups and projects that a document gives another name. */
function renamedBy(content: Plain, stored: StoredEntries): Renamed {
  const renamed = new Map<string, string>();
  for (const section of ['users', 'groups', 'projects'] as const) {
    const list: unknown = content[section];
    for (const entry of Array.isArray(list) ? list.filter(isRecord) : []) {
      const field = NAME_FIELDS[section];
      const [old, given] = [stored.find(section, entry)?.[field], entry[field]];
      if (typeof old === 'string' && typeof given === 'string' && keyOf(old) !== keyOf(given))
        renamed.set(keyOf(old), keyOf(given));
    }
  }
  return renamed;
}

/** Fields that name other entries. */
const REFERENCES = ['members', 'invited_groups', 'job_token_allowlist', 'owners', ...ONE_OF];

/** A stored entry that names others as they are called after the document. */
function underNewNames(stored: Plain | undefined, renamed: Renamed): Plain | undefined {
  if (stored === undefined || renamed.size === 0) return stored;
  const move = (value: unknown): unknown =>
    Array.isArray(value) ? value.map((one: unknown) => withNames(one, renamed)) : withNames(value, renamed);
  const moved = REFERENCES.filter((field) => field in stored).map((field) => [field, move(stored[field])]);
  return { ...stored, ...Object.fromEntries(moved) };
}

/**
 * An entry with the stored fields that it does not name.
 * @param stored undefined: it is a new entry.
 */
export function mergeEntry(stored: Plain | undefined, entry: Plain): Plain {
  if (stored === undefined) return entry;
  const namesOwner = ONE_OF.some((field) => entry[field] !== undefined && entry[field] !== null);
  const kept = Object.entries(stored).filter(([field]) => !namesOwner || !ONE_OF.includes(field));
  return { ...Object.fromEntries(kept), ...movedRules(stored, entry), ...entry };
}

/** The patterns of a project begin with its path, and move with it. */
function movedRules(stored: Plain, { path }: Plain): Plain {
  const { path: old, protected_repositories: rules } = stored;
  if (typeof old !== 'string' || typeof path !== 'string' || !Array.isArray(rules)) return {};
  const moved = rules.map((rule: unknown) => {
    const pattern: unknown = isRecord(rule) ? rule['pattern'] : undefined;
    if (!isRecord(rule) || typeof pattern !== 'string') return rule;
    return { ...rule, pattern: movePattern(pattern, old, path) };
  });
  return { protected_repositories: moved };
}
