import { isRecord } from '../../config/issues.ts';
import type { Sql } from '../../store/database/drivers.ts';
import { readTable } from '../../store/directory/read-rows.ts';
import { keyOf } from '../document/fields.ts';
import { SECTIONS, type SectionName } from '../document/sections.ts';
import { exportEntries, exportSettings } from '../export/directory.ts';
import type { Plain } from '../export/names.ts';
import { findNames } from '../preview/names.ts';
import { readBots, readGrants } from '../stored/grants.ts';
import { find, type Reading, rowsOf, startReading } from '../stored/reading.ts';

/** Entries as they are stored, in the form of a document, without secrets. */
export interface StoredEntries {
  readonly settings: Plain | undefined;
  /** The stored entry that an entry of a document means: by its id, or else by its name. */
  find(section: SectionName, entry: Plain): Plain | undefined;
}

/** The field that names an entry; tokens are named by their owner, too. */
const NAMED_BY: Record<SectionName, string> = {
  organizations: 'path',
  users: 'username',
  groups: 'path',
  projects: 'path',
  access_tokens: 'name',
  deploy_tokens: 'username',
  job_tokens: 'id',
  federated_identities: 'name',
};
const OWNERS = ['user', 'project', 'group'];

/** Reads the entries that a document names, which may be wrong in any other way. */
export async function readStoredEntries(sql: Sql, content: Plain): Promise<StoredEntries> {
  const reading = startReading(sql);
  const entriesOf = (section: SectionName): readonly Plain[] => {
    const list = content[section];
    return Array.isArray(list) ? list.filter(isRecord) : [];
  };
  const settings = await readTable(sql, 'settings');
  const places = await readPlaces(reading, entriesOf);
  await readTokens(reading, entriesOf);
  await readGrants(reading, places);
  const rows = rowsOf(reading);
  const exported = exportEntries(rows, await findNames(sql, rows, rows));
  const byId = new Map<string, Plain>();
  const byName = new Map<string, Plain | null>();
  for (const section of SECTIONS) {
    for (const entry of exported[section]) {
      byId.set(`${section}:${String(entry['id'])}`, entry);
      const name = nameOf(section, entry);
      // Several tokens may have one name: then only an id says which is meant.
      byName.set(name, byName.has(name) ? null : entry);
    }
  }
  return {
    settings: settings[0] && exportSettings(settings[0]),
    find: (section, entry) =>
      entry['id'] === undefined
        ? (byName.get(nameOf(section, entry)) ?? undefined)
        : byId.get(`${section}:${String(entry['id'])}`),
  };
}

function nameOf(section: SectionName, entry: Plain): string {
  const owners = section === 'access_tokens' ? OWNERS.map((field) => textOf(entry[field])) : [];
  const name = textOf(entry[NAMED_BY[section]]);
  // Names of tokens count as they are written.
  return JSON.stringify([section, section.endsWith('tokens') ? name : keyOf(name), ...owners.map(keyOf)]);
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

type EntriesOf = (section: SectionName) => readonly Plain[];

function idsOf(entries: readonly Plain[]): readonly number[] {
  return entries.flatMap(({ id }) => (typeof id === 'number' && Number.isSafeInteger(id) ? [id] : []));
}

function keysOf(entries: readonly Plain[], field: string): readonly string[] {
  return entries.flatMap((entry) => (typeof entry[field] === 'string' ? [keyOf(entry[field])] : []));
}

async function readPlaces(
  reading: Reading,
  entriesOf: EntriesOf,
): Promise<{ readonly groups: readonly number[]; readonly projects: readonly number[] }> {
  const named = { organizations: entriesOf('organizations'), users: entriesOf('users') };
  const organizations = [
    ...(await find(reading, 'organizations', { id: idsOf(named.organizations) })),
    ...(await find(reading, 'organizations', { path_key: keysOf(named.organizations, 'path') })),
  ];
  await find(reading, 'organization_users', { organization_id: organizations.map(({ id }) => id) });
  await find(reading, 'users', { id: idsOf(named.users) });
  await find(reading, 'users', { username_key: keysOf(named.users, 'username') });
  const groups = [
    ...(await find(reading, 'namespaces', { id: idsOf(entriesOf('groups')) })),
    ...(await find(reading, 'namespaces', { path_key: keysOf(entriesOf('groups'), 'path') })),
  ];
  const projects = [
    ...(await find(reading, 'projects', { id: idsOf(entriesOf('projects')) })),
    ...(await find(reading, 'projects', { path_key: keysOf(entriesOf('projects'), 'path') })),
  ];
  return { groups: groups.map(({ id }) => id), projects: projects.map(({ id }) => id) };
}

async function readTokens(reading: Reading, entriesOf: EntriesOf): Promise<void> {
  const access = entriesOf('access_tokens');
  const name = access.flatMap((entry) => (typeof entry['name'] === 'string' ? [entry['name']] : []));
  const owners = startReading(reading.sql);
  const users = await find(owners, 'users', { username_key: keysOf(access, 'user') });
  const projects = await find(owners, 'projects', { path_key: keysOf(access, 'project') });
  const groups = await find(owners, 'namespaces', { path_key: keysOf(access, 'group') });
  const tokens = [
    ...(await find(reading, 'access_tokens', { id: idsOf(access) })),
    ...(await find(reading, 'access_tokens', { user_id: users.map(({ id }) => id), name })),
    ...(await find(reading, 'access_tokens', { project_id: projects.map(({ id }) => id), name })),
    ...(await find(reading, 'access_tokens', { group_id: groups.map(({ id }) => id), name })),
  ];
  const deploy = entriesOf('deploy_tokens');
  const usernames = deploy.flatMap(({ username }) => (typeof username === 'string' ? [username] : []));
  const deployTokens = [
    ...(await find(reading, 'deploy_tokens', { id: idsOf(deploy) })),
    ...(await find(reading, 'deploy_tokens', { username: usernames })),
  ];
  await find(reading, 'project_deploy_tokens', { deploy_token_id: deployTokens.map(({ id }) => id) });
  await find(reading, 'job_tokens', { id: idsOf(entriesOf('job_tokens')) });
  const identities = entriesOf('federated_identities');
  const names = identities.flatMap((entry) => (typeof entry['name'] === 'string' ? [entry['name']] : []));
  const found = [
    ...(await find(reading, 'federated_identities', { id: idsOf(identities) })),
    ...(await find(reading, 'federated_identities', { name: names })),
  ];
  await readBots(reading, [...tokens, ...found]);
}
