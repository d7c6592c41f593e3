import type { DirectoryRows } from '../../store/directory/table-values.ts';
import { keyOf } from '../document/fields.ts';
import { secretDigest } from '../document/secret.ts';
import { NAME_FIELDS, SECTIONS, type SectionName } from '../document/sections.ts';
import type { Plain } from '../export/names.ts';
import { type Renames, underNewNames } from './renames.ts';

type EntriesBySection = Readonly<Record<SectionName, readonly Plain[]>>;
type Find = (section: SectionName, entry: Plain) => Plain | undefined;

interface Document {
  readonly entriesOf: (section: SectionName) => readonly Plain[];
  readonly renames: Renames;
}

/** Finds the stored entry that an entry of a document means, in the way of `resolveEntries`. */
export function finder(
  rows: DirectoryRows,
  stored: EntriesBySection,
  { entriesOf, renames }: Document,
): Find {
  const byId = new Map<string, Plain>();
  const byName = new Map<string, Plain[]>();
  const minted = mintedIds(rows);
  const keyOfJob = new Map(rows.job_tokens.map(({ id, token_digest }) => [id, token_digest]));
  for (const section of SECTIONS) {
    const named = new Set(entriesOf(section).map(({ id }) => id));
    for (const entry of stored[section]) {
      const id = Number(entry['id']);
      byId.set(`${section}:${id}`, entry);
      // What the document names by its id has no second entry.
      if (named.has(id)) continue;
      const name =
        section === 'job_tokens'
          ? `job_tokens:${keyOfJob.get(id)}`
          : nameOf(section, underNewNames(section, entry, renames));
      const same = byName.get(name);
      if (same === undefined) byName.set(name, [entry]);
      else same.push(entry);
    }
  }
  return (section, entry) => {
    if (entry['id'] !== undefined) return byId.get(`${section}:${String(entry['id'])}`);
    const name = section === 'job_tokens' ? `job_tokens:${digestOf(entry)}` : nameOf(section, entry);
    const same = byName.get(name) ?? [];
    const declared = same.filter(({ id }) => !minted.has(`${section}:${String(id)}`));
    // Several tokens may have one name: then only an id says which is meant.
    const [only, ...others] = declared.length > 0 ? declared : same;
    return others.length === 0 ? only : undefined;
  };
}

function mintedIds({ access_tokens, deploy_tokens }: DirectoryRows): ReadonlySet<string> {
  const idsOf = (
    section: SectionName,
    tokens: readonly { readonly id: number; readonly minted: boolean }[],
  ): readonly string[] => tokens.filter(({ minted }) => minted).map(({ id }) => `${section}:${id}`);
  return new Set([...idsOf('access_tokens', access_tokens), ...idsOf('deploy_tokens', deploy_tokens)]);
}

const OWNERS = ['user', 'project', 'group'];

function nameOf(section: SectionName, entry: Plain): string {
  const owners = section === 'access_tokens' ? OWNERS.map((field) => textOf(entry[field])) : [];
  const name = textOf(entry[NAME_FIELDS[section]]);
  // Names of tokens and identities count as they are written.
  const isExact = section.endsWith('tokens') || section === 'federated_identities';
  return JSON.stringify([section, isExact ? name : keyOf(name), ...owners.map(keyOf)]);
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

/** The digest of the secret in an entry, which may be wrong in any way; undefined: it has none. */
export function digestOf({ token, token_sha256 }: Plain): string | undefined {
  const isHex = typeof token_sha256 === 'string' && /^[0-9a-f]{64}$/i.test(token_sha256);
  return secretDigest({
    token: typeof token === 'string' ? token : undefined,
    token_sha256: isHex ? token_sha256.toLowerCase() : undefined,
  });
}
