import type { Middleware } from 'koa';
import { adminTokenDigest, newAdminTokenSecret } from '../../authn/admin-token.ts';
import { timestamp } from '../../directory/document/fields.ts';
import { CellpassError } from '../../errors.ts';
import type { RevocationFile } from '../../records/revocation-file.ts';
import type { AdminToken, NewAdminToken, RevokedAdminToken } from '../../store/admin-tokens.ts';
import { readJson } from '../body.ts';
import type { Contract } from '../contract.ts';
import type { AdminTokenBody } from '../types.ts';
import { type AdminTokenLookup, adminOf } from './identify.ts';
import { note, toHex } from './note-revocation.ts';

export interface AdminTokenResource extends AdminTokenLookup {
  create(token: NewAdminToken): Promise<AdminToken>;
  list(): Promise<readonly AdminToken[]>;
  /** Undefined when there is no token with this id. */
  revoke(id: number, actor: string): Promise<RevokedAdminToken | undefined>;
  now(): Date;
}

/**
 * Creates an admin token, over the socket only: otherwise a leaked token could create another one,
 * which would outlive the revocation of the first.
 */
export function createAdminToken(contract: Contract, tokens: AdminTokenResource): Middleware {
  return async (ctx) => {
    const { over, actor } = adminOf(ctx);
    if (over !== 'socket') {
      throw new CellpassError(
        'denied',
        'admin tokens are created only over the admin socket: run this on the host of the server, without --admin-url',
      );
    }
    const input = contract.parseAdminTokenOrder(await readJson(ctx.req));
    const now = tokens.now();
    const secret = newAdminTokenSecret();
    const created = await tokens.create({
      name: input.name,
      role: input.role ?? 'read',
      expiresAt: readExpiry(input.expires_at, now),
      createdAt: now,
      createdBy: actor,
      digest: adminTokenDigest(secret),
    });
    ctx.status = 201;
    ctx.set('Cache-Control', 'no-store');
    ctx.body = { ...toBody(created), token: secret };
  };
}

export function listAdminTokens(tokens: AdminTokenResource): Middleware {
  return async (ctx) => {
    ctx.body = { admin_tokens: (await tokens.list()).map(toBody) };
  };
}

export function revokeAdminToken(
  contract: Contract,
  tokens: AdminTokenResource,
  revocations: RevocationFile,
): Middleware {
  const parameters = contract.parametersOf('revokeAdminToken');
  return async (ctx) => {
    const { id } = parameters(ctx).path;
    const revoked = await tokens.revoke(id, adminOf(ctx).actor);
    if (revoked === undefined)
      throw new CellpassError(
        'not_found',
        `no admin token has this id, ${id}: see "cellpass admin-token list"`,
      );
    const noted = { kind: 'admin_token', id, sha256: toHex(revoked.digest) } as const;
    ctx.body = { ...toBody(revoked), ...(await note(revocations, ctx, [noted])) };
  };
}

function readExpiry(text: string | null | undefined, now: Date): Date | null {
  const { data, error } = timestamp.safeParse(text);
  const message = error?.issues[0]?.message;
  if (message !== undefined) throw wrongExpiry(message);
  if (data == null) return null;
  const expiresAt = new Date(data);
  if (expiresAt <= now) throw wrongExpiry('must be in the future');
  return expiresAt;
}

function wrongExpiry(message: string): CellpassError {
  return new CellpassError('invalid', `expires_at ${message}`, {
    problems: [{ path: 'expires_at', message }],
  });
}

function toBody(token: AdminToken): AdminTokenBody {
  return {
    id: token.id,
    name: token.name,
    role: token.role,
    created_at: token.createdAt.toISOString(),
    created_by: token.createdBy,
    expires_at: token.expiresAt?.toISOString() ?? null,
    revoked_at: token.revokedAt?.toISOString() ?? null,
    last_used_at: token.lastUsedAt?.toISOString() ?? null,
  };
}
