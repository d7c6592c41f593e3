import { findDefaultOrganization, readTable } from '../../store/directory/read-rows.ts';
import type { DirectoryDocument } from '../document/document.ts';
import { readBots, readGrants, readRevocations } from './grants.ts';
import { type DocumentNames, namesIn } from './names.ts';
import { add, find, type Reading } from './reading.ts';

/**
 * Reads the rows on which the plan of a document depends, as long as it moves nothing and prunes
 * nothing: the rows that entries name or refer to, the groups above them, and what hangs on the
 * entries. So a document costs in proportion to its entries, not to the directory.
 */
export async function readNamed(reading: Reading, document: DirectoryDocument): Promise<void> {
  const names = namesIn(document);
  add(reading, 'settings', await readTable(reading.sql, 'settings'));
  await readOrganizations(reading, names, document);
  await readUsers(reading, names);
  await readPlaces(reading, names);
  await readGrants(reading, placesOfEntries(reading, names));
  await readTokens(reading, names);
  await readRevocations(reading, names.digests);
}

async function readOrganizations(
  reading: Reading,
  names: DocumentNames,
  { organizations = [] }: DirectoryDocument,
): Promise<void> {
  if (organizations.length === 0) {
    add(reading, 'organizations', await findDefaultOrganization(reading.sql));
    await find(reading, 'organizations', { path_key: names.organizations });
    return;
  }
  // The document sets the order of all organizations.
  const all = await readTable(reading.sql, 'organizations');
  add(reading, 'organizations', all);
  await find(reading, 'organization_users', { organization_id: all.map(({ id }) => id) });
}

async function readUsers(reading: Reading, names: DocumentNames): Promise<void> {
  const entries = [
    ...(await find(reading, 'users', { id: names.ids('users') })),
    ...(await find(reading, 'users', { username_key: names.users })),
  ];
  await find(reading, 'namespaces', { owner_id: entries.map(({ id }) => id) });
  await find(reading, 'users', { email_key: names.emails });
  await find(reading, 'users', { username_key: names.otherUsers });
}

async function readPlaces(reading: Reading, names: DocumentNames): Promise<void> {
  await find(reading, 'namespaces', { path_key: names.paths });
  await find(reading, 'namespaces', { id: names.ids('groups') });
  const projects = [
    ...(await find(reading, 'projects', { path_key: names.paths })),
    ...(await find(reading, 'projects', { id: names.ids('projects') })),
  ];
  await find(reading, 'namespaces', { id: projects.map(({ namespace_id }) => namespace_id) });
  const above = [...reading.found.namespaces.values()].flatMap(({ traversal_ids }) => traversal_ids);
  await find(reading, 'namespaces', { id: above.filter((id) => !reading.found.namespaces.has(String(id))) });
}

function usersOfEntries({ found }: Reading, names: DocumentNames): readonly number[] {
  const [ids, keys] = [new Set(names.ids('users')), new Set(names.users)];
  return [...found.users.values()]
    .filter(({ id, username_key }) => ids.has(id) || keys.has(username_key))
    .map(({ id }) => id);
}

function placesOfEntries({ found }: Reading, names: DocumentNames) {
  const idsOf = (
    rows: Iterable<{ readonly id: number; readonly path_key: string }>,
    given: readonly number[],
    paths: readonly string[],
  ): readonly number[] => {
    const [ids, keys] = [new Set(given), new Set(paths)];
    return [...rows].filter(({ id, path_key }) => ids.has(id) || keys.has(path_key)).map(({ id }) => id);
  };
  return {
    groups: idsOf(found.namespaces.values(), names.ids('groups'), names.groups),
    projects: idsOf(found.projects.values(), names.ids('projects'), names.projects),
  };
}

async function readTokens(reading: Reading, names: DocumentNames): Promise<void> {
  const secrets = { token_digest: names.digests };
  await find(reading, 'access_tokens', secrets);
  await find(reading, 'access_tokens', { id: names.ids('access_tokens') });
  await readTokensOfOwners(reading, names);
  await readBots(reading, [...reading.found.access_tokens.values()]);
  await find(reading, 'deploy_tokens', secrets);
  await find(reading, 'deploy_tokens', { id: names.ids('deploy_tokens') });
  await find(reading, 'deploy_tokens', { username: names.deployTokens });
  const deployTokens = [...reading.found.deploy_tokens.values()].map(({ id }) => id);
  await find(reading, 'project_deploy_tokens', { deploy_token_id: deployTokens });
  const identities = [
    ...(await find(reading, 'federated_identities', { id: names.ids('federated_identities') })),
    ...(await find(reading, 'federated_identities', { name: names.identities })),
  ];
  await find(reading, 'federated_identities', { user_id: usersOfEntries(reading, names) });
  await readBots(reading, identities);
  await find(reading, 'job_tokens', secrets);
  await find(reading, 'job_tokens', { id: names.ids('job_tokens') });
}

/** An entry without an id finds its token by its owner and its name. */
async function readTokensOfOwners(reading: Reading, names: DocumentNames): Promise<void> {
  const { users, namespaces, projects } = reading.found;
  const owners = names.accessTokens;
  const renamed = new Set(names.ids('users'));
  const usersOf = [...users.values()].filter(
    ({ id, username_key }) => owners.users.has(username_key) || renamed.has(id),
  );
  const placesOf = (rows: Iterable<{ readonly id: number; readonly path_key: string }>): readonly number[] =>
    [...rows].filter(({ path_key }) => owners.places.has(path_key)).map(({ id }) => id);
  const { names: name } = owners;
  await find(reading, 'access_tokens', { user_id: usersOf.map(({ id }) => id), name });
  await find(reading, 'access_tokens', { project_id: placesOf(projects.values()), name });
  await find(reading, 'access_tokens', { group_id: placesOf(namespaces.values()), name });
}
