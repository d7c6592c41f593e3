import type { Config } from '../../config/load.ts';
import { forgetClocks } from '../../store/clocks.ts';
import { forgetFederation } from '../../store/federation/revocations.ts';
import { forgetHistory } from '../../store/history/history.ts';
import { forgetDifferences } from '../../store/records/differences.ts';
import { forgetFailures } from '../../store/records/failure-counter.ts';
import type { AuditSizes } from '../../store/records/issued-token-sizes.ts';
import { type AuditRetention, createIssuedTokens } from '../../store/records/issued-tokens.ts';
import { forgetRefusals } from '../../store/records/refusals.ts';
import { beginTurn, type RetentionTask, vacuumEmbedded } from '../../store/records/retention-turns.ts';
import type { Closers } from '../closers.ts';
import type { ServerInputs } from './inputs.ts';

const FORGET_MS = 60_000;
const TRIM_MS = 30_000;
const VACUUM_MS = 10 * 60_000;
/** A turn of another replica counts for a little less than the period, so that none is skipped. */
const TURN_PART = 0.8;
const HOUR_MS = 60 * 60_000;
const HOURS_A_DAY = 24;
/** 400 days: a change can be asked about a year later. */
const HISTORY_MS = 400 * HOURS_A_DAY * HOUR_MS;
const SECONDS_A_DAY = 86_400;
/** Anonymous clients' share of the bytes for issued tokens. */
const ANONYMOUS_SHARE = 0.1;
/** What a record of a token for one repository takes with its indexes; see docs/limits.md. */
const TOKEN_BYTES = 360;

/**
 * How long issued tokens stay on record, and how many bytes they may take. Anonymous clients get a
 * tenth of the bytes.
 */
export function auditRetention({ retention }: Config): AuditRetention {
  const anonymousBytes = Math.floor(retention.auditBytes * ANONYMOUS_SHARE);
  return { days: retention.auditDays, knownBytes: retention.auditBytes - anonymousBytes, anonymousBytes };
}

interface Work {
  readonly task: RetentionTask;
  readonly everyMs: number;
  readonly run: () => Promise<unknown>;
  readonly failure: string;
}

/**
 * Deletes old records on a timer. The administration of a server does this for its workers, and one
 * replica at a time for all replicas on a database.
 */
export function startRetention(inputs: ServerInputs, closers: Closers): void {
  const { database, log } = inputs;
  for (const { task, everyMs, run, failure } of worksOf(inputs)) {
    const takeTurn = async (): Promise<void> => {
      if (await beginTurn(database, task, everyMs * TURN_PART)) await run();
    };
    const timer = setInterval(() => {
      takeTurn().catch((error: unknown) => log.warn({ err: error }, failure));
    }, everyMs).unref();
    closers.push(async () => clearInterval(timer));
  }
}

function worksOf(inputs: ServerInputs): readonly Work[] {
  const { config, database, now } = inputs;
  const { refusalDays: days, refusalBytes: bytes } = config.retention;
  return [
    {
      task: 'refusals',
      everyMs: FORGET_MS,
      run: async () => {
        await forgetRefusals(database, { days, bytes }, now());
        await vacuumEmbedded(database, ['refusals']);
      },
      failure: 'old refusals could not be deleted; retrying in a minute',
    },
    {
      task: 'failed_attempts',
      everyMs: FORGET_MS,
      run: async () => {
        // Failures are counted by the system's clock, so a test's `now` does not apply.
        await forgetFailures(database, new Date());
        await forgetClocks(database);
        await vacuumEmbedded(database, ['failed_attempts']);
      },
      failure: 'old failed attempts could not be deleted; retrying in a minute',
    },
    {
      task: 'federation',
      everyMs: FORGET_MS,
      run: async () => {
        if ((await forgetFederation(database, now())) === 0) return;
        await vacuumEmbedded(database, ['exchanged_id_tokens', 'revoked_id_tokens', 'access_tokens']);
      },
      failure: 'exchanged tokens that have ended could not be deleted; retrying in a minute',
    },
    {
      task: 'comparisons',
      everyMs: FORGET_MS,
      run: async () => {
        const { comparisonDays, comparisonBytes } = config.retention;
        await forgetDifferences(database, { days: comparisonDays, bytes: comparisonBytes }, now());
        await vacuumEmbedded(database, ['comparison_differences']);
      },
      failure: 'old comparisons could not be deleted; retrying in a minute',
    },
    {
      task: 'history',
      everyMs: HOUR_MS,
      run: () => forgetHistory(database, new Date(now().getTime() - HISTORY_MS)),
      failure: 'old changes of the directory could not be deleted; retrying in an hour',
    },
    {
      task: 'vacuum',
      everyMs: VACUUM_MS,
      // Without a name: every table, such as those of job tokens and of the last use of tokens.
      run: () => vacuumEmbedded(database, ['']),
      failure: 'the embedded database could not be vacuumed; retrying in ten minutes',
    },
    ...auditWorkOf(inputs),
  ];
}

function auditWorkOf({ config, database, log, now }: ServerInputs): readonly Work[] {
  const retention = auditRetention(config);
  if (retention.days === 0) return [];
  const issuedTokens = createIssuedTokens(database);
  const tokensASecond = config.retention.auditBytes / retention.days / SECONDS_A_DAY / TOKEN_BYTES;
  log.info(
    {
      audit_days: retention.days,
      audit_bytes: config.retention.auditBytes,
      tokens_a_second: Number(tokensASecond.toPrecision(2)),
    },
    'retention.audit_bytes holds audit_days at up to so many tokens a second; at more, the oldest records are dropped earlier',
  );
  let warnedMs = Number.NEGATIVE_INFINITY;
  return [
    {
      task: 'issued_tokens',
      everyMs: TRIM_MS,
      run: async () => {
        const tooMuch = tooMuchFor(retention, await issuedTokens.trim(retention, now()));
        if (tooMuch === null || performance.now() - warnedMs < HOUR_MS) return;
        warnedMs = performance.now();
        log.warn(
          { ...tooMuch },
          'at the rate of the last hour, retention.audit_bytes does not hold audit_days: raise audit_bytes, or lower audit_days',
        );
      },
      failure: 'old records of issued tokens could not be deleted; retrying in 30 seconds',
    },
  ];
}

/**
 * Compares what would be written in `days` at the rate of the last hour with the bytes for it; null
 * when both kinds fit.
 */
export function tooMuchFor(retention: AuditRetention, sizes: AuditSizes): object | null {
  const kinds = [
    { kind: 'known', bytes: retention.knownBytes, anHour: sizes.known.bytesAnHour },
    { kind: 'anonymous', bytes: retention.anonymousBytes, anHour: sizes.anonymous.bytesAnHour },
  ];
  for (const { kind, bytes, anHour } of kinds) {
    if (anHour === null || anHour * HOURS_A_DAY * retention.days <= bytes) continue;
    return {
      kind,
      bytes_an_hour: anHour,
      bytes_allowed: bytes,
      bytes_needed: anHour * HOURS_A_DAY * retention.days,
      days_that_fit: Number((bytes / anHour / HOURS_A_DAY).toPrecision(2)),
      audit_days: retention.days,
    };
  }
  return null;
}
