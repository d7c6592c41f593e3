import { type AccessTokenRow, NOT_EXCHANGED, type UserRow } from '../../store/directory/rows.ts';
import type { AccessTokenEntry } from '../document/document.ts';
import { botMembership, newBot } from '../tokens/bots.ts';
import { findGroup, findProject, findUser, newId, type PlanContext, type References } from './context.ts';
import { resolveEntries } from './resolve-entries.ts';
import { revokedDigests, secretFor } from './secrets.ts';
import { byId, put, removeRow } from './tables.ts';

/** An entry with the id of its owner: a user, a project or a group, by `kind`. */
type Owned = AccessTokenEntry & { readonly ownerId: number };

export function planAccessTokens(context: PlanContext, references: References): void {
  const { document, tables, results } = context;
  const resolved = resolveEntries(context, {
    section: 'access_tokens',
    nameField: 'name',
    unique: false,
    entries: (document.access_tokens ?? []).flatMap((entry) => withOwner(context, references, entry)),
    rows: tables.access_tokens.rows.values(),
    entryName: ({ kind, ownerId, name }) => `${kind}:${ownerId}:${name}`,
    rowName: (row) => (row.minted ? null : `${row.kind}:${ownerOf(row)}:${row.name}`),
  });
  const revoked = revokedDigests(context);
  for (const [entry, stored] of resolved) planAccessToken(context, entry, stored, revoked);
  for (const row of tables.access_tokens.stored.values()) {
    const isNamed = results.access_tokens.indexById.has(row.id);
    if (isNamed || row.minted || !context.prune || document.access_tokens === undefined) continue;
    removeRow(tables.access_tokens, row);
    results.access_tokens.removed.add(row.id);
  }
}

function withOwner(context: PlanContext, references: References, entry: AccessTokenEntry): readonly Owned[] {
  const ownerId = findOwner(context, references, entry);
  return ownerId === undefined ? [] : [{ ...entry, ownerId }];
}

function findOwner(
  context: PlanContext,
  references: References,
  entry: AccessTokenEntry,
): number | undefined {
  switch (entry.kind) {
    case 'personal':
      return findUser(context, references, entry.user, ['access_tokens', entry.at, 'user']);
    case 'project':
      return findProject(context, references, entry.project, ['access_tokens', entry.at, 'project']);
    case 'group':
      return findGroup(context, references, entry.group, ['access_tokens', entry.at, 'group']);
  }
}

function ownerOf({ kind, user_id, project_id, group_id }: AccessTokenRow): number | null {
  return kind === 'personal' ? user_id : kind === 'project' ? project_id : group_id;
}

function planAccessToken(
  context: PlanContext,
  entry: Owned,
  stored: AccessTokenRow | null,
  revoked: ReadonlySet<string>,
): void {
  const { tables, results } = context;
  if (stored !== null && stored.identity_id !== null) {
    context.report(
      ['access_tokens', entry.at, 'id'],
      'is that of a token which was given in exchange for an ID token: no document can change it',
    );
    return;
  }
  if (stored !== null && (stored.kind !== entry.kind || ownerOf(stored) !== entry.ownerId)) {
    context.report(
      ['access_tokens', entry.at, 'id'],
      "the stored token with this id has another owner, which can't change: leave the id out for a new token",
    );
    return;
  }
  const id = stored?.id ?? newId(context, 'access_tokens', entry);
  results.access_tokens.indexById.set(id, entry.at);
  const secret = secretFor(context, 'access_tokens', entry, stored);
  if (secret === undefined) return;
  put(tables.access_tokens, {
    ...NOT_EXCHANGED,
    ...stored,
    id,
    kind: entry.kind,
    name: entry.name,
    user_id: entry.kind === 'personal' ? entry.ownerId : placeBot(context, entry, stored),
    project_id: entry.kind === 'project' ? entry.ownerId : null,
    group_id: entry.kind === 'group' ? entry.ownerId : null,
    scopes: entry.scopes,
    expires_at: entry.expires_at,
    revoked: entry.revoked || revoked.has(secret.token_digest),
    minted: stored?.minted ?? false,
    ...secret,
  });
}

/**
 * Puts the bot of a project or group token, and its membership with the token's role. Gives the id
 * of the bot.
 */
function placeBot(context: PlanContext, entry: Owned, stored: AccessTokenRow | null): number {
  if (entry.kind === 'personal') return entry.ownerId;
  const { tables } = context;
  const { kind, ownerId, role } = entry;
  const bot = stored === null ? makeBot(context, kind, ownerId) : byId(tables.users, stored.user_id);
  if (bot === undefined) return 0;
  put(tables.users, bot);
  put(tables.members, botMembership({ kind, ownerId, botId: bot.id, role }));
  return bot.id;
}

/**
 * A bot without its organization, which `placeBotsInOrganizations` sets when the tree is planned.
 */
function makeBot(context: PlanContext, kind: 'project' | 'group', ownerId: number): UserRow {
  const id = context.takeId('unnamed');
  return newBot({ id, kind, ownerId, organizationId: 0, randomHex: context.randomHex() });
}

/** Moves every bot to the organization of its project or group. */
export function placeBotsInOrganizations({ tables }: PlanContext): void {
  const owners = [...tables.access_tokens.rows.values(), ...tables.federated_identities.rows.values()];
  for (const { user_id, project_id, group_id } of owners) {
    const namespaceId = project_id === null ? group_id : byId(tables.projects, project_id)?.namespace_id;
    const namespace = namespaceId == null ? undefined : byId(tables.namespaces, namespaceId);
    const bot = byId(tables.users, user_id);
    if (bot === undefined || namespace === undefined) continue;
    put(tables.users, { ...bot, organization_id: namespace.organization_id });
  }
}
