import type { Middleware } from 'koa';
import type { MintedToken } from '../../directory/tokens/mint.ts';
import type { TokenOrder } from '../../directory/tokens/order.ts';
import { CellpassError } from '../../errors.ts';
import type { RevocationFile } from '../../records/revocation-file.ts';
import { printTokenId, readTokenId, type TokenKey } from '../../store/directory/token-id.ts';
import type { ListedToken, RevokedToken, TokenPage, TokenQuestion } from '../../store/directory/tokens.ts';
import { readJson } from '../body.ts';
import type { Contract } from '../contract.ts';
import type { ParametersOf } from '../contract-parameters.ts';
import type { MintedTokenView, TokenPage as TokenPageView, TokenView } from '../types.ts';
import { adminOf } from './identify.ts';
import { note, toHex } from './note-revocation.ts';
import { LONGEST_PAGE } from './parameters.ts';
import { toDate } from './places.ts';
import { listAbleTokens } from './questions/able-tokens.ts';
import type { QuestionResource } from './questions/who-can.ts';

export interface TokenResource {
  /** Throws `invalid` with every problem. */
  mint(order: TokenOrder, who: string): Promise<MintedToken>;
  /** Throws `invalid` for an unknown user, project or group. */
  list(question: TokenQuestion): Promise<TokenPage>;
  /** Undefined when there is no token with this id. */
  revoke(key: TokenKey, who: string): Promise<RevokedToken | undefined>;
}

/** Mints a token; this answer is the only one that shows its secret. */
export function mintToken(contract: Contract, tokens: TokenResource): Middleware {
  return async (ctx) => {
    ctx.set('Cache-Control', 'no-store');
    const order = contract.parseTokenOrder(await readJson(ctx.req));
    const { listed, secret, warnings } = await tokens.mint(order, adminOf(ctx).actor);
    ctx.status = 201;
    ctx.body = {
      ...toView(listed),
      token: secret,
      warning: warnings.length === 0 ? null : warnings.join(' '),
    } satisfies MintedTokenView;
  };
}

export function listTokens(
  contract: Contract,
  tokens: TokenResource,
  questions: QuestionResource,
): Middleware {
  const parameters = contract.parametersOf('listTokens');
  return async (ctx) => {
    const { can, under } = parameters(ctx).query ?? {};
    if (can !== undefined || under !== undefined) {
      const question = toQuestion(parameters(ctx));
      const list = (one: TokenQuestion) => tokens.list(one);
      const { rows, next = null } = await listAbleTokens(questions, list, question, { can, under });
      ctx.body = { tokens: rows.map(toView), next } satisfies TokenPageView;
      return;
    }
    const { tokens: page, hasMore } = await tokens.list(toQuestion(parameters(ctx)));
    const last = page.at(-1);
    ctx.body = {
      tokens: page.map(toView),
      next: hasMore && last !== undefined ? printTokenId(last.key) : null,
    } satisfies TokenPageView;
  };
}

export function revokeToken(tokens: TokenResource, revocations: RevocationFile): Middleware {
  return async (ctx) => {
    const id = String(ctx['params'].id);
    const key = readTokenId(id);
    const revoked = key === null ? undefined : await tokens.revoke(key, adminOf(ctx).actor);
    if (revoked === undefined) {
      throw new CellpassError(
        'not_found',
        `no token has the id ${id}: "cellpass token list" shows ids, such as access-12 or deploy-3`,
      );
    }
    const { digest, ...token } = revoked;
    const noted = { kind: 'token', id: printTokenId(token.key), sha256: toHex(digest) } as const;
    ctx.body = { ...toView(token), ...(await note(revocations, ctx, [noted])) } satisfies TokenView;
  };
}

/** @throws {CellpassError} `invalid` for an id with a number that no token can have. */
function toQuestion({ query = {} }: ParametersOf<'listTokens'>): TokenQuestion {
  const { after: afterId, limit = LONGEST_PAGE, user, project, group, kind, owner, scope } = query;
  const expiresBefore = toDate(query.expires_before);
  const unusedSince = toDate(query.unused_since);
  const after = afterId === undefined ? null : readTokenId(afterId);
  if (afterId !== undefined && after === null)
    throw new CellpassError('invalid', `after must be the "next" of a page, and ${afterId} is none`);
  return {
    ...(user !== undefined && { user }),
    ...(project !== undefined && { project }),
    ...(group !== undefined && { group }),
    ...(kind !== undefined && { kind }),
    ...(owner !== undefined && { owner }),
    ...(query.owner_state !== undefined && { ownerState: query.owner_state }),
    ...(scope !== undefined && { scope }),
    ...(expiresBefore !== undefined && { expiresBefore }),
    ...(unusedSince !== undefined && { unusedSince }),
    ...(query.never_expires !== undefined && { neverExpires: query.never_expires }),
    after,
    limit,
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
    created_at: token.createdAt?.toISOString() ?? null,
    created_by: token.createdBy,
    owner_state: token.ownerState,
    ...(token.identity && { identity: token.identity }),
  };
}

/** `p:101` */
function toNumber(part: string): [key: string, value: number] {
  const [key = '', value] = part.split(':');
  return [key, Number(value)];
}
