import { isRecord } from '../../config/issues.ts';
import type { Sql } from '../../store/database/drivers.ts';
import { readTable } from '../../store/directory/read-rows.ts';
import type { SectionName } from '../document/sections.ts';
import { exportEntries, exportSettings } from '../export/directory.ts';
import type { Plain } from '../export/names.ts';
import { findNames } from '../preview/names.ts';
import { readBots, readGrants } from '../stored/grants.ts';
import { find, type Reading, rowsOf, startReading } from '../stored/reading.ts';
import { digestOf, finder } from './find-entry.ts';
import { former, type Renames, renamesOf, storedNames } from './renames.ts';

/** Entries as they are stored, in the form of a document, without secrets. */
export interface StoredEntries {
  readonly settings: Plain | undefined;
  /** What the document calls otherwise. */
  readonly renames: Renames;
  /**
   * The stored entry that an entry of the document means, as the plan finds it: by its id, or else by
   * the name that the stored entry has after the renames of the document; a job token by its secret.
   */
  find(section: SectionName, entry: Plain): Plain | undefined;
}

/** Reads the entries that a document names, which may be wrong in any other way. */
export async function readStoredEntries(sql: Sql, content: Plain): Promise<StoredEntries> {
  const reading = startReading(sql);
  const entriesOf = (section: SectionName): readonly Plain[] => {
    const list = content[section];
    return Array.isArray(list) ? list.filter(isRecord) : [];
  };
  const settings = await readTable(sql, 'settings');
  const byId = await readById(reading, entriesOf);
  const renames = renamesIn(content, byId);
  const formerNames = { places: former(renames.places), organizations: former(renames.organizations) };
  const named: Named = {
    entriesOf,
    names: (section, field) =>
      entriesOf(section).flatMap((entry) => {
        const name = entry[field];
        if (typeof name !== 'string') return [];
        return storedNames(
          name,
          section === 'organizations' ? formerNames.organizations : formerNames.places,
        );
      }),
  };
  const places = await readPlaces(reading, byId, named);
  await readTokens(reading, named);
  await readGrants(reading, places);
  const rows = rowsOf(reading);
  const exported = exportEntries(rows, await findNames(sql, rows, rows));
  return {
    settings: settings[0] && exportSettings(settings[0]),
    renames,
    find: finder(rows, exported, { entriesOf, renames }),
  };
}

type EntriesOf = (section: SectionName) => readonly Plain[];

/** What a document names. */
interface Named {
  readonly entriesOf: EntriesOf;
  /** In lower case: the names in a field, as they are stored or may be. */
  readonly names: (section: SectionName, field: string) => readonly string[];
}

/** The rows that a document names by their ids. */
async function readById(reading: Reading, entriesOf: EntriesOf) {
  return {
    organizations: await find(reading, 'organizations', { id: idsOf(entriesOf('organizations')) }),
    users: await find(reading, 'users', { id: idsOf(entriesOf('users')) }),
    groups: await find(reading, 'namespaces', { id: idsOf(entriesOf('groups')) }),
    projects: await find(reading, 'projects', { id: idsOf(entriesOf('projects')) }),
  };
}

type RowsById = Awaited<ReturnType<typeof readById>>;

function renamesIn(content: Plain, { organizations, users, groups, projects }: RowsById): Renames {
  const names: Partial<Record<SectionName, ReadonlyMap<number, Plain>>> = {
    organizations: new Map(organizations.map(({ id, path }) => [id, { path }])),
    users: new Map(users.map(({ id, username }) => [id, { username }])),
    groups: new Map(groups.map(({ id, path }) => [id, { path }])),
    projects: new Map(projects.map(({ id, path }) => [id, { path }])),
  };
  return renamesOf(content, (section, id) => names[section]?.get(id));
}

function idsOf(entries: readonly Plain[]): readonly number[] {
  return entries.flatMap(({ id }) => (typeof id === 'number' && Number.isSafeInteger(id) ? [id] : []));
}

async function readPlaces(
  reading: Reading,
  byId: RowsById,
  { names }: Named,
): Promise<{ readonly groups: readonly number[]; readonly projects: readonly number[] }> {
  const organizations = [
    ...byId.organizations,
    ...(await find(reading, 'organizations', { path_key: names('organizations', 'path') })),
  ];
  await find(reading, 'organization_users', { organization_id: organizations.map(({ id }) => id) });
  await find(reading, 'users', { username_key: names('users', 'username') });
  const groups = [
    ...byId.groups,
    ...(await find(reading, 'namespaces', { path_key: names('groups', 'path') })),
  ];
  const projects = [
    ...byId.projects,
    ...(await find(reading, 'projects', { path_key: names('projects', 'path') })),
  ];
  return { groups: groups.map(({ id }) => id), projects: projects.map(({ id }) => id) };
}

async function readTokens(reading: Reading, { entriesOf, names }: Named): Promise<void> {
  const access = entriesOf('access_tokens');
  const name = access.flatMap((entry) => (typeof entry['name'] === 'string' ? [entry['name']] : []));
  const owners = startReading(reading.sql);
  const users = await find(owners, 'users', { username_key: names('access_tokens', 'user') });
  const projects = await find(owners, 'projects', { path_key: names('access_tokens', 'project') });
  const groups = await find(owners, 'namespaces', { path_key: names('access_tokens', 'group') });
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
  await find(reading, 'job_tokens', {
    token_digest: entriesOf('job_tokens').flatMap((entry) => digestOf(entry) ?? []),
  });
  const identities = entriesOf('federated_identities');
  const identityNames = identities.flatMap(({ name: given }) => (typeof given === 'string' ? [given] : []));
  const found = [
    ...(await find(reading, 'federated_identities', { id: idsOf(identities) })),
    ...(await find(reading, 'federated_identities', { name: identityNames })),
  ];
  await readBots(reading, [...tokens, ...found]);
}
