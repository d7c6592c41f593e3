import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Database } from './drivers.ts';

/** Read-only queries for `cellpass doctor`. */

/** PostgreSQL's major version, such as 13 or 18. */
export async function readMajorVersion(database: Database): Promise<number> {
  const [row] = await database.query<{ version: number }>(
    "SELECT current_setting('server_version_num')::int / 10000 AS version",
  );
  return row?.version ?? 0;
}

/** The clock of the database at this moment, not at the start of a transaction. */
export async function readDatabaseTime(database: Database): Promise<Date> {
  const [row] = await database.query<{ now: Date }>('SELECT clock_timestamp() AS now');
  if (row === undefined) throw new Error('the database returned no time');
  return row.now;
}

/** The cell that the database belongs to; null before its first start. */
export async function readCell(database: Database): Promise<number | null> {
  const [row] = await database.query<{ cell_id: number | null }>('SELECT cell_id FROM settings');
  return row?.cell_id ?? null;
}

/**
 * Whether `Database.listen` gets a NOTIFY within `timeoutMs`. A pooler in transaction mode doesn't
 * forward any.
 */
export async function hearsNotices(database: Database, timeoutMs: number): Promise<boolean> {
  // Each check uses its own channel, so that two checks at once don't get each other's notices.
  const channel = `cellpass_doctor_${randomBytes(8).toString('hex')}`;
  const heard = new AbortController();
  const listening = database.listen(channel, () => heard.abort());
  try {
    // A pooler may never answer LISTEN.
    if (!(await settlesWithin(listening, timeoutMs))) return false;
    await database.query('SELECT pg_notify($1, $2)', [channel, '']);
    await delay(timeoutMs, undefined, { signal: heard.signal }).catch(() => undefined);
    return heard.signal.aborted;
  } finally {
    const stopping = listening.then((stop) => stop()).catch(() => undefined);
    await settlesWithin(stopping, timeoutMs);
  }
}

/** Whether `promise` resolves within `timeoutMs`; rejects if `promise` does. */
async function settlesWithin(promise: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const settled = new AbortController();
  const overdue = delay(timeoutMs, false, { signal: settled.signal }).catch(() => false);
  try {
    return await Promise.race([promise.then(() => true), overdue]);
  } finally {
    settled.abort();
  }
}
