import type { AccessEntry } from '../policy/grant.ts';
import { type AuthType, authType, type Subject, subjectName } from '../policy/subject.ts';

/** What is signed; RFC 7519 names, then distribution's and GitLab's. Times are in seconds. */
export interface ClaimSet {
  readonly iss: string;
  readonly sub: string;
  readonly aud: string;
  readonly iat: number;
  readonly nbf: number;
  readonly exp: number;
  readonly jti: string;
  readonly auth_type: AuthType;
  readonly access: readonly AccessEntry[];
  /** A nested JWT for GitLab's usage tracking. */
  readonly user?: string;
  readonly cell: string;
}

export interface ClaimInput {
  readonly issuer: string;
  /** The service becomes the audience: a plain string, because distribution 2.8 knows no list. */
  readonly service: string;
  readonly cell: number;
  readonly subject: Subject;
  readonly access: readonly AccessEntry[];
  readonly now: Date;
  readonly ttlSeconds: number;
  /** The end of whatever the access rests on beside the credential; null: none. */
  readonly validUntil: Date | null;
  /** A UUID v4. */
  readonly tokenId: string;
}

/** Registries with no leeway (Zot, Pulp) refuse what a clock slightly ahead of theirs has stamped. */
export const BACKDATED_SECONDS = 5;

export function buildClaims(input: ClaimInput): ClaimSet {
  const now = Math.floor(input.now.getTime() / 1000);
  return {
    iss: input.issuer,
    sub: subjectName(input.subject),
    aud: input.service,
    iat: now - BACKDATED_SECONDS,
    nbf: now - BACKDATED_SECONDS,
    exp: Math.min(now + input.ttlSeconds, ...endsOf(input)),
    jti: input.tokenId,
    auth_type: authType(input.subject),
    access: input.access,
    cell: `cell-${input.cell}`,
  };
}

function endsOf({ subject, validUntil }: ClaimInput): readonly number[] {
  return [subject.expiresAt, validUntil]
    .filter((end) => end !== null)
    .map((end) => Math.floor(end.getTime() / 1000));
}
