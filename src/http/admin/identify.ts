import type { Context, Middleware } from 'koa';
import { type AdminRole, includesRole } from '../../authn/admin-role.ts';
import { adminTokenDigest, parseAdminBearer } from '../../authn/admin-token.ts';
import { CellpassError } from '../../errors.ts';
import type { Contract } from '../contract.ts';
import type { Admin, RequestState } from '../request-state.ts';

export interface AdminTokenLookup {
  /**
   * The token with this digest, if it is valid now.
   * @throws {CellpassError} `unavailable` when the database is away.
   */
  recognise(
    digest: Uint8Array,
  ): Promise<{ readonly id: number; readonly name: string; readonly role: AdminRole } | undefined>;
}

/** Every client of the socket is an admin; the name that it gives goes into the history. */
export const adminBySocket: Middleware<RequestState> = async (ctx, next) => {
  const name = ctx
    .get('Cellpass-Actor')
    .replace(/[^\x20-\x7e]/g, '')
    .slice(0, 255);
  setAdmin(ctx.state, {
    over: 'socket',
    role: 'all',
    actor: name === '' ? 'admin socket' : `admin socket (${name})`,
  });
  await next();
};

/**
 * Asks for an admin token on every path over TCP, even where there is no route. The name that the
 * client gives is ignored.
 */
export function adminByToken(tokens: AdminTokenLookup): Middleware<RequestState> {
  return async (ctx, next) => {
    const secret = parseAdminBearer(ctx.headers.authorization);
    const token = secret === null ? undefined : await tokens.recognise(adminTokenDigest(secret));
    if (token === undefined) {
      throw new CellpassError(
        'admin_unauthorized',
        'this needs a valid admin token: send one as "Authorization: Bearer cpat-…"',
        {
          reason: secret === null ? 'no_admin_token' : 'unknown_admin_token',
        },
      );
    }
    setAdmin(ctx.state, { over: 'tcp', role: token.role, actor: `admin token ${token.name} (${token.id})` });
    await next();
  };
}

/**
 * Refuses what the role of the admin does not include. The contract says which role each operation
 * needs (`x-admin-role`); one that it does not know is closed to all but admins with the role `all`.
 */
export function requireRole(contract: Pick<Contract, 'roleOf'>): Middleware<RequestState> {
  return async (ctx, next) => {
    // Koa's router answers HEAD by the route for GET.
    const method = ctx.method === 'HEAD' ? 'get' : ctx.method.toLowerCase();
    const needed = contract.roleOf(method, ctx.path);
    const { role } = adminOf(ctx);
    if (needed === undefined && role !== 'all')
      throw new CellpassError('path_unknown', `there is no ${ctx.path} here`);
    if (needed !== undefined && !includesRole(role, needed)) {
      const enough = needed === 'all' ? 'all' : `${needed} or all`;
      throw new CellpassError(
        'denied',
        `this needs an admin token with the role ${enough}; this one has ${role}`,
        {
          reason: 'admin_role',
        },
      );
    }
    await next();
  };
}

function setAdmin(state: RequestState, admin: Admin): void {
  state.admin = admin;
  state.logFields['admin'] = admin.actor;
}

/** The admin of the request; every admin route runs behind one of the two middlewares above. */
export function adminOf(ctx: Context): Admin {
  const { admin }: Partial<RequestState> = ctx.state;
  if (admin === undefined) throw new Error('an admin route without an identified admin');
  return admin;
}
