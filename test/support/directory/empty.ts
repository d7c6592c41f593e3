import type { Database } from '../../../src/store/database/drivers.ts';

const ROOTS = ['organizations', 'users', 'members', 'revoked_secrets', 'history'] as const;

/** The roots and all tables with a foreign key to them, directly or not. */
const TABLES = `
  WITH RECURSIVE reached AS (
    SELECT unnest($1::regclass[]) AS id
    UNION SELECT conrelid FROM pg_constraint JOIN reached ON confrelid = reached.id WHERE contype = 'f')
  SELECT id::regclass::text AS name FROM reached WHERE (SELECT relkind FROM pg_class WHERE oid = reached.id) IN ('r', 'p')`;

const SEQUENCES = `
  SELECT sequence.oid::regclass::text AS name FROM pg_depend JOIN pg_class AS sequence ON sequence.oid = objid
  WHERE sequence.relkind = 'S' AND classid = 'pg_class'::regclass AND refobjid = ANY ($1::regclass[])`;

const statements = new WeakMap<Pick<Database, 'query'>, string>();

/**
 * Removes the directory, its history and its settings, and lets ids start at 1. Rows are deleted and not
 * truncated: TRUNCATE makes new files for each table and index, which takes seconds on a slow disk.
 */
export async function emptyDirectory(database: Pick<Database, 'query'>): Promise<void> {
  const statement = statements.get(database) ?? (await toEmpty(database));
  statements.set(database, statement);
  await database.query(statement);
  await database.query('DELETE FROM settings');
  await database.query('INSERT INTO settings DEFAULT VALUES');
}

/** One statement, because foreign keys are checked at its end, whatever the order of the tables. */
async function toEmpty(database: Pick<Database, 'query'>): Promise<string> {
  const tables = namesIn(await database.query(TABLES, [ROOTS]));
  const sequences = namesIn(await database.query(SEQUENCES, [tables]));
  const deletes = tables.map((name, at) => `deleted_${at} AS (DELETE FROM ${name})`);
  const restarts = sequences.map((name) => `setval('${name}', 1, false)`);
  return `WITH ${deletes.join(', ')} SELECT ${restarts.join(', ')}`;
}

function namesIn(rows: readonly Readonly<Record<string, unknown>>[]): readonly string[] {
  return rows.map(({ name }) => String(name));
}
