import type { Sql } from '../../store/database/drivers.ts';
import { type DirectoryRows, perTable } from '../../store/directory/table-values.ts';
import { keyOf } from '../document/fields.ts';
import { isSection, NAME_FIELDS, SECTIONS, type SectionName } from '../document/sections.ts';
import { exportEntries, exportSettings } from '../export/directory.ts';
import { compare, type Names, type Plain } from '../export/names.ts';
import type { Plan } from '../plan/plan.ts';
import { changesOfSides, type FieldChange, fieldChanges, HIDDEN, sideOf } from './field-changes.ts';
import { withoutFollowers } from './followers.ts';
import { findNames } from './names.ts';
import { subjectsOf } from './subjects.ts';
import { touchedRows } from './touched-rows.ts';

/** What a document changes, or has changed, in one entry. Never a secret or its digest. */
export interface EntryChange {
  readonly op: '+' | '-' | '~';
  /** A section of the document, or `settings`, which is one entry of that name. */
  readonly section: string;
  /** The name that the entry has; of a new one the name that it gets. */
  readonly name: string;
  readonly fields: readonly FieldChange[];
}

/** A change with what its record needs. */
export interface RecordedEntry extends EntryChange {
  /** The fields that changed; of an entry that is added or removed all that it has. */
  readonly before: Plain | null;
  readonly after: Plain | null;
  /** Such as `users:alice`, in lower case: the entry, and the entries that its fields name. */
  readonly subjects: readonly string[];
  /** It removes or blocks an admin, or takes the flag away. */
  readonly takesAdmin: boolean;
}

/** The changes of a plan, entry by entry, in the order of the document's sections. */
export async function entryChanges(sql: Sql, plan: Plan): Promise<readonly RecordedEntry[]> {
  const { before, after } = touchedRows(plan.tables, plan.touched);
  const knownBefore = perTable<'rows'>((table) => [...plan.tables[table].stored.values()]);
  const knownAfter = perTable<'rows'>((table) => [...plan.tables[table].rows.values()]);
  const left = sectionsOf(before, await findNames(sql, before, knownBefore));
  const right = sectionsOf(after, await findNames(sql, after, knownAfter));
  const changes = SECTIONS.flatMap((section) => sectionChanges(section, left[section], right[section]));
  return [...settingsChanges(plan), ...withoutFollowers(changes)];
}

/** Entries by their ids. */
type Entries = ReadonlyMap<number, Plain>;

function sectionsOf(rows: DirectoryRows, names: Names): Record<SectionName, Entries> {
  const exported = exportEntries(rows, names);
  const byId = (section: SectionName, secrets: ReadonlyMap<number, Plain> = new Map()): Entries =>
    new Map(
      exported[section].map((entry) => {
        const id = Number(entry['id']);
        return [id, { ...entry, ...secrets.get(id) }];
      }),
    );
  return {
    // Documents set the order of organizations by the order of the entries.
    organizations: byId(
      'organizations',
      new Map(rows.organizations.map((row) => [row.id, { position: row.position }])),
    ),
    users: byId('users', new Map(rows.users.map(({ id, password_hash: hash }) => [id, { password: hash }]))),
    groups: byId('groups'),
    projects: byId('projects'),
    access_tokens: byId('access_tokens', digestsOf(rows.access_tokens)),
    deploy_tokens: byId('deploy_tokens', digestsOf(rows.deploy_tokens)),
    job_tokens: byId('job_tokens', digestsOf(rows.job_tokens)),
    federated_identities: byId('federated_identities'),
  };
}

function digestsOf(
  tokens: readonly { readonly id: number; readonly token_digest: string }[],
): ReadonlyMap<number, Plain> {
  return new Map(tokens.map(({ id, token_digest }) => [id, { token: token_digest }]));
}

function sectionChanges(section: SectionName, left: Entries, right: Entries): readonly RecordedEntry[] {
  const ids = [...new Set([...left.keys(), ...right.keys()])];
  return ids
    .flatMap((id) => entryChange(section, left.get(id) ?? null, right.get(id) ?? null, id))
    .toSorted((a, b) => compare(keyOf(a.name), keyOf(b.name)));
}

/** The fields whose values are secrets or what is stored of them. */
const SECRETS: ReadonlySet<string> = new Set(['password', 'token']);

function entryChange(
  section: SectionName,
  before: Plain | null,
  after: Plain | null,
  id: number,
): readonly RecordedEntry[] {
  const fields = fieldChanges(before, after).map((change) =>
    SECRETS.has(change.field) ? hidden(change) : change,
  );
  if (fields.length === 0) return [];
  const name = nameOf(section, before ?? after ?? {}, id);
  const newName = nameOf(section, after ?? before ?? {}, id);
  const change = {
    op: before === null ? ('+' as const) : after === null ? ('-' as const) : ('~' as const),
    section,
    name,
    fields,
    before: sideOf(before, fields, 'old'),
    after: sideOf(after, fields, 'new'),
  };
  const subjects = subjectsOf(change, newName, after ?? before ?? {});
  return [{ ...change, subjects, takesAdmin: section === 'users' && losesAdmin(before, after) }];
}

/** A blocked admin is one still: unblocking brings the rights back, as long as the flag is set. */
function losesAdmin(before: Plain | null, after: Plain | null): boolean {
  if (before?.['admin'] !== true) return false;
  return after?.['admin'] !== true || (isActive(before) && !isActive(after));
}

function isActive(user: Plain): boolean {
  return (user['state'] ?? 'active') === 'active';
}

function hidden({ field, old, new: given }: FieldChange): FieldChange {
  return { field, old: old === null ? null : HIDDEN, new: given === null ? null : HIDDEN };
}

function nameOf(section: SectionName, entry: Plain, id: number): string {
  return String(entry[NAME_FIELDS[section]] ?? id);
}

/** The name of an entry after a recorded change, or before it when that removed the entry. */
export function nameAfter(section: string, name: string, after: Plain | null): string {
  const changed = isSection(section) ? after?.[NAME_FIELDS[section]] : undefined;
  return typeof changed === 'string' ? changed : name;
}

/** A recorded change as it is shown. */
export function toEntryChange({ section, name, before, after }: Sides): EntryChange {
  const op = before === null ? '+' : after === null ? '-' : '~';
  return { op, section, name, fields: changesOfSides(before, after) };
}

type Sides = Pick<RecordedEntry, 'section' | 'name' | 'before' | 'after'>;

function settingsChanges({ tables: { settings } }: Plan): readonly RecordedEntry[] {
  const [stored] = settings.stored.values();
  const [planned] = settings.rows.values();
  if (stored === undefined || planned === undefined) return [];
  const [before, after] = [exportSettings(stored), exportSettings(planned)];
  const fields = fieldChanges(before, after);
  if (fields.length === 0) return [];
  const sides = { before: sideOf(before, fields, 'old'), after: sideOf(after, fields, 'new') };
  const entry = { op: '~', section: 'settings', name: 'settings', takesAdmin: false } as const;
  return [{ ...entry, fields, ...sides, subjects: ['settings:settings'] }];
}
