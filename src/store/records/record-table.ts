import { CellpassError } from '../../errors.ts';
import type { Sql } from '../database/drivers.ts';
import { uuidsWithPrefix } from './uuid-prefix.ts';

/** A table of records about requests: `request_id`, `happened_at`, `record` (JSON) and `bytes`. */
export interface RecordTable<R extends DatedRecord> {
  /** Twice the same does no harm. */
  save(sql: Sql, records: readonly StoredRecord<R>[]): Promise<void>;
  /** Deletes records that are too old, then the oldest of those that do not fit into the bound. */
  forget(sql: Sql, retention: Retention, now: Date): Promise<void>;
  /**
   * The record of a request; undefined when no record with this id is kept.
   * @param requestId a whole id, or a prefix as `isUuidPrefix` says.
   * @throws {CellpassError} `conflict` when several ids begin with the prefix.
   */
  find(sql: Sql, requestId: string): Promise<R | undefined>;
}

interface DatedRecord {
  /** ISO 8601. */
  readonly at: string;
}

export interface StoredRecord<R> {
  readonly requestId: string;
  readonly record: R;
}

export interface Retention {
  readonly days: number;
  readonly bytes: number;
}

/**
 * What PostgreSQL takes for no text: NUL, and half of a surrogate pair. A client's scope, or a name in
 * another server's token, may hold it, and a whole batch would be refused for it.
 */
const NO_TEXT = /\\u(?:0000|d[89a-f][0-9a-f]{2})/g;

const DAY_MS = 24 * 60 * 60 * 1000;

/** @param what the records are, in the plural, for messages. */
export function recordTable<R extends DatedRecord>(
  table: 'refusals' | 'comparison_differences',
  what: string,
): RecordTable<R> {
  const save = `
    INSERT INTO ${table} (request_id, happened_at, record, bytes)
    SELECT kept.request_id, kept.happened_at, kept.record, octet_length(kept.record::text)
    FROM jsonb_to_recordset($1::jsonb) AS kept (request_id uuid, happened_at timestamptz, record jsonb)
    ON CONFLICT DO NOTHING`;
  const forgetOverBound = `
    DELETE FROM ${table} WHERE request_id IN (
      SELECT request_id
      FROM (SELECT request_id, sum(bytes) OVER (ORDER BY happened_at DESC, request_id) AS total FROM ${table}) AS newest_first
      WHERE total > $1)`;
  return {
    async save(sql, records) {
      const rows = records.map(({ requestId, record }) => ({
        request_id: requestId,
        happened_at: record.at,
        record,
      }));
      await sql.query(save, [JSON.stringify(rows).replaceAll(NO_TEXT, '\\ufffd')]);
    },
    async forget(sql, { days, bytes }, now) {
      const first = new Date(now.getTime() - days * DAY_MS);
      await sql.query(`DELETE FROM ${table} WHERE happened_at < $1`, [first]);
      await sql.query(forgetOverBound, [bytes]);
    },
    async find(sql, requestId) {
      const [row, other] = await sql.query<{ record: R }>(
        `SELECT record FROM ${table} WHERE request_id BETWEEN $1 AND $2 LIMIT 2`,
        [...uuidsWithPrefix(requestId)],
      );
      if (other === undefined) return row?.record;
      throw new CellpassError(
        'conflict',
        `the ids of several ${what} begin with ${requestId}: give more characters of the id`,
      );
    },
  };
}
