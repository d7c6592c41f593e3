import type { Row, Sql } from '../database/drivers.ts';

/** How much the records of known subjects, or of anonymous clients, take on disk. */
export interface AuditSize {
  readonly bytes: number;
  /** What of it can't be dropped yet, because it is being written. */
  readonly bytesOpen: number;
  /** What was written within the last whole hour; null until there was one. */
  readonly bytesAnHour: number | null;
}

export interface AuditSizes {
  readonly known: AuditSize;
  readonly anonymous: AuditSize;
}

/** What a trim found of one kind of records, and what it dropped. */
export interface TrimmedKind {
  readonly parent: string;
  readonly bytes: number;
  readonly bytes_open: number;
  readonly bytes_dropped: number;
}

/** A little more than the time between two trims, twice over. */
const FRESH = "interval '2 minutes'";

/**
 * Saves sizes, and counts what was written since the sizes before. Each whole hour the count of the
 * hour before is replaced. The first sizes count as nothing written. The time is read once: an hour
 * that began after its first measurement would look like a clock that was set back.
 */
const SAVE = `
INSERT INTO record_sizes AS known (parent, bytes, bytes_open, measured_at, hour_began_at)
SELECT parent, bytes, bytes_open, moment.now, moment.now
FROM json_to_recordset($1::json) AS found (parent text, bytes bigint, bytes_open bigint, bytes_dropped bigint)
CROSS JOIN (SELECT clock_timestamp() AS now OFFSET 0) AS moment
ON CONFLICT (parent) DO UPDATE SET bytes = excluded.bytes, bytes_open = excluded.bytes_open, measured_at = excluded.measured_at,
  written_bytes = known.written_bytes
    + greatest(0, excluded.bytes + ($2::json ->> known.parent)::bigint - known.bytes)`;

const NEXT_HOUR = `
UPDATE record_sizes SET hour_began_at = measured_at, hour_began_bytes = written_bytes,
  bytes_an_hour = (written_bytes - hour_began_bytes) * 3600 / greatest(3600, extract(epoch FROM measured_at - hour_began_at))
WHERE measured_at NOT BETWEEN hour_began_at AND hour_began_at + interval '1 hour'`;

const READ = 'SELECT parent, bytes, bytes_open, bytes_an_hour FROM record_sizes';

interface SizeRow extends Row {
  readonly parent: string;
  readonly bytes: number;
  readonly bytes_open: number;
  readonly bytes_an_hour: number | null;
}

/** In the transaction of the trim. */
export async function saveSizes(sql: Sql, found: readonly TrimmedKind[]): Promise<AuditSizes> {
  const dropped = Object.fromEntries(found.map((kind) => [kind.parent, kind.bytes_dropped]));
  await sql.query(SAVE, [JSON.stringify(found), JSON.stringify(dropped)]);
  await sql.query(NEXT_HOUR);
  return toSizes(await sql.query<SizeRow>(READ));
}

/** Undefined when no replica has measured for two minutes. */
export async function readSizes(sql: Pick<Sql, 'query'>): Promise<AuditSizes | undefined> {
  const rows = await sql.query<SizeRow>(
    `${READ} WHERE measured_at BETWEEN clock_timestamp() - ${FRESH} AND clock_timestamp() + ${FRESH}`,
  );
  return rows.length === 0 ? undefined : toSizes(rows);
}

function toSizes(rows: readonly SizeRow[]): AuditSizes {
  const sizeOf = (parent: string): AuditSize => {
    const row = rows.find((one) => one.parent === parent);
    return {
      bytes: row?.bytes ?? 0,
      bytesOpen: row?.bytes_open ?? 0,
      bytesAnHour: row?.bytes_an_hour ?? null,
    };
  };
  return { known: sizeOf('issued_tokens_known'), anonymous: sizeOf('issued_tokens_anonymous') };
}
