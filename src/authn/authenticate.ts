import { hash } from 'node:crypto';
import { lowerCaseAscii } from '../ascii.ts';
import type { CellpassError, Reason } from '../errors.ts';
import { ANONYMOUS, type Subject } from '../policy/subject.ts';
import { type CredentialRecords, UNJUDGED, type Unjudged } from './account.ts';
import type { Credentials } from './basic.ts';
import { type Evidence, type HashedKind, kindsOf, verifyByRecord } from './credential-kinds.ts';
import type { Attempt, FailedAttempts } from './failed-attempts.ts';
import type { IdTokenVerifier, VerifiedIdToken } from './federation/verify.ts';
import type { PasswordHasher, VerifyPassword } from './password.ts';

export interface Authenticator {
  readonly passwords: Pick<PasswordHasher, 'inTurn' | 'refuseIfFull' | 'charge'>;
  readonly failedAttempts: Pick<FailedAttempts, 'refuseKnown' | 'admitPassword' | 'tokenFailed'>;
}

/** The request's own part in its authentication. */
export interface Circumstances {
  readonly now: Date;
  /** The client's address, or its network, as failed attempts are counted. */
  readonly network: string;
  /** Aborted when the client no longer waits; called only where there is a queue to wait in. */
  readonly clientGone: () => AbortSignal;
  /** Set where the secret is an ID token, whose signature is right. */
  readonly idToken?: VerifiedIdToken | null;
  /** Asks who can judge what the directory can't; missing: nobody can. */
  readonly judgeElsewhere?: JudgeElsewhere;
}

/** `unknown`: the answer says nothing of the credentials, as a failure or "too many requests". */
export type VerdictElsewhere = 'accepted' | 'refused' | 'unknown';
export type JudgeElsewhere = (reason: Unjudged) => Promise<VerdictElsewhere>;

/**
 * Credentials → subject, by the first kind that recognises the secret (`CREDENTIAL_KINDS`);
 * `elsewhere`: who can judge them has answered, and did not refuse them.
 * @param records the source's answer to `questionOf(credentials)`.
 * @throws {CellpassError} `unauthorized`, with the same message whatever the cause;
 * `details.reason` has the cause, for the log. `too_many_failures` for a password after too many
 * failures, and for a token that would be `unauthorized` then. `unavailable` when too many
 * passwords wait to be hashed, or failures can't be counted.
 */
export function authenticate(
  authenticator: Authenticator,
  credentials: Credentials | null,
  records: CredentialRecords,
  circumstances: Circumstances & { readonly judgeElsewhere?: undefined },
): Promise<Subject>;
export function authenticate(
  authenticator: Authenticator,
  credentials: Credentials | null,
  records: CredentialRecords,
  circumstances: Circumstances,
): Promise<Subject | 'elsewhere'>;
export async function authenticate(
  authenticator: Authenticator,
  credentials: Credentials | null,
  records: CredentialRecords,
  { now, network, clientGone, idToken = null, judgeElsewhere }: Circumstances,
): Promise<Subject | 'elsewhere'> {
  if (credentials === null) return ANONYMOUS;
  const evidence = { credentials, records, now, idToken };
  const kinds = kindsOf(credentials, idToken);
  const verdict = verifyByRecord(kinds, evidence);
  if (verdict !== null && typeof verdict === 'object') return verdict;
  const attempt = toAttempt(credentials, network, records.account?.username);
  const hashed = kinds.find((kind) => kind.proof === 'hash');
  const unjudged = verdict ?? (hashed && records.account?.unjudged) ?? null;
  if (judgeElsewhere !== undefined && isUnjudged(unjudged)) {
    return verifyElsewhere(authenticator.failedAttempts, { evidence, attempt, unjudged, judgeElsewhere });
  }
  if (hashed === undefined)
    throw await authenticator.failedAttempts.tokenFailed(attempt, verdict ?? 'unknown');
  return verifyByHash(authenticator, { kind: hashed, evidence, attempt, refusal: verdict }, clientGone);
}

/**
 * Verifies an ID token, before a source is asked about it.
 * @param note gets what is known of the token as soon as it is, for the records.
 * @throws {CellpassError} `unauthorized` and `too_many_failures`, as `authenticate`; `unavailable`
 * when the issuer's keys are not known, which is no failed attempt.
 */
