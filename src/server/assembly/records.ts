import { lowerCaseAscii } from '../../ascii.ts';
import { createFailedAttempts, type FailedAttempts } from '../../authn/failed-attempts.ts';
import type { DirectorySource } from '../../authn/source.ts';
import type { ComparisonOutcome } from '../../comparison/outcome.ts';
import { type AuditLog, createAuditLog } from '../../records/audit-log.ts';
import { type ComparisonLog, createComparisonLog } from '../../records/comparison-log.ts';
import { createLastUse, type LastUse } from '../../records/last-use.ts';
import { createRefusalLog, type RefusalLog } from '../../records/refusal-log.ts';
import { saveTokenUses } from '../../store/directory/tokens.ts';
import { addComparisonCounts, saveDifferences } from '../../store/records/differences.ts';
import { createFailureCounter } from '../../store/records/failure-counter.ts';
import { createIssuedTokens } from '../../store/records/issued-tokens.ts';
import { saveRefusals } from '../../store/records/refusals.ts';
import { keepsAddresses, saveGitlabUses } from '../../store/source/gitlab/writes.ts';
import type { Closers } from '../closers.ts';
import { clockOf, type ServerInputs } from './inputs.ts';
import { auditRetention } from './retention.ts';

/** What token requests leave behind. Each log writes in batches and is bounded. */
export interface Records {
  readonly refusals: RefusalLog;
  readonly audit: AuditLog;
  readonly lastUse: LastUse;
  readonly failedAttempts: FailedAttempts;
  readonly comparisons: ComparisonLog;
}

/** What the administration and the metrics read of these records, in the same process. */
export interface RecordViews {
  readonly refusals: Pick<RefusalLog, 'flush' | 'dropped'>;
  readonly audit: Pick<AuditLog, 'flush' | 'stats'>;
  readonly lastUse: Pick<LastUse, 'flush'>;
  readonly failedAttempts: Pick<FailedAttempts, 'lockouts' | 'recheck'>;
  readonly comparisons: Pick<ComparisonLog, 'flush'>;
}

const nothingToFlush = async (): Promise<void> => undefined;

/**
 * The primary of several workers answers no token requests, so it has no records that wait to be
 * written.
 */
export const NO_RECORDS: RecordViews = {
  refusals: { flush: nothingToFlush, dropped: () => 0 },
  audit: {
    flush: nothingToFlush,
    stats: () => ({
      waiting: 0,
      written: 0,
      lost: { buffer_full: 0, share_used_up: 0, no_room: 0, not_written: 0 },
      bytes: { known: 0, anonymous: 0 },
    }),
  },
  lastUse: { flush: nothingToFlush },
  failedAttempts: { lockouts: () => ({ address: 0, account: 0 }), recheck: () => undefined },
  comparisons: { flush: nothingToFlush },
};

export function openRecords(
  inputs: ServerInputs,
  closers: Closers,
  source: Pick<DirectorySource, 'find'>,
  onCompared: (outcome: ComparisonOutcome) => void,
): Records {
  const { database, log } = inputs;
  const refusals = createRefusalLog({
    save: (batch) => saveRefusals(database, batch),
    findAccount: async (loginName) => {
      const question = { kind: 'user', name: lowerCaseAscii(loginName.reveal()) } as const;
      return (await source.find(question)).account?.username ?? null;
    },
    log,
    ...clockOf(inputs),
  });
  const audit = auditOf(inputs);
  const lastUse = lastUseOf(inputs);
  const comparisons = createComparisonLog({
    save: (batch) => saveDifferences(database, batch),
    addCounts: (counts) => addComparisonCounts(database, counts),
    onCount: onCompared,
    log,
    ...clockOf(inputs),
  });
  // Together, because each may take as long as a shutdown may.
  closers.push(() => closeTogether([audit, lastUse, refusals, comparisons]));
  return { refusals, audit, lastUse, comparisons, failedAttempts: failedAttemptsOf(inputs) };
}

async function closeTogether(logs: readonly { close(): Promise<void> }[]): Promise<void> {
  await Promise.all(logs.map((log) => log.close()));
}

/** GitLab's own list of tokens is as coarse. */
const GITLAB_GRANULARITY_MS = 10 * 60 * 1000;

function lastUseOf(inputs: ServerInputs): LastUse {
  const { database, gitlab, log } = inputs;
  const common = { log, ...clockOf(inputs) };
  if (gitlab === undefined) {
    return createLastUse({
      ...common,
      save: (uses, granularityMs) => saveTokenUses(database, uses, granularityMs),
    });
  }
  const { write } = gitlab;
  const lastUse = createLastUse({
    ...common,
    granularityMs: GITLAB_GRANULARITY_MS,
    perAddress: true,
    save: async (uses, granularityMs) => {
      if (write === null) return;
      await saveGitlabUses(write, uses, { granularityMs, hasAddresses: await keepsAddresses(write) });
    },
  });
  return write === null ? { ...lastUse, note: () => undefined } : lastUse;
}

function auditOf(inputs: ServerInputs): AuditLog {
  const { config, database, log, now } = inputs;
  const { days, knownBytes, anonymousBytes } = auditRetention(config);
  const issuedTokens = createIssuedTokens(database);
  const audit = createAuditLog({
    save: issuedTokens.save,
    measure: () => issuedTokens.measure(now()),
    maxBytes: { known: knownBytes, anonymous: anonymousBytes },
    processes: config.workers,
    log,
    ...clockOf(inputs),
  });
  return days === 0 ? { ...audit, add: () => undefined } : audit;
}

function failedAttemptsOf({
  config,
  database,
  log,
  monotonicMs = () => performance.now(),
}: ServerInputs): FailedAttempts {
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
