import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { errors, type JWTPayload, jwtVerify } from 'jose';

/** A secret that has the form of a CI job token, and what its form says. */
export type JobTokenForm =
  /** Its row has it encrypted; `partition`: where the row is, or null for an older form. */
  | { readonly kind: 'stored'; readonly partition: number | null }
  | { readonly kind: 'jwt'; readonly jwt: string };

/** The prefix of an instance may stand before it. */
const FORM = /^(?:[\x21-\x7e]{1,30}-)?glcbt-(?<rest>[\x21-\x7e]+)$/;
const STORED = /^([0-9a-f]{1,12})_./;
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/;
/** GitLab takes no longer secret for a job token (`Ci::AuthJobFinder`). */
const MAX_LENGTH = 8192;

/** Null: no job has such a secret. */
export function jobTokenForm(secret: string): JobTokenForm | null {
  if (secret.length > MAX_LENGTH) return null;
  const rest = FORM.exec(secret)?.groups?.['rest'];
  if (rest === undefined) return null;
  if (JWT.test(rest)) return { kind: 'jwt', jwt: rest };
  const partition = STORED.exec(rest)?.[1];
  return { kind: 'stored', partition: partition === undefined ? null : Number.parseInt(partition, 16) };
}

/** What a job token that is a JWT says. */
export interface JobClaims {
  readonly jobId: number;
  readonly expiresAt: Date;
  /** The second user of a composite identity. */
  readonly scopedUserId: number | null;
}

const AUDIENCE = 'gitlab-authz-token';
const SUBJECT = /^gid:\/\/gitlab\/Ci::Build\/([1-9]\d{0,17})$/;

/**
 * Verifies a job token that is a JWT (`Ci::JobToken::Jwt`). An expired one is returned, too: its
 * job is refused by the time of its end.
 * @returns null for a wrong signature, and for a token that is no job's.
 */
export async function verifyJobJwt(jwt: string, key: KeyObject, now: Date): Promise<JobClaims | null> {
  const payload = await verify(jwt, key, now);
  const id = SUBJECT.exec(payload?.sub ?? '')?.[1];
  if (payload?.exp === undefined || id === undefined) return null;
  const scoped = payload['scoped_user_id'];
  const scopedUserId = typeof scoped === 'number' || typeof scoped === 'string' ? Number(scoped) : null;
  return { jobId: Number(id), expiresAt: new Date(payload.exp * 1000), scopedUserId };
}

async function verify(jwt: string, key: KeyObject, now: Date): Promise<JWTPayload | null> {
  try {
    const options = { algorithms: ['RS256'], audience: AUDIENCE, currentDate: now };
    return (await jwtVerify(jwt, key, options)).payload;
  } catch (error) {
    if (error instanceof errors.JWTExpired) return error.payload;
    if (error instanceof errors.JOSEError) return null;
    throw error;
  }
}

/** The public half of GitLab's key for job tokens; null: the text is no private key. */
export function publicHalf(pem: Buffer): KeyObject | null {
  try {
    return createPublicKey(createPrivateKey(pem));
  } catch {
    return null;
  }
}
