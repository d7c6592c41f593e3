import type { Context } from 'koa';
import type { RevocationFile, Revoked } from '../../records/revocation-file.ts';
import { adminOf } from './identify.ts';

/** Notes revocations before their answer. The result belongs into the answer. */
export async function note(
  revocations: RevocationFile,
  ctx: Context,
  revoked: readonly Revoked[],
): Promise<{ readonly warning?: string }> {
  const warning = await revocations.add(revoked, adminOf(ctx).actor);
  return warning === null ? {} : { warning };
}

export function toHex(digest: Uint8Array): string {
  return Buffer.from(digest).toString('hex');
}
