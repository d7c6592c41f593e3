import { createFailedAttempts, type FailedAttempts } from '../../authn/failed-attempts.ts';
import { type AuditLog, createAuditLog } from '../../http/token/audit.ts';
import { createLastUse, type LastUse } from '../../http/token/last-use.ts';
import { createRefusalLog, type RefusalLog } from '../../http/token/refusals.ts';
import { saveTokenUses } from '../../store/directory/tokens.ts';
import { createFailureCounter, forgetFailures } from '../../store/records/failure-counter.ts';
import { createIssuedTokens } from '../../store/records/issued-tokens.ts';
import { forgetRefusals, saveRefusals } from '../../store/records/refusals.ts';
import { clockOf, type Parts } from './parts.ts';

/** What is remembered of requests, each within its bounds. */
export interface Records {
  readonly refusals: RefusalLog;
  readonly audit: AuditLog;
  readonly lastUse: LastUse;
  readonly failedAttempts: FailedAttempts;
  /** Writes what is waiting. */
  close(): Promise<void>;
}

export function openRecords(parts: Parts): Records {
  const { database, log } = parts;
  const refusals = refusalsOf(parts);
  const audit = auditOf(parts);
  const lastUse = createLastUse({
    save: (uses, granularityMs) => saveTokenUses(database, uses, granularityMs),
    log,
    ...clockOf(parts),
  });
  const forgetting = setInterval(() => forgetFailuresQuietly(parts), FORGET_FAILURES_MS).unref();
  return {
    refusals,
    audit,
    lastUse,
    failedAttempts: failedAttemptsOf(parts),
    close: async () => {
      clearInterval(forgetting);
      await refusals.close();
      await lastUse.close();
      await audit.close();
    },
  };
}

function refusalsOf({ config, database, log, now }: Parts): RefusalLog {
  const { refusalDays: days, refusalBytes: bytes } = config.retention;
  return createRefusalLog({
    save: (batch) => saveRefusals(database, batch),
    forget: () => forgetRefusals(database, { days, bytes }, now()),
    log,
  });
}

/** Of the room for issued tokens, what anonymous clients can cause gets a tenth. */
const ANONYMOUS_PART = 0.1;

function auditOf(parts: Parts): AuditLog {
  const { config, database, log, now } = parts;
  const { auditDays: days, auditBytes } = config.retention;
  const anonymousBytes = Math.floor(auditBytes * ANONYMOUS_PART);
  const knownBytes = auditBytes - anonymousBytes;
  const issuedTokens = createIssuedTokens(database);
  const audit = createAuditLog({
    save: issuedTokens.save,
    trim: () => issuedTokens.trim({ days, knownBytes, anonymousBytes }, now()),
    mostBytes: { known: knownBytes, anonymous: anonymousBytes },
    log,
    ...clockOf(parts),
  });
  return days === 0 ? { ...audit, add: () => undefined } : audit;
}

const FORGET_FAILURES_MS = 60_000;

/** They are counted by the system's clock, whatever `now` says. */
function forgetFailuresQuietly({ database, log }: Parts): void {
  forgetFailures(database, new Date()).catch((error: unknown) =>
    log.warn({ err: error }, 'old failed attempts could not be forgotten'),
  );
}

function failedAttemptsOf({
  config,
  database,
  log,
  monotonicMs = () => performance.now(),
}: Parts): FailedAttempts {
  const { perAddress, perAccount, seconds } = config.limits.failedAttempts;
  return createFailedAttempts({
    counters: {
      address: createFailureCounter(database, { name: 'address', seconds }),
      account: createFailureCounter(database, { name: 'account', seconds }),
    },
    limits: { address: perAddress, account: perAccount },
    seconds,
    monotonicMs,
    onLockout: ({ by, network }) => log.warn({ by, network }, 'too many failed attempts'),
  });
}
