import type { Context } from 'koa';
import type { RevocationFile, Revoked } from '../../records/revocation-file.ts';
import { adminOf } from './identify.ts';

/** Notes a revocation before its answer. The result belongs into the answer. */
export async function note(
  revocations: RevocationFile,
  ctx: Context,
  revoked: Revoked,
): Promise<{ readonly warning?: string }> {
  const warning = await revocations.add(revoked, adminOf(ctx).actor);
  return warning === null ? {} : { warning };
}

export function toHex(digest: Uint8Array): string {
  return Buffer.from(digest).toString('hex');
}
