import type { Context, Middleware } from 'koa';
import type { MintedToken } from '../../directory/tokens/mint.ts';
import type { TokenOrder } from '../../directory/tokens/order.ts';
import type { TokenPage, TokenQuestion } from '../../directory/tokens/page.ts';
import { CellpassError } from '../../errors.ts';
import { printTokenId, readTokenId, type TokenKey } from '../../store/directory/token-id.ts';
import type { ListedToken, TokenKind } from '../../store/directory/tokens.ts';
import { readJson } from '../body.ts';
import type { Contract } from '../contract.ts';
import type { MintedTokenView, TokenPage as TokenPageView, TokenView } from '../types.ts';
import { parametersOf, readLimit } from './parameters.ts';

export interface TokenResource {
  /** Throws `invalid` with every problem. */
  mint(order: TokenOrder): Promise<MintedToken>;
  /** Throws `invalid` for names that nobody has. */
  list(question: TokenQuestion): Promise<TokenPage>;
  /** Undefined when there is none. */
  revoke(key: TokenKey): Promise<ListedToken | undefined>;
}

const KINDS: readonly TokenKind[] = ['personal', 'project', 'group', 'deploy'];

/** The only answer that ever shows the secret. */
export function mintToken(contract: Contract, tokens: TokenResource): Middleware {
  return async (ctx) => {
    ctx.set('Cache-Control', 'no-store');
    const order = contract.parseTokenOrder(await readJson(ctx.req));
    const { listed, secret, warnings } = await tokens.mint(order);
    ctx.status = 201;
    ctx.body = {
      ...toView(listed),
      token: secret,
      warning: warnings.length === 0 ? null : warnings.join(' '),
    } satisfies MintedTokenView;
  };
}

export function listTokens(tokens: TokenResource): Middleware {
  return async (ctx) => {
    const { tokens: page, hasMore } = await tokens.list(readQuestion(ctx));
    const last = page.at(-1);
    ctx.body = {
      tokens: page.map(toView),
      next: hasMore && last !== undefined ? printTokenId(last.key) : null,
    } satisfies TokenPageView;
  };
}

export function revokeToken(tokens: TokenResource): Middleware {
  return async (ctx) => {
    const id = String(ctx['params'].id);
    const key = readTokenId(id);
    const revoked = key === null ? undefined : await tokens.revoke(key);
    if (revoked === undefined) {
      throw new CellpassError(
        'not_found',
        `no token has the id ${id}: "cellpass token list" shows ids, such as access-12 or deploy-3`,
      );
    }
    ctx.body = toView(revoked) satisfies TokenView;
  };
}

/** @throws {CellpassError} `invalid` */
function readQuestion(ctx: Context): TokenQuestion {
  const one = parametersOf(ctx);
  const [user, project, group, kindName, afterId] = ['user', 'project', 'group', 'kind', 'after'].map(one);
  const kind = KINDS.find((known) => known === kindName);
  if (kindName !== undefined && kind === undefined)
    throw new CellpassError('invalid', `kind must be one of: ${KINDS.join(', ')}`);
  const after = afterId === undefined ? null : readTokenId(afterId);
  if (afterId !== undefined && after === null) throw new CellpassError('invalid', 'after must be an id');
  return {
    ...(user !== undefined && { user }),
    ...(project !== undefined && { project }),
    ...(group !== undefined && { group }),
    ...(kind !== undefined && { kind }),
    after,
    limit: readLimit(one('limit')),
  };
}

function toView({ key, username, expiresAt, routing, lastUsedAt, ...token }: ListedToken): TokenView {
  return {
    id: printTokenId(key),
    kind: token.kind,
    name: token.name,
    username,
    user: token.kind === 'personal' ? username : null,
    projects: [...token.projects],
    group: token.group,
    role: token.role,
    scopes: [...token.scopes],
    expires_at: expiresAt,
    revoked: token.revoked,
    minted: token.minted,
    prefix: token.prefix,
    routing: routing === null ? null : Object.fromEntries(routing.split(',').map(toNumber)),
    last_used_at: lastUsedAt?.toISOString() ?? null,
  };
}

/** `p:101` */
function toNumber(part: string): [key: string, value: number] {
  const [key = '', value] = part.split(':');
  return [key, Number(value)];
}
