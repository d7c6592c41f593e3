import { randomBytes } from 'node:crypto';
import { mintRoutableToken, type Routing } from '../../cells/routable-token.ts';
import { CellpassError, type Problem, printProblems } from '../../errors.ts';
import { accessTokenAbilities, deployTokenAbilities } from '../../policy/ability.ts';
import type { Database, Sql } from '../../store/database/drivers.ts';
import { changeDirectory, writeDirectory } from '../../store/directory/directory.ts';
import { allocateIds } from '../../store/directory/ids.ts';
import { NOT_EXCHANGED } from '../../store/directory/rows.ts';
import type { TableChanges } from '../../store/directory/table-values.ts';
import type { DirectoryTables, IdSource, TableName } from '../../store/directory/tables.ts';
import type { TokenKey } from '../../store/directory/token-id.ts';
import { findToken, type ListedToken } from '../../store/directory/tokens.ts';
import { toStoredSecret } from '../document/secret.ts';
import { botMembership, newBot } from './bots.ts';
import { readOrder, type TokenOrder, type ValidOrder } from './order.ts';
import { findTokenOwner, type TokenOwner } from './owner.ts';

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
 * Creates a routable token, with a bot for a project or group token.
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
      const key = await store(sql, { order, owner, secret, at });
      const listed = await findToken(sql, key);
      if (listed === undefined) throw new Error('the new token was not found');
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

async function store(sql: Sql, token: NewToken): Promise<TokenKey> {
  const { order } = token;
  return order.kind === 'deploy'
    ? { table: 'deploy', number: await storeDeployToken(sql, { ...token, order }) }
    : { table: 'access', number: await storeAccessToken(sql, { ...token, order }) };
}

type Order<K extends ValidOrder['kind']> = Extract<ValidOrder, { readonly kind: K }>;

async function storeAccessToken(
  sql: Sql,
  { order, owner, secret, at }: NewToken & { readonly order: Order<'personal' | 'project' | 'group'> },
): Promise<number> {
  const id = await nextId(sql, 'access_tokens');
  const { kind } = order;
  const userId = kind === 'personal' ? (owner.userId ?? 0) : await storeBot(sql, order, owner);
  await writeDirectory(sql, {
    access_tokens: adding<'access_tokens'>({
      ...NOT_EXCHANGED,
      id,
      kind,
      name: order.name ?? `minted on ${at.toISOString().slice(0, 'yyyy-mm-dd'.length)}`,
      user_id: userId,
      project_id: owner.projectIds[0] ?? null,
      group_id: owner.groupId,
      scopes: order.scopes,
      expires_at: order.expires_at,
      revoked: false,
      minted: true,
      ...toStoredSecret(secret),
    }),
  });
  return id;
}

/** Stores the bot of a token and gives its id. */
async function storeBot(
  sql: Sql,
  { kind, role }: Order<'project' | 'group'>,
  { organizationId, projectIds, groupId }: TokenOwner,
): Promise<number> {
  const botId = await nextId(sql, 'unnamed');
  const ownerId = projectIds[0] ?? groupId ?? 0;
  const randomHex = randomBytes(16).toString('hex');
  await writeDirectory(sql, {
    users: adding<'users'>(newBot({ id: botId, kind, ownerId, organizationId, randomHex })),
    members: adding<'members'>(botMembership({ kind, ownerId, botId, role })),
  });
  return botId;
}

async function storeDeployToken(
  sql: Sql,
  { order, owner, secret }: NewToken & { readonly order: Order<'deploy'> },
): Promise<number> {
  const id = await nextId(sql, 'deploy_tokens');
  await writeDirectory(sql, {
    deploy_tokens: adding<'deploy_tokens'>({
      id,
      name: order.name ?? null,
      // GitLab's default name.
      username: order.username ?? `gitlab+deploy-token-${id}`,
      scopes: order.scopes,
      group_id: owner.groupId,
      expires_at: order.expires_at,
      revoked: false,
      minted: true,
      ...toStoredSecret(secret),
    }),
    project_deploy_tokens: adding<'project_deploy_tokens'>(
      ...owner.projectIds.map((project_id) => ({ deploy_token_id: id, project_id })),
    ),
  });
  return id;
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
