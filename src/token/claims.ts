import type { AccessEntry } from '../policy/grant.ts';
import { type AuthType, authType, type Subject, subjectName } from '../policy/subject.ts';

/** The claim set: names of RFC 7519, then distribution's and GitLab's. Times are in seconds. */
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
  /** A nested JWT for GitLab's usage tracking; see `user-claim.ts`. */
  readonly user?: string;
  readonly cell: string;
}

export interface ClaimInput {
  readonly issuer: string;
  /** Becomes the audience, as a string, because distribution 2.8 can't read a list. */
  readonly service: string;
  readonly cell: number;
  readonly subject: Subject;
  readonly access: readonly AccessEntry[];
  readonly now: Date;
  readonly ttlSeconds: number;
  /** When the access ends for other reasons than the credential; null: never. */
  readonly validUntil: Date | null;
  /** A UUID v4. */
  readonly tokenId: string;
}

/** Zot and Pulp allow no leeway, and would refuse a token if their clock is a little slow. */
export const BACKDATED_SECONDS = 5;

/** Builds the claim set; the token ends with its credential or `validUntil` if that is sooner. */
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