export async function verifyIdToken(
  idTokens: IdTokenVerifier,
  { failedAttempts }: Pick<Authenticator, 'failedAttempts'>,
  credentials: Credentials,
  { now, network }: Pick<Circumstances, 'now' | 'network'>,
  note: (token: NotedIdToken) => void,
): Promise<VerifiedIdToken> {
  const verdict = await idTokens.verify(credentials.password, now);
  if (!('reason' in verdict)) {
    note(verdict);
    return verdict;
  }
  const { reason, issuer } = verdict;
  note({ issuer, subject: null, jti: null });
  throw await countRefusedToken({ failedAttempts }, credentials, network, reason);
}

/**
 * Counts a token as a failed attempt that was refused after `authenticate`.
 * @param network as in `Circumstances`.
 * @returns the error to throw: `unauthorized`, or `too_many_failures`.
 */
export function countRefusedToken(
  { failedAttempts }: Pick<Authenticator, 'failedAttempts'>,
  credentials: Credentials,
  network: string,
  reason: Reason,
): Promise<CellpassError> {
  return failedAttempts.tokenFailed(toAttempt(credentials, network), reason);
}

/** The parts of an ID token that records may have. */
export interface NotedIdToken {
  /** The name of the issuer in the settings; null: a stranger's. */
  readonly issuer: string | null;
  /** Null also where the signature is wrong: then anybody may have written them. */
  readonly subject: string | null;
  readonly jti: string | null;
}

/** An account counts by its name, whether the client gave the name or the e-mail address. */
function toAttempt(credentials: Credentials, network: string, account?: string): Attempt {
  const login = account ?? credentials.username;
  return { network, loginKey: lowerCaseAscii(login), digest: hash('sha256', credentials.password, 'buffer') };
}

function isUnjudged(reason: Reason | null): reason is Unjudged {
  return UNJUDGED.some((one) => one === reason);
}

interface Unproven {
  readonly evidence: Evidence;
  readonly attempt: Attempt;
  readonly unjudged: Unjudged;
  readonly judgeElsewhere: JudgeElsewhere;
}

/**
 * A secret that the directory has no record of may be a guess: it is asked about elsewhere only
 * while its address and account have failed seldom enough.
 */
async function verifyElsewhere(
  failedAttempts: Authenticator['failedAttempts'],
  { evidence, attempt, unjudged, judgeElsewhere }: Unproven,
): Promise<'elsewhere'> {
  const { job, accessToken, oauthToken } = evidence.records;
  const isRecorded = job !== null || accessToken !== null || oauthToken === 'recorded';
  if (isRecorded) {
    if ((await judgeElsewhere(unjudged)) !== 'refused') return 'elsewhere';
    throw await failedAttempts.tokenFailed(attempt, unjudged);
  }
  failedAttempts.refuseKnown(attempt);
  const admitted = await failedAttempts.admitPassword(attempt);
  const verdict = await judgeElsewhere(unjudged);
  if (verdict === 'refused') throw await admitted.failed(unjudged);
  if (verdict === 'accepted') admitted.succeeded();
  return 'elsewhere';
}

interface Guess {
  readonly kind: HashedKind;
  readonly evidence: Evidence;
  readonly attempt: Attempt;
  /** Why an earlier kind, which recognised the secret, refuses it. */
  readonly refusal: Reason | null;
}

/**
 * A failure is counted before the next hash begins, so that many guesses at once are worth no more
 * than one after the other.
 */
async function verifyByHash(
  { passwords, failedAttempts }: Authenticator,
  { kind, evidence, attempt, refusal }: Guess,
  clientGone: () => AbortSignal,
): Promise<Subject> {
  const { credentials, records } = evidence;
  failedAttempts.refuseKnown(attempt);
  // Before the database counts failures: in a flood of guesses most end here.
  const holder = { address: attempt.network, account: attempt.loginKey };
  passwords.refuseIfFull(holder);
  const admitted = await failedAttempts.admitPassword(attempt);
  const work = async (verify: VerifyPassword): Promise<Subject> => {
    admitted.refuseIfLimited();
    // A refused token costs the same hash, so that the time does not tell it from a wrong password.
    const matches = await verify(kind.hashOf(records), credentials.password);
    const verdict = refusal ?? kind.verify(evidence, matches);
    if (typeof verdict === 'string') throw await admitted.failed(verdict);
    admitted.succeeded();
    passwords.charge(holder.account);
    return verdict;
  };
  return passwords.inTurn(holder, work, clientGone());
}
