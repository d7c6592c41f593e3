import { createHash } from 'node:crypto';
import { showableParts } from '../../cells/credential-form.ts';

/** The columns of a row that derive from the secret. */
export interface StoredSecret {
  readonly token_digest: string;
  readonly token_prefix: string | null;
  readonly token_routing: string | null;
}

/** The digest of an entry's secret, as `bytea` in JSON; undefined for an entry without a secret. */
export function secretDigest(entry: {
  readonly token?: string | undefined;
  readonly token_sha256?: string | undefined;
}): string | undefined {
  if (entry.token !== undefined) return digestOf(entry.token);
  return entry.token_sha256 === undefined ? undefined : `\\x${entry.token_sha256}`;
}

function digestOf(secret: string): string {
  return `\\x${createHash('sha256').update(secret).digest('hex')}`;
}

/** What cellpass stores of a secret: its digest, and its readable parts in clear. */
export function toStoredSecret(secret: string): StoredSecret {
  const { prefix, routing } = showableParts(secret);
  return { token_digest: digestOf(secret), token_prefix: prefix, token_routing: routing };
}
