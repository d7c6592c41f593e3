import type { Database, Sql } from '../database/drivers.ts';

/** Work that one replica does for all that share a database. */
export type RetentionTask =
  | 'refusals'
  | 'failed_attempts'
  | 'issued_tokens'
  | 'comparisons'
  | 'federation'
  | 'history'
  | 'vacuum';

/** A turn that began in the database's future dates from before its clock was set back. */
const BEGIN = `
UPDATE retention_turns SET began_at = clock_timestamp()
WHERE task = $1 AND began_at NOT BETWEEN clock_timestamp() - make_interval(secs => $2) AND clock_timestamp()
RETURNING true AS mine`;

/**
 * Begins a turn of the task; false if a replica began one within the last `everyMs`. The replica
 * that begins it does the work. If it fails, any replica can begin the next turn.
 */
export async function beginTurn(
  sql: Pick<Sql, 'query'>,
  task: RetentionTask,
  everyMs: number,
): Promise<boolean> {
  const rows = await sql.query(BEGIN, [task, everyMs / 1000]);
  return rows.length > 0;
}

/**
 * Makes room of deleted rows usable again, and of the write-ahead log. PostgreSQL does both by
 * itself; the embedded database has no background processes.
 */
export async function vacuumEmbedded(
  database: Pick<Database, 'kind' | 'execute'>,
  tables: readonly string[],
): Promise<void> {
  if (database.kind === 'postgres') return;
  for (const table of tables) await database.execute(`VACUUM ${table}`);
  await database.execute('CHECKPOINT');
}
