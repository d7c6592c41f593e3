import { Umzug, type UmzugStorage } from 'umzug';
import { CellpassError } from '../../errors.ts';
import { AT_LENGTH, type Database, type Sql } from './drivers.ts';
import { sql as directory } from './migrations/0001-directory.ts';
import { sql as keys } from './migrations/0002-keys.ts';
import { sql as refusals } from './migrations/0003-refusals.ts';
import { sql as keyLife } from './migrations/0004-key-life.ts';
import { sql as tokens } from './migrations/0005-tokens.ts';
import { sql as issuedTokens } from './migrations/0006-issued-tokens.ts';
import { sql as failedAttempts } from './migrations/0007-failed-attempts.ts';
import { sql as adminTokens } from './migrations/0008-admin-tokens.ts';
import { sql as recordsAsJson } from './migrations/0009-records-as-json.ts';
import { sql as directoryVersion } from './migrations/0010-directory-version.ts';
import { sql as versions } from './migrations/0014-versions.ts';

/** In the order of their numbers. Never edit a released migration: add the next one. */
const MIGRATIONS: readonly { readonly name: string; readonly sql: string }[] = [
  { name: '0001-directory', sql: directory },
  { name: '0002-keys', sql: keys },
  { name: '0003-refusals', sql: refusals },
  { name: '0004-key-life', sql: keyLife },
  { name: '0005-tokens', sql: tokens },
  { name: '0006-issued-tokens', sql: issuedTokens },
  { name: '0007-failed-attempts', sql: failedAttempts },
  { name: '0008-admin-tokens', sql: adminTokens },
  { name: '0009-records-as-json', sql: recordsAsJson },
  { name: '0010-directory-version', sql: directoryVersion },
  { name: '0014-versions', sql: versions },
];

/** An advisory lock that nothing else uses; the same in every version of cellpass. */
const MIGRATION_LOCK = 7_021_001;

/**
 * Applies all pending migrations in one transaction. Replicas that start together wait for each
 * other. Returns the names of the applied migrations. Throws `conflict` if a newer version has
 * migrated the database.
 */
export async function migrate(database: Database): Promise<readonly string[]> {
  return database.transaction(async (sql) => {
    await sql.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
    await sql.execute(
      'CREATE TABLE IF NOT EXISTS schema_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())',
    );
    await refuseNewerSchema(sql);
    const applied = await umzugOn(sql).up();
    return applied.map(({ name }) => name);
  }, AT_LENGTH);
}

/** The names of the pending migrations, for a server that must not migrate. */
export async function pendingMigrations(database: Database): Promise<readonly string[]> {
  const [table] = await database.query("SELECT to_regclass('schema_migrations') IS NOT NULL AS exists");
  if (table?.['exists'] !== true) return MIGRATIONS.map(({ name }) => name);
  await refuseNewerSchema(database);
  const pending = await umzugOn(database).pending();
  return pending.map(({ name }) => name);
}

function umzugOn(sql: Sql): Umzug<Sql> {
  return new Umzug({
    migrations: MIGRATIONS.map(({ name, sql: text }) => ({ name, up: () => sql.execute(text) })),
    context: sql,
    storage: tableStorage(sql),
    logger: undefined,
  });
}

function tableStorage(sql: Sql): UmzugStorage<Sql> {
  return {
    executed: async () => (await appliedNames(sql)).slice(),
    logMigration: async ({ name }) => {
      await sql.query('INSERT INTO schema_migrations (name) VALUES ($1)', [name]);
    },
    unlogMigration: async ({ name }) => {
      await sql.query('DELETE FROM schema_migrations WHERE name = $1', [name]);
    },
  };
}

async function appliedNames(sql: Sql): Promise<readonly string[]> {
  const rows = await sql.query<{ name: string }>('SELECT name FROM schema_migrations ORDER BY name');
  return rows.map(({ name }) => name);
}

async function refuseNewerSchema(sql: Sql): Promise<void> {
  const known = new Set(MIGRATIONS.map(({ name }) => name));
  const unknown = (await appliedNames(sql)).filter((name) => !known.has(name));
  if (unknown.length === 0) return;
  throw new CellpassError(
    'conflict',
    `the database was migrated by a newer cellpass (${unknown.join(', ')}): run that version, or restore a backup from before its migration`,
  );
}
