import type { ComparedAnswer } from '../../comparison/answer.ts';
import type { DifferingPart } from '../../comparison/compare.ts';
import { COMPARISON_OUTCOMES, type ComparisonOutcome } from '../../comparison/outcome.ts';
import type { Database, Sql } from '../database/drivers.ts';
import { type Retention, recordTable, type StoredRecord } from './record-table.ts';
import type { RefusalRecord } from './refusals.ts';

/** Answers of GitLab Rails that differ from cellpass's, and how many were compared. */

/** What an answer grants of the scope that differs. */
interface Side {
  readonly status: number;
  readonly actions: readonly string[];
}

/** A difference as the database keeps it: without secrets, tokens and unverified login names. */
export interface DifferenceRecord extends Pick<RefusalRecord, 'at' | 'client' | 'error' | 'question'> {
  /** The kind of credential. */
  readonly credential: string;
  /** The action that differs, or those of the first scope. */
  readonly action: string;
  /** What decided here. */
  readonly rule: string;
  readonly part: DifferingPart;
  readonly sides: { readonly rails: Side; readonly cellpass: Side };
  readonly rails: ComparedAnswer;
  readonly cellpass: ComparedAnswer;
}

export type StoredDifference = StoredRecord<DifferenceRecord>;

const differences = recordTable<DifferenceRecord>('comparison_differences', 'differences');

export const saveDifferences = differences.save;
export const findDifference = differences.find;

/** Comparisons that began in one hour. */
export interface ComparisonCount {
  readonly outcome: ComparisonOutcome;
  /** The beginning of the hour. */
  readonly hour: Date;
  readonly count: number;
}

const COUNT = `
  INSERT INTO comparison_counts AS known (hour, outcome, count)
  SELECT fresh.hour, fresh.outcome, fresh.count
  FROM jsonb_to_recordset($1::jsonb) AS fresh (hour timestamptz, outcome text, count bigint)
  ORDER BY fresh.hour, fresh.outcome
  ON CONFLICT (hour, outcome) DO UPDATE SET count = known.count + excluded.count`;

export async function addComparisonCounts(sql: Sql, counts: readonly ComparisonCount[]): Promise<void> {
  await sql.query(COUNT, [JSON.stringify(counts)]);
}

/** In a transaction, whose timeout is longer than that of a client's query. */
export function forgetDifferences(database: Database, retention: Retention, now: Date): Promise<void> {
  const first = new Date(now.getTime() - retention.days * DAY_MS);
  return database.transaction(async (sql) => {
    await differences.forget(sql, retention, now);
    await sql.query('DELETE FROM comparison_counts WHERE hour < $1', [first]);
  });
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** Differences of one kind. */
interface DifferenceGroup extends Pick<DifferenceRecord, 'credential' | 'action' | 'rule'> {
  readonly rails: Side;
  readonly cellpass: Side;
  readonly count: number;
  readonly lastSeen: Date;
  /** Of the last one. */
  readonly requestId: string;
}

export interface ComparisonReport extends Readonly<Record<ComparisonOutcome, number>> {
  /** Those with an answer of both. */
  readonly compared: number;
  /** The most frequent first. */
  readonly groups: readonly DifferenceGroup[];
}

interface GroupRow {
  readonly credential: string;
  readonly action: string;
  readonly rule: string;
  readonly sides: DifferenceRecord['sides'];
  readonly count: number;
  readonly last_seen: Date;
  readonly request_id: string;
  readonly [column: string]: unknown;
}

/** As many groups as a person reads. */
const MOST_GROUPS = 200;
const GROUPS = `
  SELECT record ->> 'credential' AS credential, record ->> 'action' AS action, record ->> 'rule' AS rule,
    record -> 'sides' AS sides, count(*)::int AS count, max(happened_at) AS last_seen,
    (array_agg(request_id ORDER BY happened_at DESC))[1]::text AS request_id
  FROM comparison_differences WHERE happened_at >= $1
  GROUP BY 1, 2, 3, 4 ORDER BY count DESC, last_seen DESC LIMIT ${MOST_GROUPS}`;

/** What was compared since a time, whole hours of it for the counts. */
export async function reportComparisons(database: Database, since: Date): Promise<ComparisonReport> {
  const [counts, groups] = await database.transaction(async (sql) => [
    await sql.query<{ outcome: ComparisonOutcome; count: number }>(
      "SELECT outcome, sum(count)::bigint AS count FROM comparison_counts WHERE hour >= date_trunc('hour', $1::timestamptz) GROUP BY outcome",
      [since],
    ),
    await sql.query<GroupRow>(GROUPS, [since]),
  ]);
  const of = (outcome: ComparisonOutcome): number =>
    Number(counts.find((one) => one.outcome === outcome)?.count ?? 0);
  const [equal, differing, expected, unanswered, dropped] = COMPARISON_OUTCOMES.map(of) as [
    number,
    number,
    number,
    number,
    number,
  ];
  return {
    ...{ compared: equal + differing + expected, equal, differing, expected, unanswered, dropped },
    groups: groups.map(({ sides, count, last_seen, request_id, ...kind }) => ({
      credential: kind.credential,
      action: kind.action,
      rule: kind.rule,
      rails: sides.rails,
      cellpass: sides.cellpass,
      count,
      lastSeen: last_seen,
      requestId: request_id,
    })),
  };
}
