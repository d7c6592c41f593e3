import type { KeyEvent, KeySet, KeyState, StoredAuthority, StoredKey } from '../keys/key-set.ts';
import type { Moment } from './permit.ts';
import { type KeyPeriods, nextStep } from './plan.ts';

/** One entry of `keys list --json`: the public part of a key, with times in ISO 8601. */
export interface KeyListing {
  readonly kid: string;
  readonly thumbprint: string;
  readonly state: KeyState;
  readonly created_at: string;
  readonly activated_at: string | null;
  readonly retired_at: string | null;
  readonly published_until: string | null;
  readonly revoked_at: string | null;
  readonly revocation_reason: string | null;
  /** null: the key has no certificate. */
  readonly certificate: { readonly imported: boolean; readonly not_after: string } | null;
  readonly next: { readonly what: string; readonly at: string | null };
  /**
   * Of a revoked key: when it signed tokens, and when the last one that cellpass issued expires.
   */
  readonly issued: {
    readonly from: string;
    readonly until: string;
    readonly tokens_end_at: string;
  } | null;
}

export interface AuthorityListing {
  readonly id: string;
  readonly state: StoredAuthority['state'];
  readonly created_at: string;
  readonly activated_at: string | null;
  readonly published_until: string | null;
  readonly not_after: string;
}

export interface KeySetListing {
  readonly keys: readonly KeyListing[];
  readonly authorities: readonly AuthorityListing[];
}

/** Lists keys and CAs, oldest first. */
export function listKeySet(set: KeySet, periods: KeyPeriods, moment: Moment): KeySetListing {
  return {
    keys: set.keys.map((key) => listKey(key, set, periods, moment)),
    authorities: set.authorities.map(listAuthority),
  };
}

function listKey(key: StoredKey, set: KeySet, periods: KeyPeriods, moment: Moment): KeyListing {
  const { what, at } = nextStep(key, set, periods, moment);
  return {
    kid: key.kid,
    thumbprint: key.thumbprint,
    state: key.state,
    created_at: key.createdAt.toISOString(),
    activated_at: iso(key.activatedAt),
    retired_at: iso(key.retiredAt),
    published_until: iso(key.publishedUntil),
    revoked_at: iso(key.revokedAt),
    revocation_reason: key.revocationReason,
    certificate: key.certificate && {
      imported: key.certificate.authorityId === null,
      not_after: key.certificate.notAfter.toISOString(),
    },
    next: { what, at: iso(at) },
    issued: issuedWindow(key),
  };
}

function issuedWindow({
  activatedAt,
  retiredAt,
  revokedAt,
  longestTokenSeconds,
}: StoredKey): KeyListing['issued'] {
  if (revokedAt === null || activatedAt === null) return null;
  const until = retiredAt ?? revokedAt;
  return {
    from: activatedAt.toISOString(),
    until: until.toISOString(),
    tokens_end_at: new Date(until.getTime() + longestTokenSeconds * 1000).toISOString(),
  };
}

function listAuthority(authority: StoredAuthority): AuthorityListing {
  return {
    id: authority.id,
    state: authority.state,
    created_at: authority.createdAt.toISOString(),
    activated_at: iso(authority.activatedAt),
    published_until: iso(authority.publishedUntil),
    not_after: authority.notAfter.toISOString(),
  };
}

/** One line of `keys history --json`. */
export interface KeyEventListing {
  readonly at: string;
  readonly actor: string;
  readonly action: KeyEvent['action'];
  readonly subject: string | null;
  readonly reason: string | null;
}

/** Lists audit entries in the given order. */
export function listKeyEvents(events: readonly KeyEvent[]): { readonly events: readonly KeyEventListing[] } {
  return { events: events.map(({ at, ...event }) => ({ at: at.toISOString(), ...event })) };
}

function iso(date: Date | null): string | null {
  return date?.toISOString() ?? null;
}
