import type { Config } from '../../config/load.ts';
import { forgetFailures } from '../../store/records/failure-counter.ts';
import { type AuditRetention, createIssuedTokens } from '../../store/records/issued-tokens.ts';
import { forgetRefusals } from '../../store/records/refusals.ts';
import type { Closers } from '../closers.ts';
import type { ServerInputs } from './inputs.ts';

const FORGET_MS = 60_000;
const TRIM_MS = 30_000;
/** Anonymous clients' share of the bytes for issued tokens. */
const ANONYMOUS_SHARE = 0.1;

/**
 * How long issued tokens stay on record, and how many bytes they may take. Anonymous clients get a
 * tenth of the bytes.
 */
export function auditRetention({ retention }: Config): AuditRetention {
  const anonymousBytes = Math.floor(retention.auditBytes * ANONYMOUS_SHARE);
  return { days: retention.auditDays, knownBytes: retention.auditBytes - anonymousBytes, anonymousBytes };
}

/** Deletes old records on a timer. One process of a server does this for all workers. */
export function startRetention(inputs: ServerInputs, closers: Closers): void {
  const { config, database, log, now } = inputs;
  const { refusalDays: days, refusalBytes: bytes } = config.retention;
  const repeat = (everyMs: number, work: () => Promise<unknown>, failure: string): void => {
    const timer = setInterval(() => {
      work().catch((error: unknown) => log.warn({ err: error }, failure));
    }, everyMs).unref();
    closers.push(async () => clearInterval(timer));
  };

  repeat(
    FORGET_MS,
    () => forgetRefusals(database, { days, bytes }, now()),
    'old refusals could not be deleted; retrying in a minute',
  );
  // Failures are counted by the system's clock, so a test's `now` does not apply.
  repeat(
    FORGET_MS,
    () => forgetFailures(database, new Date()),
    'old failed attempts could not be deleted; retrying in a minute',
  );
  const audit = auditRetention(config);
  if (audit.days === 0) return;
  const issuedTokens = createIssuedTokens(database);
  repeat(
    TRIM_MS,
    () => issuedTokens.trim(audit, now()),
    'old records of issued tokens could not be deleted; retrying in 30 seconds',
  );
}
