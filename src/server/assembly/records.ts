import { createFailedAttempts, type FailedAttempts } from '../../authn/failed-attempts.ts';
import { type AuditLog, createAuditLog } from '../../records/audit-log.ts';
import { createLastUse, type LastUse } from '../../records/last-use.ts';
import { createRefusalLog, type RefusalLog } from '../../records/refusal-log.ts';
import { saveTokenUses } from '../../store/directory/tokens.ts';
import { createFailureCounter, forgetFailures } from '../../store/records/failure-counter.ts';
import { createIssuedTokens } from '../../store/records/issued-tokens.ts';
import { forgetRefusals, saveRefusals } from '../../store/records/refusals.ts';
import { clockOf, type Parts } from './parts.ts';

/** The records that are kept behind the requests, each within its bounds. */
export interface Records {
  readonly refusals: RefusalLog;
  readonly audit: AuditLog;
  readonly lastUse: LastUse;
  readonly failedAttempts: FailedAttempts;
  /** Writes all records that still wait, for a bounded time. */
  close(): Promise<void>;
}

export function openRecords(parts: Parts): Records {
  const { database, log } = parts;
  const refusals = createRefusalLog({
    save: (batch) => saveRefusals(database, batch),
    log,
    ...clockOf(parts),
  });
  const audit = auditOf(parts);
  const lastUse = createLastUse({
    save: (uses, granularityMs) => saveTokenUses(database, uses, granularityMs),
    log,
    ...clockOf(parts),
  });
  const retention = startRetention(parts);
  return {
    refusals,
    audit,
    lastUse,
    failedAttempts: failedAttemptsOf(parts),
    close: async () => {
      retention.close();
      // Together, because each may take as long as a shutdown may.
      await Promise.all([refusals.close(), lastUse.close(), audit.close()]);
    },
  };
}

const RETENTION_MS = 60_000;

/** Drops old refusals and failed attempts, once a minute. */
function startRetention({ config, database, log, now }: Parts): { close(): void } {
  const { refusalDays: days, refusalBytes: bytes } = config.retention;
  const timer = setInterval(() => {
    forgetRefusals(database, { days, bytes }, now()).catch((error: unknown) =>
      log.warn({ err: error }, 'old refusals could not be dropped; trying again'),
    );
    // Failed attempts are counted by the system's clock, whatever `now` says.
    forgetFailures(database, new Date()).catch((error: unknown) =>
      log.warn({ err: error }, 'old failed attempts could not be dropped; trying again'),
    );
  }, RETENTION_MS).unref();
  return { close: () => clearInterval(timer) };
}

/** Tokens of anonymous clients get a tenth of the room for issued tokens. */
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
    maxBytes: { known: knownBytes, anonymous: anonymousBytes },
    log,
    ...clockOf(parts),
  });
  return days === 0 ? { ...audit, add: () => undefined } : audit;
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
