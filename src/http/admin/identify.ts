import type { Context, Middleware } from 'koa';
import { adminTokenDigest, parseAdminBearer } from '../../authn/admin-token.ts';
import { CellpassError } from '../../errors.ts';
import type { Admin, RequestState } from '../request-state.ts';

export interface AdminTokenLookup {
  /** Of a token that is good now. Throws `unavailable` when the database is away. */
  recognise(digest: Uint8Array): Promise<{ readonly id: number; readonly name: string } | undefined>;
}

/** Whoever may open the socket is an admin; what they call themselves is for the record. */
export const adminBySocket: Middleware<RequestState> = async (ctx, next) => {
  const name = ctx
    .get('Cellpass-Actor')
    .replace(/[^\x20-\x7e]/g, '')
    .slice(0, 255);
  become(ctx.state, { over: 'socket', actor: name === '' ? 'admin socket' : `admin socket (${name})` });
  await next();
};

/**
 * Over TCP a token is needed for everything, whether or not there is anything at the path; what the
 * client calls itself counts for nothing.
 */
export function adminByToken(tokens: AdminTokenLookup): Middleware<RequestState> {
  return async (ctx, next) => {
    const secret = parseAdminBearer(ctx.headers.authorization);
    const token = secret === null ? undefined : await tokens.recognise(adminTokenDigest(secret));
    if (token === undefined) {
      throw new CellpassError('admin_unauthorized', 'this needs an admin token that is good now', {
        reason: secret === null ? 'no_admin_token' : 'unknown_admin_token',
      });
    }
    become(ctx.state, { over: 'tcp', actor: `admin token ${token.name} (${token.id})` });
    await next();
  };
}

function become(state: RequestState, admin: Admin): void {
  state.admin = admin;
  state.logFields['admin'] = admin.actor;
}

/** Who asks; nobody gets to a route unidentified. */
export function adminOf(ctx: Context): Admin {
  const { admin }: Partial<RequestState> = ctx.state;
  if (admin === undefined) throw new Error('an admin route without an identified admin');
  return admin;
}
