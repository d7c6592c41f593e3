import { AT_LENGTH, type Database, type Sql } from '../database/drivers.ts';
import { lastMigration } from '../database/migrate.ts';
import { type BackupHeader, LineCounter, printHeader, printLine, type SequencePosition } from './format.ts';
import { BACKED_UP, type BackedUpTable } from './tables.ts';

export interface BackupCircumstances extends Pick<BackupHeader, 'cellpass' | 'cell' | 'settings'> {
  readonly now: Date;
}

/** How many rows are in memory at once. */
const ROWS_AT_ONCE = 500;

/**
 * Writes all lines of a backup, as of one moment: one transaction reads everything, while others
 * write. `write` gets several lines at once, each with its line feed.
 * @throws {CellpassError} `conflict` when a newer cellpass has migrated the database: this version
 * does not know all tables.
 */
export function dumpBackup(
  database: Pick<Database, 'transaction'>,
  { now, ...circumstances }: BackupCircumstances,
  write: (lines: string) => Promise<void>,
): Promise<void> {
  return database.transaction(async (sql) => {
    await sql.execute('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
    // bytea as the reader expects it, whatever the database's own setting.
    await sql.execute("SET LOCAL bytea_output = 'hex'");
    const header = printHeader({
      schema: await lastMigration(sql),
      created_at: now.toISOString(),
      ...circumstances,
    });
    const counter = new LineCounter();
    counter.count(header, null);
    await write(`${header}\n`);
    for (const table of BACKED_UP) await dumpTable(sql, table, counter, write);
    await write(printSequences(await readSequences(sql), counter));
    await write(`${JSON.stringify(counter.end())}\n`);
  }, AT_LENGTH);
}

async function dumpTable(
  sql: Sql,
  { name, order }: BackedUpTable,
  counter: LineCounter,
  write: (lines: string) => Promise<void>,
): Promise<void> {
  await sql.execute(
    `DECLARE backup NO SCROLL CURSOR FOR SELECT row_to_json(t)::text AS json FROM ${name} AS t ORDER BY ${order}`,
  );
  for (;;) {
    const rows = await sql.query<{ json: string }>(`FETCH ${ROWS_AT_ONCE} FROM backup`);
    if (rows.length > 0) await write(rows.map(({ json }) => printRow(name, json, counter)).join(''));
    if (rows.length < ROWS_AT_ONCE) break;
  }
  await sql.execute('CLOSE backup');
}

function printRow(table: string, json: string, counter: LineCounter): string {
  const line = { kind: 'row', table, json } as const;
  const text = printLine(line);
  counter.count(text, line);
  return `${text}\n`;
}

function printSequences(positions: readonly SequencePosition[], counter: LineCounter): string {
  const lines = positions.map((position) => {
    const line = { kind: 'sequence', position } as const;
    const text = printLine(line);
    counter.count(text, line);
    return `${text}\n`;
  });
  return lines.join('');
}

/** A sequence that has given no value yet has none in `pg_sequences`. */
const READ_SEQUENCES = `
  SELECT sequencename::text AS sequence, coalesce(last_value, start_value) AS last_value, last_value IS NOT NULL AS is_called
  FROM pg_sequences WHERE schemaname = current_schema() ORDER BY sequencename`;

/** Sequences are no part of a snapshot: they are read after the rows, so they are never behind. */
async function readSequences(sql: Sql): Promise<readonly SequencePosition[]> {
  const rows = await sql.query<{ sequence: string; last_value: number; is_called: boolean }>(READ_SEQUENCES);
  return rows.map(({ sequence, last_value, is_called }) => ({ sequence, last_value, is_called }));
}
