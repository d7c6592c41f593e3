import { createHash } from 'node:crypto';

/** The digest of an entry's secret, in the form of a stored row's; undefined when the document leaves the secret out. */
export function secretDigest(entry: {
  readonly token?: string | undefined;
  readonly token_sha256?: string | undefined;
}): string | undefined {
  if (entry.token !== undefined) return `\\x${createHash('sha256').update(entry.token).digest('hex')}`;
  return entry.token_sha256 === undefined ? undefined : `\\x${entry.token_sha256}`;
}
