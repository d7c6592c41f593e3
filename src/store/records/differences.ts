import type { ComparedAnswer } from '../../comparison/answer.ts';
import type { DifferingPart } from '../../comparison/compare.ts';
import { COMPARISON_OUTCOMES, type ComparisonOutcome } from '../../comparison/outcome.ts';
import { CellpassError } from '../../errors.ts';
import type { Database, Sql } from '../database/drivers.ts';
import type { RefusalRecord, Retention } from './refusals.ts';
import { uuidsWithPrefix } from './uuid-prefix.ts';

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

export interface StoredDifference {
  readonly requestId: string;
  readonly record: DifferenceRecord;
}

/** Comparisons that began in one hour. */
export interface ComparisonCount {
  readonly outcome: ComparisonOutcome;
  /** The beginning of the hour. */
  readonly hour: Date;
  readonly count: number;
}

const SAVE = `
  INSERT INTO comparison_differences (request_id, happened_at, record, bytes)
  SELECT kept.request_id, kept.happened_at, kept.record, octet_length(kept.record::text)
  FROM jsonb_to_recordset($1::jsonb) AS kept (request_id uuid, happened_at timestamptz, record jsonb)
  ON CONFLICT DO NOTHING`;

export async function saveDifferences(sql: Sql, differences: readonly StoredDifference[]): Promise<void> {
  const rows = differences.map(({ requestId, record }) => ({
    request_id: requestId,
    happened_at: record.at,
    record,
  }));
  // A name in a token of Rails may hold NUL, which PostgreSQL's text cannot.
  await sql.query(SAVE, [JSON.stringify(rows).replaceAll('\\u0000', '\\ufffd')]);
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
export async function forgetDifferences(
  database: Database,
  { days, bytes }: Retention,
  now: Date,
): Promise<void> {
  const first = new Date(now.getTime() - days * 24 * 60 * 60 * 1000);
  await database.transaction(async (sql) => {
    await sql.query('DELETE FROM comparison_differences WHERE happened_at < $1', [first]);
    await sql.query('DELETE FROM comparison_counts WHERE hour < $1', [first]);
    await sql.query(
      `DELETE FROM comparison_differences WHERE request_id IN (
        SELECT request_id FROM (
          SELECT request_id, sum(bytes) OVER (ORDER BY happened_at DESC, request_id) AS total
          FROM comparison_differences) AS newest_first
        WHERE total > $1)`,
      [bytes],
    );
  });
}

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

/**
 * The record of a difference; undefined when no record with this id is kept.
 * @param requestId a whole id, or a prefix as `isUuidPrefix` says.
 * @throws {CellpassError} `conflict` when several ids begin with the prefix.
 */
export async function findDifference(sql: Sql, requestId: string): Promise<DifferenceRecord | undefined> {
  const [row, other] = await sql.query<{ record: DifferenceRecord }>(
    'SELECT record FROM comparison_differences WHERE request_id BETWEEN $1 AND $2 LIMIT 2',
    [...uuidsWithPrefix(requestId)],
  );
  if (other === undefined) return row?.record;
  throw new CellpassError(
    'conflict',
    `the ids of several differences begin with ${requestId}: give more characters of the id`,
  );
}
