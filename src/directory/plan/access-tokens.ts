import type { AccessTokenRow, UserRow } from '../../store/directory/rows.ts';
import type { AccessTokenEntry } from '../document/document.ts';
import { botMembership, newBot } from '../tokens/bots.ts';
import { byId, put, removeRow } from './draft.ts';
import { matchEntries } from './match.ts';
import { findGroup, findProject, findUser, newId, type Planning, type References } from './planning.ts';
import { revokedDigests, secretFor } from './secrets.ts';

/** Whose the token is: the user's, the project's or the group's id, by kind. */
type Owned = AccessTokenEntry & { readonly ownerId: number };

export function planAccessTokens(planning: Planning, references: References): void {
  const { document, draft, outcome } = planning;
  const matches = matchEntries(planning, {
    section: 'access_tokens',
    nameField: 'name',
    unique: false,
    entries: (document.access_tokens ?? []).flatMap((entry) => withOwner(planning, references, entry)),
    rows: draft.access_tokens.rows.values(),
    entryName: ({ kind, ownerId, name }) => `${kind}:${ownerId}:${name}`,
    rowName: (row) => (row.minted ? null : `${row.kind}:${ownerOf(row)}:${row.name}`),
  });
  const revoked = revokedDigests(planning);
  for (const [entry, stored] of matches) planAccessToken(planning, entry, stored, revoked);
  for (const row of draft.access_tokens.stored.values()) {
    const isNamed = outcome.access_tokens.placeOf.has(row.id);
    if (isNamed || row.minted || !planning.prune || document.access_tokens === undefined) continue;
    removeRow(draft.access_tokens, row);
    outcome.access_tokens.removed.add(row.id);
  }
}

function withOwner(planning: Planning, references: References, entry: AccessTokenEntry): readonly Owned[] {
  const ownerId = findOwner(planning, references, entry);
  return ownerId === undefined ? [] : [{ ...entry, ownerId }];
}

function findOwner(planning: Planning, references: References, entry: AccessTokenEntry): number | undefined {
  switch (entry.kind) {
    case 'personal':
      return findUser(planning, references, entry.user, ['access_tokens', entry.at, 'user']);
    case 'project':
      return findProject(planning, references, entry.project, ['access_tokens', entry.at, 'project']);
    case 'group':
      return findGroup(planning, references, entry.group, ['access_tokens', entry.at, 'group']);
  }
}

function ownerOf({ kind, user_id, project_id, group_id }: AccessTokenRow): number | null {
  return kind === 'personal' ? user_id : kind === 'project' ? project_id : group_id;
}

function planAccessToken(
  planning: Planning,
  entry: Owned,
  stored: AccessTokenRow | null,
  revoked: ReadonlySet<string>,
): void {
  const { draft, outcome } = planning;
  if (stored !== null && (stored.kind !== entry.kind || ownerOf(stored) !== entry.ownerId)) {
    planning.report(
      ['access_tokens', entry.at, 'id'],
      'is stored as a token of another owner, and a token keeps its owner',
    );
    return;
  }
  const id = stored?.id ?? newId(planning, 'access_tokens', entry);
  outcome.access_tokens.placeOf.set(id, entry.at);
  const secret = secretFor(planning, 'access_tokens', entry, stored);
  if (secret === undefined) return;
  put(draft.access_tokens, {
    id,
    kind: entry.kind,
    name: entry.name,
    user_id: entry.kind === 'personal' ? entry.ownerId : placeBot(planning, entry, stored),
    project_id: entry.kind === 'project' ? entry.ownerId : null,
    group_id: entry.kind === 'group' ? entry.ownerId : null,
    scopes: entry.scopes,
    expires_at: entry.expires_at,
    revoked: entry.revoked || revoked.has(secret.token_digest),
    minted: stored?.minted ?? false,
    ...secret,
  });
}

/** A project or group token acts as a user of its own, who is a member with the token's role. Gives the bot's id. */
function placeBot(planning: Planning, entry: Owned, stored: AccessTokenRow | null): number {
  if (entry.kind === 'personal') return entry.ownerId;
  const { draft } = planning;
  const { kind, ownerId, role } = entry;
  const bot = stored === null ? makeBot(planning, kind, ownerId) : byId(draft.users, stored.user_id);
  if (bot === undefined) return 0;
  put(draft.users, bot);
  put(draft.members, botMembership({ kind, ownerId, botId: bot.id, role }));
  return bot.id;
}

/** Which organization it is in is known when everything has its place: see `placeBotsInOrganizations`. */
function makeBot(planning: Planning, kind: 'project' | 'group', ownerId: number): UserRow {
  const id = planning.takeId('unnamed');
  return newBot({ id, kind, ownerId, organizationId: 0, randomHex: planning.randomHex() });
}

/** A bot is in the organization of its project or group, also after that has moved. */
export function placeBotsInOrganizations({ draft }: Planning): void {
  for (const { user_id, project_id, group_id } of draft.access_tokens.rows.values()) {
    const namespaceId = project_id === null ? group_id : byId(draft.projects, project_id)?.namespace_id;
    const namespace = namespaceId == null ? undefined : byId(draft.namespaces, namespaceId);
    const bot = byId(draft.users, user_id);
    if (bot === undefined || namespace === undefined) continue;
    put(draft.users, { ...bot, organization_id: namespace.organization_id });
  }
}
