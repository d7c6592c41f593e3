import { lowerCaseAscii } from '../../ascii.ts';
import { missingPins } from '../../config/federated-claims.ts';
import type { Dialect } from '../../policy/dialect.ts';
import type { SubjectIdentity, UserSubject } from '../../policy/subject.ts';
import { type IdentityRecord, type IdTokenRecords, whyNoLogin } from '../account.ts';
import { type SubjectOrReason, toUser } from '../to-subject.ts';
import { firstMismatch } from './claims.ts';
import { isIdTokenUsername } from './id-token.ts';
import type { VerifiedIdToken } from './verify.ts';

/** When, in whose way, and with which login name an ID token is read. */
interface Reading {
  readonly username: string;
  readonly now: Date;
  readonly dialect: Dialect;
}

/** Whom a verified ID token stands for: exactly one identity must match. */
export function fromIdToken(
  token: VerifiedIdToken,
  { identities, revoked }: IdTokenRecords,
  reading: Reading,
): SubjectOrReason<UserSubject> {
  if (revoked) return 'id_token_revoked';
  const [identity, ...others] = identities.filter((one) => matches(one, token));
  if (identity === undefined) return 'identity_unknown';
  // Also an expired or revoked one: to end one must not make the token stand for the other.
  if (others.length > 0) return 'identity_ambiguous';
  return fromIdentity(identity, toSubjectIdentity(identity.name, token), reading, token.expiresAt);
}

/** Without the demands of its issuer, an identity matches nothing: they may be newer than it. */
export function matches({ claims }: Pick<IdentityRecord, 'claims'>, token: VerifiedIdToken): boolean {
  return missingPins(claims, token.mustPin).length === 0 && firstMismatch(claims, token.claims) === null;
}

/** When an identity ends; null: never. */
export function endOf({ expiresOn }: Pick<IdentityRecord, 'expiresOn'>): Date | null {
  return expiresOn === null ? null : new Date(`${expiresOn}T00:00:00Z`);
}

/** @param endsAt of the ID token; null: it is not known. */
export function fromIdentity(
  record: IdentityRecord,
  identity: SubjectIdentity,
  { username, now, dialect }: Reading,
  endsAt: Date | null,
): SubjectOrReason<UserSubject> {
  const { scopes, revoked, account } = record;
  const identityEnds = endOf(record);
  if (revoked) return 'identity_revoked';
  if (identityEnds !== null && identityEnds <= now) return 'identity_expired';
  if (account === null) return 'identity_account';
  const isNamed =
    isIdTokenUsername(username) || lowerCaseAscii(username) === lowerCaseAscii(account.username);
  if (!isNamed) return 'identity_username';
  // Rights that the source can't judge; other causes are about passwords.
  if (account.unjudged === 'composite_identity') return account.unjudged;
  const reason = whyNoLogin(account, dialect);
  if (reason !== null) return reason;
  const ends = [endsAt, identityEnds].filter((end) => end !== null).map((end) => end.getTime());
  const expiresAt = ends.length === 0 ? null : new Date(Math.min(...ends));
  return {
    ...toUser(account, scopes),
    expiresAt,
    identity,
    ...(identityEnds && { identityEnds }),
  };
}

function toSubjectIdentity(
  name: string,
  { issuer, subject, jti }: Pick<VerifiedIdToken, 'issuer' | 'subject' | 'jti'>,
): SubjectIdentity {
  return { name, issuer, subject, jti };
}
