import type { ClockReading, ClockStore, OtherClock, OwnClock } from '../keys/clock-check.ts';
import type { Database, Row, Sql } from './database/drivers.ts';

/** Rows that are older, or from the future, date from before the database's clock was set. */
const FRESH =
  "seen_at BETWEEN clock_timestamp() - interval '30 seconds' AND clock_timestamp() + interval '1 second'";

const SAVE_OWN = `
WITH own AS (
  INSERT INTO replica_clocks (replica, machine, ahead_ms, seen_at) VALUES ($1, $2, $3, clock_timestamp())
  ON CONFLICT (replica) DO UPDATE SET machine = excluded.machine, ahead_ms = excluded.ahead_ms, seen_at = excluded.seen_at
)`;

const READ = `
SELECT clock_timestamp() AS now, coalesce((
  SELECT json_agg(json_build_object('machine', machine, 'aheadMs', ahead_ms)) FROM replica_clocks WHERE replica <> $1 AND ${FRESH}
), '[]') AS others`;

interface ReadingRow extends Row {
  readonly now: Date;
  readonly others: readonly OtherClock[];
}

/** The table `replica_clocks`, and the clock of the database at this moment. */
export function createClockStore(database: Pick<Database, 'query'>): ClockStore {
  return {
    async compare({ replica, machine }: OwnClock, aheadMs: number | null): Promise<ClockReading> {
      const [row] =
        aheadMs === null
          ? await database.query<ReadingRow>(READ, [replica])
          : await database.query<ReadingRow>(SAVE_OWN + READ, [replica, machine, Math.round(aheadMs)]);
      if (row === undefined) throw new Error('the database returned no time');
      return { databaseMs: row.now.getTime(), others: row.others };
    },
  };
}

/** The clocks that were compared with the database's lately, for `doctor`. */
export async function readClocks(sql: Pick<Sql, 'query'>): Promise<readonly OtherClock[]> {
  const rows = await sql.query<{ readonly machine: string; readonly ahead_ms: number }>(
    `SELECT machine, ahead_ms FROM replica_clocks WHERE ${FRESH} ORDER BY machine`,
  );
  return rows.map(({ machine, ahead_ms }) => ({ machine, aheadMs: ahead_ms }));
}

/** Deletes the rows of processes that have ended. */
export async function forgetClocks(sql: Pick<Sql, 'query'>): Promise<void> {
  await sql.query(
    "DELETE FROM replica_clocks WHERE seen_at NOT BETWEEN clock_timestamp() - interval '1 hour' AND clock_timestamp() + interval '1 hour'",
  );
}
