import { keysOfIdentity } from '../../authn/federation/claims.ts';
import type { FederatedIdentityRow, UserRow } from '../../store/directory/rows.ts';
import type { FederatedIdentityEntry } from '../document/document.ts';
import { botMembership, newBot } from '../tokens/bots.ts';
import { findGroup, findProject, findUser, newId, type PlanContext, type References } from './context.ts';
import { resolveEntries, takenMessage } from './resolve-entries.ts';
import { byId, put, removeRow } from './tables.ts';

/** Plans which ID tokens stand for whom, and the bots of identities that have no account. */
export function planFederatedIdentities(context: PlanContext, references: References): void {
  const { document, tables, results } = context;
  const resolved = resolveEntries(context, {
    section: 'federated_identities',
    nameField: 'name',
    unique: true,
    entries: document.federated_identities ?? [],
    rows: tables.federated_identities.stored.values(),
    entryName: ({ name }) => name,
    rowName: ({ name }) => name,
  });
  for (const [entry, stored] of resolved) planIdentity(context, references, entry, stored);
  for (const row of tables.federated_identities.stored.values()) {
    const isNamed = results.federated_identities.indexById.has(row.id);
    if (isNamed || !context.prune || document.federated_identities === undefined) continue;
    removeRow(tables.federated_identities, row);
    results.federated_identities.removed.add(row.id);
  }
  checkNames(context);
  checkAccounts(context);
}

/** Reports a name that a stored entry has which the document does not name. */
function checkNames(context: PlanContext): void {
  const { tables, results } = context;
  const { indexById } = results.federated_identities;
  const stored = new Map<string, number>();
  for (const { id, name } of tables.federated_identities.rows.values())
    if (!indexById.has(id)) stored.set(name, id);
  for (const [id, at] of indexById) {
    const taken = stored.get(byId(tables.federated_identities, id)?.name ?? '');
    if (taken !== undefined) context.report(['federated_identities', at, 'name'], takenMessage(taken));
  }
}

/** Reports a service account that becomes a person while a stored identity stands for it. */
function checkAccounts(context: PlanContext): void {
  const { tables, results } = context;
  for (const { id, kind, name, user_id } of tables.federated_identities.rows.values()) {
    const at = results.users.indexById.get(user_id);
    if (kind !== 'account' || at === undefined || results.federated_identities.indexById.has(id)) continue;
    if (byId(tables.users, user_id)?.kind !== 'service_account')
      context.report(
        ['users', at, 'kind'],
        `must stay service_account, because the identity ${name} stands for this user`,
      );
  }
}

function planIdentity(
  context: PlanContext,
  references: References,
  entry: FederatedIdentityEntry,
  stored: FederatedIdentityRow | null,
): void {
  const { tables, results } = context;
  const id = stored?.id ?? newId(context, 'federated_identities', entry);
  results.federated_identities.indexById.set(id, entry.at);
  const owner = ownerOf(context, references, entry);
  if (owner === undefined) return;
  const userId = owner.kind === 'account' ? owner.id : placeBot(context, entry, owner, stored);
  put(tables.federated_identities, {
    id,
    name: entry.name,
    issuer: entry.issuer,
    kind: owner.kind,
    user_id: userId,
    project_id: owner.kind === 'project' ? owner.id : null,
    group_id: owner.kind === 'group' ? owner.id : null,
    scopes: entry.scopes,
    claims: entry.claims,
    lookup_keys: keysOfIdentity(entry.claims),
    expires_at: entry.expires_at,
  });
}

interface Owner {
  readonly kind: FederatedIdentityRow['kind'];
  /** Of the user, the project or the group. */
  readonly id: number;
}

function ownerOf(
  context: PlanContext,
  references: References,
  { at, account, project, group }: FederatedIdentityEntry,
): Owner | undefined {
  const path = (field: string): readonly (string | number)[] => ['federated_identities', at, field];
  const named = (kind: Owner['kind'], id: number | undefined): Owner | undefined =>
    id === undefined ? undefined : { kind, id };
  if (project != null) return named('project', findProject(context, references, project, path('project')));
  if (group != null) return named('group', findGroup(context, references, group, path('group')));
  if (account == null) return undefined;
  const id = findUser(context, references, account, path('account'));
  if (id === undefined) return undefined;
  const user = byId(context.tables.users, id);
  if (user !== undefined && user.kind !== 'service_account') {
    context.report(
      path('account'),
      `"${account}" is a person: name a user with kind: service_account, or a project or group with a role`,
    );
  }
  return { kind: 'account', id };
}

/** Puts the bot of an identity, and its membership with the role. Gives the id of the bot. */
function placeBot(
  context: PlanContext,
  { role }: FederatedIdentityEntry,
  { kind, id: ownerId }: Owner,
  stored: FederatedIdentityRow | null,
): number {
  if (kind === 'account' || role == null) return 0;
  const { tables } = context;
  const isSame =
    stored !== null && stored.kind === kind && (stored.project_id ?? stored.group_id) === ownerId;
  const bot = (isSame ? byId(tables.users, stored.user_id) : undefined) ?? makeBot(context, kind, ownerId);
  put(tables.users, bot);
  put(tables.members, botMembership({ kind, ownerId, botId: bot.id, role }));
  return bot.id;
}

/** Without its organization, which `placeBotsInOrganizations` sets when the tree is planned. */
function makeBot(context: PlanContext, kind: 'project' | 'group', ownerId: number): UserRow {
  const id = context.takeId('unnamed');
  return newBot({ id, kind, ownerId, organizationId: 0, randomHex: context.randomHex() });
}
