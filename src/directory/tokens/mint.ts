import { randomBytes } from 'node:crypto';
import { mintRoutableToken, type Routing } from '../../cells/routable-token.ts';
import { CellpassError, type Problem, printProblems } from '../../errors.ts';
import { accessTokenAbilities, deployTokenAbilities } from '../../policy/ability.ts';
import type { Database, Sql } from '../../store/database/drivers.ts';
import { changeDirectory, writeDirectory } from '../../store/directory/directory.ts';
import { allocateIds } from '../../store/directory/ids.ts';
import { NOT_EXCHANGED } from '../../store/directory/rows.ts';
import type { DirectoryChanges, TableChanges } from '../../store/directory/table-values.ts';
import {
  type DirectoryTables,
  type IdSource,
  TABLE_NAMES,
  type TableName,
} from '../../store/directory/tables.ts';
import type { TokenKey } from '../../store/directory/token-id.ts';
import { findToken, type ListedToken } from '../../store/directory/tokens.ts';
import type { NewRow } from '../../store/history/history.ts';
import { toStoredSecret } from '../document/secret.ts';
import { botMembership, newBot } from './bots.ts';
import { readOrder, type TokenOrder, type ValidOrder } from './order.ts';
import { findTokenOwner, type TokenOwner } from './owner.ts';
import { recordMint } from './record.ts';

export interface MintDependencies {
  readonly database: Database;
  readonly now: () => Date;
  /** The id of this cell, which becomes part of the token. */
  readonly cell: number;
  /** How long a new token may be good, and is by default; 0: no bound. */
  readonly tokenDays: number;
}

export interface MintedToken {
  readonly listed: ListedToken;
  /** Shown only once: cellpass stores nothing but the digest. */
  readonly secret: string;
  /** Reasons why the token is of no use as it is, one sentence each. */
  readonly warnings: readonly string[];
}

export const ACCESS_TOKEN_PREFIX = 'glpat-';
const DEPLOY_TOKEN_PREFIX = 'gldt-';

/**
 * Creates a routable token, with a bot for a project or group token, and records it in the history.
 * @param who creates it, such as `admin token ci (3)`.
 * @throws {CellpassError} `invalid`, with all problems of the order, unknown names included.
 */
export async function mintToken(
  dependencies: MintDependencies,
  given: TokenOrder,
  who: string,
): Promise<MintedToken> {
  const { database, now } = dependencies;
  const at = now();
  const { order, problems } = readOrder(given, at, dependencies.tokenDays);
  return changeDirectory(
    database,
    async (sql) => {
      const owner = await findTokenOwner(sql, given);
      if (order === null || 'problems' in owner) throw invalid(problems, owner);
      const routing = routingOf(dependencies.cell, owner);
      const secret = mintRoutableToken(
        order.kind === 'deploy' ? DEPLOY_TOKEN_PREFIX : ACCESS_TOKEN_PREFIX,
        routing,
      );
      const { key, added } = await plan(sql, { order, owner, secret, at });
      await writeDirectory(sql, added);
      const listed = await findToken(sql, key);
      if (listed === undefined) throw new Error('the new token was not found');
      await recordMint(sql, listed, rowsOf(added), { at, who });
      return { listed, secret, warnings: warningsOf(order, owner) };
    },
    who,
  );
}

/** A malformed name is not reported again as unknown. */
function invalid(
  formal: readonly Problem[],
  owner: TokenOwner | { readonly problems: readonly Problem[] },
): CellpassError {
  const unknown = 'problems' in owner ? owner.problems : [];
  const problems = [
    ...formal,
    ...unknown.filter(({ path }) => !formal.some((problem) => problem.path === path)),
  ];
  return new CellpassError('invalid', `no token was created: ${printProblems(problems)}`, { problems });
}

/** The cell, the organization, and the first of: the first project, the group, the user. */
function routingOf(
  cell: number,
  { organizationId, projectIds: [p], groupId: g, userId: u }: TokenOwner,
): Routing {
  const owner = p !== undefined ? { p: BigInt(p) } : g !== null ? { g: BigInt(g) } : { u: BigInt(u ?? 0) };
  return { c: BigInt(cell), o: BigInt(organizationId), ...owner };
}

