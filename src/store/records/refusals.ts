import { CellpassError, type ErrorCode, type Reason } from '../../errors.ts';
import type { Facts } from '../../policy/project.ts';
import type { Action } from '../../policy/role.ts';
import type { AskedScopes } from '../../policy/scope.ts';
import type { Subject } from '../../policy/subject.ts';
import type { Database, Sql } from '../database/drivers.ts';
import { uuidsWithPrefix } from './uuid-prefix.ts';

/** A subject as JSON can hold it. */
type AsJson<S> = S extends Subject
  ? Omit<S, 'abilities' | 'expiresAt'> & {
      readonly abilities: readonly Action[];
      readonly expiresAt: string | null;
    }
  : never;

/** A refusal as the database keeps it: without secrets and without unverified login names. */
export interface RefusalRecord {
  readonly at: string;
  readonly client: string;
  /** Null when a token was issued with less than asked. */
  readonly error: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly reason: Reason | ErrorCode;
  } | null;
  /** The inputs of the decision; null when the request ended before it. */
  readonly question: {
    readonly subject: AsJson<Subject>;
    readonly asked: AskedScopes;
    readonly facts: Facts;
  } | null;
}

export interface StoredRefusal {
  readonly requestId: string;
  readonly record: RefusalRecord;
}

export interface Retention {
  readonly days: number;
  readonly bytes: number;
}

const SAVE = `
  INSERT INTO refusals (request_id, happened_at, record, bytes)
  SELECT kept.request_id, kept.happened_at, kept.record, octet_length(kept.record::text)
  FROM jsonb_to_recordset($1::jsonb) AS kept (request_id uuid, happened_at timestamptz, record jsonb)
  ON CONFLICT DO NOTHING`;

const FORGET_OLD = 'DELETE FROM refusals WHERE happened_at < $1';

/** Keeps the newest refusals that fit into the bound together. */
const FORGET_OVER_BOUND = `
  DELETE FROM refusals WHERE request_id IN (
    SELECT request_id
    FROM (SELECT request_id, sum(bytes) OVER (ORDER BY happened_at DESC, request_id) AS total FROM refusals) AS newest_first
    WHERE total > $1)`;

export async function saveRefusals(sql: Sql, refusals: readonly StoredRefusal[]): Promise<void> {
  const rows = refusals.map(({ requestId, record }) => ({
    request_id: requestId,
    happened_at: record.at,
    record,
  }));
  // A dropped scope may hold NUL, which PostgreSQL's text cannot.
  await sql.query(SAVE, [JSON.stringify(rows).replaceAll('\\u0000', '\\ufffd')]);
}

/** In a transaction, whose timeout is longer than that of a client's query. */
export async function forgetRefusals(
  database: Database,
  { days, bytes }: Retention,
  now: Date,
): Promise<void> {
  await database.transaction(async (sql) => {
    await sql.query(FORGET_OLD, [new Date(now.getTime() - days * 24 * 60 * 60 * 1000)]);
    await sql.query(FORGET_OVER_BOUND, [bytes]);
  });
}

/**
 * The record of a refusal; undefined when no record with this id is kept.
 * @param requestId a whole id, or a prefix as `isUuidPrefix` says.
 * @throws {CellpassError} `conflict` when several ids begin with the prefix.
 */
export async function findRefusal(sql: Sql, requestId: string): Promise<RefusalRecord | undefined> {
  const [row, other] = await sql.query<{ record: RefusalRecord }>(
    'SELECT record FROM refusals WHERE request_id BETWEEN $1 AND $2 LIMIT 2',
    [...uuidsWithPrefix(requestId)],
  );
  if (other === undefined) return row?.record;
  throw new CellpassError(
    'conflict',
    `the ids of several refusals begin with ${requestId}: give more characters of the id`,
  );
}
