import { RateLimiterPostgres } from 'rate-limiter-flexible';
import type { FailureCounter } from '../../authn/failed-attempts.ts';
import { CellpassError } from '../../errors.ts';
import type { Database, Sql } from '../database/drivers.ts';

export interface FailureCounterOptions {
  /** The prefix of each key. All processes on the database share the counter of one name. */
  readonly name: string;
  /** The time from the first failure until all failures are dropped. */
  readonly seconds: number;
}

/** Counts in the table `failed_attempts`. */
export function createFailureCounter(sql: Sql, { name, seconds }: FailureCounterOptions): FailureCounter {
  const limiter = new RateLimiterPostgres({
    storeClient: asClient(sql),
    storeType: 'pool',
    tableName: 'failed_attempts',
    tableCreated: true,
    // The library's own timer cannot be stopped; `forgetFailures` does the same.
    clearExpiredByTimeout: false,
    keyPrefix: name,
    // The caller decides how many failures are too many.
    points: Number.MAX_SAFE_INTEGER,
    duration: seconds,
  });
  return {
    async read(key) {
      const found = await limiter.get(key).catch(unavailable);
      return { failures: found?.consumedPoints ?? 0, endsInMs: found?.msBeforeNext ?? 0 };
    },
    async add(key) {
      const { consumedPoints, msBeforeNext } = await limiter.penalty(key).catch(unavailable);
      return { failures: consumedPoints, endsInMs: msBeforeNext };
    },
    async forget(key) {
      await limiter.delete(key).catch(unavailable);
    },
  };
}

/** Deletes expired failures, in a transaction, whose timeout is longer than a client's query. */
export async function forgetFailures(database: Database, now: Date): Promise<void> {
  await database.transaction((sql) =>
    sql.query('DELETE FROM failed_attempts WHERE expire < $1', [now.getTime()]),
  );
}

interface ClientQuery {
  readonly text: string;
  readonly values: readonly unknown[];
  readonly name?: string;
}

/** The part of pg's pool that rate-limiter-flexible uses. */
function asClient(sql: Sql): object {
  return {
    async query({ text, values, name }: ClientQuery) {
      const rows = await sql.query(name === undefined ? text : { name, text }, values);
      return { rows, rowCount: rows.length };
    },
  };
}

/** An attempt that cannot be counted is refused: otherwise it would be a free guess. */
function unavailable(error: unknown): never {
  if (error instanceof CellpassError) throw error;
  throw new CellpassError('unavailable', 'failed attempts can not be counted', {
    reason: 'failures_not_counted',
    retryAfterSeconds: 1,
    cause: error,
  });
}
