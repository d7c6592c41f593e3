import { isRecord } from '../../config/issues.ts';
import type { Sql } from '../../store/database/drivers.ts';
import { keyOf } from '../document/fields.ts';
import { SECTIONS } from '../document/sections.ts';
import type { Plain } from '../export/names.ts';
import { readStoredEntries } from './stored-entries.ts';

/** Fields of which an entry has one: naming one of them takes the place of the stored one. */
const ONE_OF = ['user', 'account', 'project', 'projects', 'group'];

/**
 * Completes the entries of a document by what is stored, so that each entry changes only the fields
 * that it names. A list counts as a whole where it is named.
 * @param content what the document holds, valid or not.
 */
export async function mergeStored(sql: Sql, content: Plain): Promise<Plain> {
  const stored = await readStoredEntries(sql, content);
  const sections = SECTIONS.flatMap((section) => {
    const list: unknown = content[section];
    if (!Array.isArray(list)) return [];
    const merged = list.map((entry: unknown) =>
      isRecord(entry) ? mergeEntry(stored.find(section, entry), entry) : entry,
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

function mergeEntry(stored: Plain | undefined, entry: Plain): Plain {
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
    if (!isRecord(rule) || typeof pattern !== 'string' || !keyOf(pattern).startsWith(keyOf(old))) return rule;
    return { ...rule, pattern: `${path}${pattern.slice(old.length)}` };
  });
  return { protected_repositories: moved };
}