interface NewToken {
  readonly order: ValidOrder;
  readonly owner: TokenOwner;
  readonly secret: string;
  readonly at: Date;
}

/** A token that is to be added, with its bot. */
interface PlannedToken {
  readonly key: TokenKey;
  readonly added: Added;
}

type Added = Partial<DirectoryChanges>;

function plan(sql: Sql, token: NewToken): Promise<PlannedToken> {
  const { order } = token;
  return order.kind === 'deploy'
    ? planDeployToken(sql, { ...token, order })
    : planAccessToken(sql, { ...token, order });
}

type Order<K extends ValidOrder['kind']> = Extract<ValidOrder, { readonly kind: K }>;

async function planAccessToken(
  sql: Sql,
  { order, owner, secret, at }: NewToken & { readonly order: Order<'personal' | 'project' | 'group'> },
): Promise<PlannedToken> {
  const number = await nextId(sql, 'access_tokens');
  const { kind } = order;
  const bot = kind === 'personal' ? null : await planBot(sql, order, owner);
  const row = {
    ...NOT_EXCHANGED,
    id: number,
    kind,
    name: order.name ?? `minted on ${at.toISOString().slice(0, 'yyyy-mm-dd'.length)}`,
    user_id: bot?.id ?? owner.userId ?? 0,
    project_id: owner.projectIds[0] ?? null,
    group_id: owner.groupId,
    scopes: order.scopes,
    expires_at: order.expires_at,
    revoked: false,
    minted: true,
    ...toStoredSecret(secret),
  };
  const added = { ...bot?.added, access_tokens: adding<'access_tokens'>(row) };
  return { key: { table: 'access', number }, added };
}

/** The bot of a token, with its id. */
async function planBot(
  sql: Sql,
  { kind, role }: Order<'project' | 'group'>,
  { organizationId, projectIds, groupId }: TokenOwner,
): Promise<{ readonly id: number; readonly added: Added }> {
  const id = await nextId(sql, 'unnamed');
  const ownerId = projectIds[0] ?? groupId ?? 0;
  const randomHex = randomBytes(16).toString('hex');
  const added = {
    users: adding<'users'>(newBot({ id, kind, ownerId, organizationId, randomHex })),
    members: adding<'members'>(botMembership({ kind, ownerId, botId: id, role })),
  };
  return { id, added };
}

async function planDeployToken(
  sql: Sql,
  { order, owner, secret }: NewToken & { readonly order: Order<'deploy'> },
): Promise<PlannedToken> {
  const number = await nextId(sql, 'deploy_tokens');
  const row = {
    id: number,
    name: order.name ?? null,
    // GitLab's default name.
    username: order.username ?? `gitlab+deploy-token-${number}`,
    scopes: order.scopes,
    group_id: owner.groupId,
    expires_at: order.expires_at,
    revoked: false,
    minted: true,
    ...toStoredSecret(secret),
  };
  const added = {
    deploy_tokens: adding<'deploy_tokens'>(row),
    project_deploy_tokens: adding<'project_deploy_tokens'>(
      ...owner.projectIds.map((project_id) => ({ deploy_token_id: number, project_id })),
    ),
  };
  return { key: { table: 'deploy', number }, added };
}

/** For the history. */
function rowsOf(added: Added): readonly NewRow[] {
  return TABLE_NAMES.flatMap((table) =>
    (added[table]?.upsert ?? []).map((after) => ({ table, before: null, after })),
  );
}

function adding<T extends TableName>(
  ...rows: readonly DirectoryTables[T][]
): TableChanges<DirectoryTables[T]> {
  return { upsert: rows, remove: [] };
}

async function nextId(sql: Sql, source: IdSource): Promise<number> {
  const [id] = await allocateIds(sql, source, { above: 0, count: 1 });
  if (id === undefined) throw new Error(`the sequence of ${source} gave no id`);
  return id;
}

function warningsOf({ kind, scopes }: ValidOrder, { userState }: TokenOwner): readonly string[] {
  const abilities = kind === 'deploy' ? deployTokenAbilities(scopes) : accessTokenAbilities(scopes);
  return [
    ...(abilities.size === 0 ? ['None of its scopes allows an action in a registry.'] : []),
    ...(userState !== null && userState !== 'active'
      ? [`Its user is ${userState}: the token is refused until the user is active.`]
      : []),
  ];
}
