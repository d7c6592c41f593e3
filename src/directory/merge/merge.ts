import { isRecord } from '../../config/issues.ts';
import type { Sql } from '../../store/database/drivers.ts';
import { SECTIONS, type SectionName } from '../document/sections.ts';
import type { Plain } from '../export/names.ts';
import { movedRules, underNewNames } from './renames.ts';
import { readStoredEntries } from './stored-entries.ts';

/** Fields of which an entry has one: naming one of them takes the place of the stored one. */
const ONE_OF: { readonly [S in SectionName]?: readonly string[] } = {
  access_tokens: ['user', 'project', 'group'],
  deploy_tokens: ['projects', 'group'],
  federated_identities: ['account', 'project', 'group'],
};

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
    const merged = list.map((entry: unknown) => {
      if (!isRecord(entry)) return entry;
      const found = stored.find(section, entry);
      return mergeEntry(section, found && underNewNames(section, found, stored.renames), entry);
    });
    return [[section, merged]];
  });
  const { settings } = content;
  return {
    ...content,
    ...(isRecord(settings) && { settings: { ...stored.settings, ...settings } }),
    ...Object.fromEntries(sections),
  };
}

/**
 * An entry with the stored fields that it does not name.
 * @param stored undefined: it is a new entry.
 */
export function mergeEntry(section: SectionName, stored: Plain | undefined, entry: Plain): Plain {
  if (stored === undefined) return entry;
  const owners = ONE_OF[section] ?? [];
  const namesOwner = owners.some((field) => entry[field] !== undefined && entry[field] !== null);
  const kept = Object.entries(stored).filter(([field]) => !namesOwner || !owners.includes(field));
  return { ...Object.fromEntries(kept), ...movedRules(stored, entry['path']), ...entry };
}
