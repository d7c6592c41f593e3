import type { NamespaceRow } from '../../store/directory/rows.ts';
import { type Places, readBots, readGrants, readRevocations } from './grants.ts';
import { find, type Reading } from './reading.ts';

/**
 * Reads what moves with groups, personal namespaces and projects: everything below them, and the
 * bots of their tokens, which follow their place into another organization. Gives all places that
 * move.
 */
export async function readBranches(reading: Reading, { groups, projects }: Places): Promise<Places> {
  const below = await readNamespacesBelow(reading, groups);
  const namespaces = [...groups, ...below.map(({ id }) => id)];
  const moved = await find(reading, 'projects', { namespace_id: namespaces });
  const all = [...projects, ...moved.map(({ id }) => id)];
  // An entry may name one of these places by its new path.
  await readGrants(reading, { groups: namespaces, projects: all });
  const tokens = [
    ...(await find(reading, 'access_tokens', { group_id: namespaces })),
    ...(await find(reading, 'access_tokens', { project_id: all })),
  ];
  const identities = [
    ...(await find(reading, 'federated_identities', { group_id: namespaces })),
    ...(await find(reading, 'federated_identities', { project_id: all })),
  ];
  await readBots(reading, [...tokens, ...identities]);
  await readRevocations(reading, []);
  return { groups: namespaces, projects: all };
}

async function readNamespacesBelow(
  reading: Reading,
  roots: readonly number[],
): Promise<readonly NamespaceRow[]> {
  const all: NamespaceRow[] = [];
  for (let parents = roots; parents.length > 0; ) {
    const children = await find(reading, 'namespaces', { parent_id: parents });
    all.push(...children);
    parents = children.map(({ id }) => id);
  }
  return all;
}
