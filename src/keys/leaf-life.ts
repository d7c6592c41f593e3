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
  /** From a token's issue to the last moment at which a verifier may look at its certificate. */
  readonly longestUseSeconds: number;
}

/** Whether the leaf's age has come to a quarter of `leafHours`, or its dates no longer carry a token of the longest use. */
export function isLeafDue(
  leaf: KeyCertificate,
  { leafHours, longestUseSeconds }: LeafPolicy,
  at: { readonly now: Date; readonly authorityNotAfter: Date },
): boolean {
  const ageMs = at.now.getTime() - leaf.notBefore.getTime() - BACKDATED_MS;
  if (ageMs >= (leafHours * HOUR_MS) / 4) return true;
  // Where the CA's own end cuts the leaf short, a new one would be no longer.
  return !coversUse(leaf, at.now, longestUseSeconds) && leaf.notAfter < at.authorityNotAfter;
}

/** Whether a token issued at `now` can show this certificate for as long as the token may be used. */
export function coversUse(
  { notBefore, notAfter }: Pick<KeyCertificate, 'notBefore' | 'notAfter'>,
  now: Date,
  longestUseSeconds: number,
): boolean {
  return notBefore <= now && notAfter.getTime() - now.getTime() >= longestUseSeconds * 1000;
}

/** Issues the leaves that are due and answers the set as it is then: `open.set` itself if none was. */
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

/** Only of the CA that issues now: a change of CA gives every key its leaf by itself, and an imported certificate stays. */
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
