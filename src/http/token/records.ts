import { CellpassError, type ErrorCode } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { credentialOf, type Subject } from '../../policy/subject.ts';
import type { AuditLog } from '../../records/audit-log.ts';
import type { LastUse } from '../../records/last-use.ts';
import type { RefusalLog } from '../../records/refusal-log.ts';
import type { IssuedToken } from '../../store/records/issued-tokens.ts';
import { toNetwork } from '../client-address.ts';
import type { RequestContext } from '../request-state.ts';
import { addLogFields } from './log-line.ts';
import { grantsLess, type IssuedOutcome, type OutcomeObserver } from './outcome.ts';
import { toStoredRefusal } from './refusal-record.ts';

export interface TokenRecords {
  readonly refusals: Pick<RefusalLog, 'add'>;
  readonly audit: Pick<AuditLog, 'add'>;
  readonly lastUse: Pick<LastUse, 'note'>;
  /** For the metrics: GitLab Rails was asked. */
  readonly countPassedOn: (reason: string) => void;
  /**
   * For the metrics: a client showed an ID token.
   * @param issuer the name of its entry in the settings; null: a stranger's.
   */
  readonly countFederated: (issuer: string | null, outcome: string) => void;
}

/** All observers of token requests. Their order does not matter; each works without the others. */
export function tokenObservers({
  refusals,
  audit,
  lastUse,
  countPassedOn,
  countFederated,
}: TokenRecords): readonly OutcomeObserver[] {
  return [
    logOutcome,
    labelOutcome,
    recordRefusals(refusals),
    recordIssued(audit),
    recordLastUse(lastUse),
    ({ passedOn }) => {
      if (passedOn !== null) countPassedOn(passedOn.reason);
    },
    ({ idToken, subject, error }) => {
      if (idToken !== null) countFederated(idToken.issuer, federatedOutcome(subject, error));
    },
  ];
}

/** The errors that refuse an ID token; an exchange may do so when its subject is known. */
const REFUSED_TOKENS: ReadonlySet<ErrorCode> = new Set(['unauthorized', 'too_many_failures']);

/** What came of the login or the exchange alone, whatever was granted then. */
function federatedOutcome(subject: Subject | null, error: unknown): string {
  const isRefused = error instanceof CellpassError && REFUSED_TOKENS.has(error.code);
  if (subject !== null && !isRefused) return 'accepted';
  return error instanceof CellpassError ? error.reason : 'failed';
}

/**
 * Joins observers into one. An observer that throws is logged; the others still run, and the answer
 * does not change.
 */
export function observeAll(observers: readonly OutcomeObserver[], log: Pick<Log, 'error'>): OutcomeObserver {
  return (outcome, context) => {
    for (const observe of observers) {
      try {
        observe(outcome, context);
      } catch (error) {
        log.error({ err: error, request_id: context.requestId }, 'a token request was not fully recorded');
      }
    }
  };
}

/** For the request's log line. */
const logOutcome: OutcomeObserver = (outcome, { logFields }) => {
  addLogFields(logFields, outcome);
};

/** For the metrics, which count each answer by its reason. */
const labelOutcome: OutcomeObserver = (outcome, context) => {
  if (grantsLess(outcome)) context.successReason = 'granted_less';
};

/** The errors that are refusals, and about which there is more to say than the error itself. */
const RECORDED_ERRORS: ReadonlySet<ErrorCode> = new Set([
  'unauthorized',
  'too_many_failures',
  'wrong_cell',
  'denied',
  'service_unknown',
  'registry_off',
]);

/** Records refusals, and tokens with less than asked, so that `explain --request` finds them. */
function recordRefusals(refusals: Pick<RefusalLog, 'add'>): OutcomeObserver {
  return (outcome, context) => {
    const { error, subject } = outcome;
    const isRefused = error instanceof CellpassError && RECORDED_ERRORS.has(error.code);
    if (!isRefused && !grantsLess(outcome)) return;
    const refusal = toStoredRefusal(outcome, context, isRefused ? error : null);
    const loginName = subject === null ? outcome.loginName : null;
    refusals.add(refusal, { subject, network: toNetwork(context.clientAddress), loginName });
  };
}

/** Records each token that a client got. */
function recordIssued(audit: Pick<AuditLog, 'add'>): OutcomeObserver {
  return ({ issued, subject, error }, context) => {
    if (issued !== null && error === null) audit.add(toIssuedToken(issued, subject, context));
  };
}

function toIssuedToken(
  { claims, kid, cell }: IssuedOutcome,
  subject: Subject | null,
  { requestId, now, clientAddress }: RequestContext,
): IssuedToken {
  return {
    jti: claims.jti,
    kid,
    subject: claims.sub,
    authType: claims.auth_type,
    service: claims.aud,
    access: claims.access,
    address: clientAddress.text,
    issuedAt: now,
    expiresAt: new Date(claims.exp * 1000),
    requestId,
    cell,
    ...(subject && { credential: credentialOf(subject) }),
    ...(subject?.kind === 'user' && subject.identity && { identity: subject.identity }),
  };
}

/** Notes the last use of the token that a subject came with, also when nothing was granted. */
function recordLastUse(lastUse: Pick<LastUse, 'note'>): OutcomeObserver {
  return ({ subject }, { now, clientAddress }) => {
    if (subject !== null) lastUse.note(subject, now, clientAddress.text);
  };
}
