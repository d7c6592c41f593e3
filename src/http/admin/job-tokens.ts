import { createHash } from 'node:crypto';
import type { Middleware } from 'koa';
import { CellpassError } from '../../errors.ts';
import type { JobToken } from '../../store/directory/job-tokens.ts';
import { readJson } from '../body.ts';
import type { Contract } from '../contract.ts';

export interface JobTokenResource {
  /**
   * Throws `invalid` for an unknown project or user, `conflict` for a secret that another job has.
   */
  putJobToken(token: JobToken): Promise<void>;
  /** Returns whether there was a job token with this id. */
  deleteJobToken(id: number): Promise<boolean>;
}

/** Stores a job token: these live for minutes, too short for the directory document. */
export function putJobToken(contract: Contract, tokens: JobTokenResource): Middleware {
  const parameters = contract.parametersOf('putJobToken');
  return async (ctx) => {
    const { id } = parameters(ctx).path;
    const input = contract.parseJobToken(await readJson(ctx.req));
    await tokens.putJobToken({
      id,
      project: input.project,
      user: input.user ?? null,
      running: input.running ?? true,
      expiresAt: input.expires_at == null ? null : new Date(input.expires_at),
      digest: digestOf(input),
    });
    ctx.status = 204;
  };
}

export function deleteJobToken(contract: Contract, tokens: JobTokenResource): Middleware {
  const parameters = contract.parametersOf('deleteJobToken');
  return async (ctx) => {
    const existed = await tokens.deleteJobToken(parameters(ctx).path.id);
    if (!existed)
      throw new CellpassError(
        'not_found',
        'no job token has this id: it was never put here, or it was deleted',
      );
    ctx.status = 204;
  };
}

/** The contract ensures that exactly one of the two fields is there. */
function digestOf({
  token,
  token_sha256,
}: {
  readonly token?: string;
  readonly token_sha256?: string;
}): Uint8Array {
  return token_sha256 === undefined
    ? createHash('sha256')
        .update(token ?? '')
        .digest()
    : Buffer.from(token_sha256, 'hex');
}
