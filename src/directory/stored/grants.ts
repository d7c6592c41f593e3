import type { AccessTokenRow, FederatedIdentityRow } from '../../store/directory/rows.ts';
import { find, type Reading } from './reading.ts';

const BOTS = ['project_bot', 'group_bot'] as const;

/** Groups and projects, by id. */
export interface Places {
  readonly groups: readonly number[];
  readonly projects: readonly number[];
}

/** Reads what hangs on groups and projects: members, invitations, allowlists, protection rules. */
export async function readGrants(reading: Reading, { groups, projects }: Places): Promise<void> {
  const members = [
    ...(await find(reading, 'members', { source_id: groups, source_type: ['Namespace'] })),
    ...(await find(reading, 'members', { source_id: projects, source_type: ['Project'] })),
  ];
  // The plan keeps memberships of bots, and must know which members are bots.
  await find(reading, 'users', { id: members.map(({ user_id }) => user_id), kind: BOTS });
  await find(reading, 'group_group_links', { shared_group_id: groups });
  const match = { project_id: projects };
  await find(reading, 'project_group_links', match);
  await find(reading, 'job_token_project_links', match);
  await find(reading, 'job_token_group_links', match);
  await find(reading, 'protected_repositories', match);
  await find(reading, 'protected_tags', match);
}

/** Reads the bots of tokens and identities, with their memberships. */
export async function readBots(
  reading: Reading,
  owned: readonly (AccessTokenRow | FederatedIdentityRow)[],
): Promise<void> {
  const ids = owned
    .filter(({ kind }) => kind === 'project' || kind === 'group')
    .map(({ user_id }) => user_id);
  await find(reading, 'users', { id: ids });
  await find(reading, 'members', { user_id: ids });
}

/** Reads which of the secrets that were read or given are revoked for good. */
export async function readRevocations(reading: Reading, given: readonly string[]): Promise<void> {
  const { access_tokens, deploy_tokens, job_tokens } = reading.found;
  const tokens = [...access_tokens.values(), ...deploy_tokens.values(), ...job_tokens.values()];
  const digests = tokens.map(({ token_digest }) => token_digest);
  await find(reading, 'revoked_secrets', { token_digest: [...given, ...digests] });
}
