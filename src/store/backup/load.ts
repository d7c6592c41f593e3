import { CellpassError } from '../../errors.ts';
import { AT_LENGTH, type Database, type Sql } from '../database/drivers.ts';
import { migrateTo } from '../database/migrate.ts';
import { altered, type BackupHeader, type SequencePosition } from './format.ts';
import type { OpenBackup } from './read-lines.ts';
import { BACKED_UP } from './tables.ts';

/** Large statements are slow to parse on the embedded database. */
const ROWS_AT_ONCE = 500;
/** In UTF-16 code units: rows of a page may be large. */
const TEXT_AT_ONCE = 1024 * 1024;

/**
 * Writes a backup into an empty database, in one transaction with the migrations: first those of
 * the backup, then its rows, then those that came later. When it throws, nothing is written.
 * @returns how many rows each table has of it.
 * @throws {CellpassError} `conflict` for a database that is not empty, or that has migrations that
 * the backup has not; `invalid` for a backup that is cut off, changed, or of a newer cellpass.
 */
export function loadBackup(
  database: Pick<Database, 'transaction'>,
  { header, lines }: OpenBackup,
): Promise<Readonly<Record<string, number>>> {
  return database.transaction(async (sql) => {
    await migrateTo(sql, header.schema);
    await refuseUnlessEmpty(sql);
    const counts = await insertAll(sql, lines);
    await assertCell(sql, header);
    await migrateTo(sql, null);
    return counts;
  }, AT_LENGTH);
}

/** @throws {CellpassError} `conflict` with the name of a table that has rows. */
async function refuseUnlessEmpty(sql: Sql): Promise<void> {
  for (const { name, replacesRow } of BACKED_UP) {
    if (!(await exists(sql, name))) continue;
    const rows = replacesRow
      ? await sql.query('SELECT FROM settings WHERE cell_id IS NOT NULL')
      : await sql.query(`SELECT FROM ${name} LIMIT 1`);
    if (rows.length === 0) continue;
    throw new CellpassError(
      'conflict',
      `the database is not empty (${name} has rows), and a restore changes nothing that is there: name an empty database in CELLPASS_DATABASE_URL, or, for the embedded one, move the folder pgdata in CELLPASS_DATA_DIR away`,
    );
  }
}

async function insertAll(sql: Sql, lines: OpenBackup['lines']): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  const page: { table: string; rows: string[]; size: number } = { table: '', rows: [], size: 0 };
  const flush = async (next: string): Promise<void> => {
    if (page.rows.length > 0) await insertRows(sql, page.table, page.rows, counts[page.table] === undefined);
    if (page.rows.length > 0) counts[page.table] = (counts[page.table] ?? 0) + page.rows.length;
    Object.assign(page, { table: next, rows: [], size: 0 });
  };
  for await (const line of lines) {
    if (line.kind === 'sequence') {
      await flush('');
      await setSequence(sql, line.position);
      continue;
    }
    const isFull = page.rows.length >= ROWS_AT_ONCE || page.size >= TEXT_AT_ONCE;
    if (line.table !== page.table || isFull) await flush(line.table);
    page.rows.push(line.json);
    page.size += line.json.length;
  }
  await flush('');
  return counts;
}

async function insertRows(sql: Sql, table: string, rows: readonly string[], isFirst: boolean): Promise<void> {
  const known = BACKED_UP.find(({ name }) => name === table);
  if (known === undefined) throw altered();
  if (known.replacesRow && isFirst) await sql.query(`DELETE FROM ${known.name}`);
  await storing(`rows of ${table}`, () =>
    sql.query(
      `INSERT INTO ${known.name} OVERRIDING SYSTEM VALUE
       SELECT * FROM jsonb_populate_recordset(NULL::${known.name}, ($1::text)::jsonb)`,
      [`[${rows.join(',')}]`],
    ),
  );
}

/** @throws {CellpassError} `invalid` where the database refuses what is stored. */
async function storing<T>(what: string, store: () => Promise<T>): Promise<T> {
  try {
    return await store();
  } catch (error) {
    if (error instanceof CellpassError) throw error;
    const message = `${what} in the backup can't be stored: ${messageOf(error)}`;
    throw new CellpassError('invalid', message, { cause: error });
  }
}

/** So that ids of entries that are gone are not given again. */
async function setSequence(sql: Sql, { sequence, last_value, is_called }: SequencePosition): Promise<void> {
  const rows = await storing(`the position of ${sequence}`, () =>
    sql.query(
      `SELECT setval(quote_ident(sequencename)::regclass, $2, $3) FROM pg_sequences
       WHERE schemaname = current_schema() AND sequencename = $1`,
      [sequence, last_value, is_called],
    ),
  );
  if (rows.length === 0) throw altered();
}

/** The header says which cell it is without reading the rows, so both must be the same. */
async function assertCell(sql: Sql, { cell }: BackupHeader): Promise<void> {
  const rows = await sql.query<{ cell_id: number | null }>('SELECT cell_id FROM settings');
  if (rows.length !== 1 || rows[0]?.cell_id !== cell) throw altered();
}

async function exists(sql: Sql, table: string): Promise<boolean> {
  const rows = await sql.query('SELECT WHERE to_regclass($1) IS NOT NULL', [table]);
  return rows.length > 0;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
