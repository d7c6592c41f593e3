import { BACKDATED_MS, HOUR_MS, issueLeaf, type LeafLife } from './certificate.ts';
import {
  issuingAuthority,
  type KeyCertificate,
  type KeySet,
  type KeyStore,
  replaceCertificate,
} from './key-set.ts';
import type { OpenKeySet } from './open-key-set.ts';
import type { SigningKey } from './signing-key.ts';

export interface LeafPolicy extends LeafLife {
  /** From the issue of a token to the last moment at which a verifier may check its certificate. */
  readonly longestUseSeconds: number;
}

/**
 * Whether a leaf must be replaced: its age has reached a quarter of `leafHours`, or it would expire
 * before a token that is issued now.
 */
function isLeafDue(
  leaf: KeyCertificate,
  { leafHours, longestUseSeconds }: LeafPolicy,
  at: { readonly now: Date; readonly authorityNotAfter: Date },
): boolean {
  const ageMs = at.now.getTime() - leaf.notBefore.getTime() - BACKDATED_MS;
  if (ageMs >= (leafHours * HOUR_MS) / 4) return true;
  // If the leaf ends with its CA, a new leaf would end no later.
  return !coversUse(leaf, at.now, longestUseSeconds) && leaf.notAfter < at.authorityNotAfter;
}

/** Whether the certificate is valid for as long as a token issued at `now` may be used. */
export function coversUse(
  { notBefore, notAfter }: Pick<KeyCertificate, 'notBefore' | 'notAfter'>,
  now: Date,
  longestUseSeconds: number,
): boolean {
  return notBefore <= now && notAfter.getTime() - now.getTime() >= longestUseSeconds * 1000;
}

/**
 * Replaces the leaves that are due and returns the new set, or `open.set` itself if none was due.
 */
export async function reissueDueLeaves(
  open: OpenKeySet,
  input: { readonly store: KeyStore; readonly policy: LeafPolicy; readonly now: Date },
): Promise<KeySet> {
  let latest = open.set;
  for (const key of open.signingKeys) {
    latest = (await reissueIfDue(open, key, input)) ?? latest;
  }
  return latest;
}

/**
 * Issues a leaf of the active CA if the key's leaf is due or comes from another CA. An imported
 * certificate stays as it is.
 */
async function reissueIfDue(
  { set, authorities }: OpenKeySet,
  key: SigningKey,
  { store, policy, now }: Parameters<typeof reissueDueLeaves>[1],
): Promise<KeySet | undefined> {
  const leaf = key.certificate;
  const authority = authorities.get(issuingAuthority(set)?.id ?? '');
  if (leaf === null || leaf.authorityId === null || authority === undefined) return undefined;
  const isOfOtherAuthority = leaf.authorityId !== authority.id;
  if (!isOfOtherAuthority && !isLeafDue(leaf, policy, { now, authorityNotAfter: authority.notAfter })) {
    return undefined;
  }
  const next = await issueLeaf({ authority, key, now, leafHours: policy.leafHours });
  return store.updateKeySet((current) => ({
    set: replaceCertificate(current, key.kid, leaf.pem, next),
    events: [],
  }));
}
