import { setTimeout as delay } from 'node:timers/promises';
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
import { sql as smallerRecords } from './migrations/0015-smaller-records.ts';
import { sql as comparisons } from './migrations/0016-comparisons.ts';
import { sql as federation } from './migrations/0017-federation.ts';
import { sql as adminRoles } from './migrations/0018-admin-roles.ts';
import { sql as identityRevocations } from './migrations/0019-identity-revocations.ts';
import { sql as history } from './migrations/0020-history.ts';
import { sql as credentialsOfTokens } from './migrations/0021-credentials-of-tokens.ts';
import { sql as creationOfTokens } from './migrations/0022-creation-of-tokens.ts';
import { sql as adminsAndAuditors } from './migrations/0023-admins-and-auditors.ts';
import { sql as formerNames } from './migrations/0024-former-names.ts';
import { sql as swappedOrganizations } from './migrations/0025-swapped-organizations.ts';

interface Migration {
  readonly name: string;
  readonly sql: string;
  /**
   * True if programs that don't know the migration work as before on its schema: it only adds
   * tables, indexes, and columns with a default or null. Such a program may then start, so that
   * replicas can be replaced one after the other. Every migration from 0011 on must think about it.
   */
  readonly addsOnly?: true;
}

/** In the order of their numbers. Never edit a released migration: add the next one. */
const MIGRATIONS: readonly Migration[] = [
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
  { name: '0015-smaller-records', sql: smallerRecords },
  { name: '0016-comparisons', sql: comparisons },
  { name: '0017-federation', sql: federation, addsOnly: true },
  { name: '0018-admin-roles', sql: adminRoles, addsOnly: true },
  { name: '0019-identity-revocations', sql: identityRevocations, addsOnly: true },
  { name: '0020-history', sql: history, addsOnly: true },
  { name: '0021-credentials-of-tokens', sql: credentialsOfTokens, addsOnly: true },
  { name: '0022-creation-of-tokens', sql: creationOfTokens, addsOnly: true },
  { name: '0023-admins-and-auditors', sql: adminsAndAuditors, addsOnly: true },
  { name: '0024-former-names', sql: formerNames, addsOnly: true },
  // Programs from before only insert and update by the id.
  { name: '0025-swapped-organizations', sql: swappedOrganizations, addsOnly: true },
];

/** An advisory lock that nothing else uses; the same in every version of cellpass. */
const MIGRATION_LOCK = 7_021_001;
const RETRY_LOCK_MS = 500;

interface MigrateOptions {
  /** Called once if another process holds the lock. */
  readonly onWait?: () => void;
  /** Ends the wait for the lock. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Applies all pending migrations in one transaction. Replicas that start together wait for each
 * other. Returns the names of the applied migrations.
 * @throws {CellpassError} `conflict` if a newer version has changed the schema; `unavailable` if
 * `signal` ends the wait for another process.
 */
export async function migrate(
  database: Database,
  { onWait, signal }: MigrateOptions = {},
): Promise<readonly string[]> {
  for (let tries = 0; ; tries++) {
    const applied = await database.transaction((sql) => tryMigrate(sql), AT_LENGTH);
    if (applied !== null) return applied;
    if (tries === 0) onWait?.();
    // Asking again leaves the connection free, and lets a signal through.
    await delay(RETRY_LOCK_MS, undefined, { signal }).catch(() => undefined);
    if (signal?.aborted === true)
      throw new CellpassError('unavailable', 'stopped while another process migrates the database');
  }
}

/**
 * Applies migrations in the caller's transaction, to restore a backup: all up to `last`, or with
 * null all.
 * @throws {CellpassError} `invalid` if this version doesn't know `last`; `conflict` if the database
 * has later migrations, or another process migrates it.
 */
export async function migrateTo(sql: Sql, last: string | null): Promise<void> {
  if (last !== null) refuseNewerSchema(last);
  const index = MIGRATIONS.findIndex(({ name }) => name === last);
  const wanted = last === null ? MIGRATIONS : MIGRATIONS.slice(0, index + 1);
  const applied = await tryMigrate(sql, wanted);
  if (applied === null)
    throw new CellpassError('conflict', 'another process is migrating the database: stop the server first');
  if (last === null) return;
  const later = (await appliedNames(sql)).find((name) => !wanted.some((one) => one.name === name));
  if (later === undefined) return;
  throw new CellpassError(
    'conflict',
    `the database already has the migration ${later}, and the backup is from before it: restore into a database without tables`,
  );
}

/** @throws {CellpassError} `invalid` for a backup whose last migration this version doesn't know. */
export function refuseNewerSchema(last: string): void {
  if (MIGRATIONS.some(({ name }) => name === last)) return;
  throw new CellpassError(
    'invalid',
    `the backup was taken by a newer cellpass, whose last migration is ${last}: restore it with that version`,
  );
}

/**
 * The name of the last migration that the database has.
 * @throws {CellpassError} `conflict` if this version doesn't know it.
 */
export async function lastMigration(sql: Sql): Promise<string> {
  const last = (await appliedNames(sql)).at(-1) ?? '';
  if (MIGRATIONS.some(({ name }) => name === last)) return last;
  throw new CellpassError(
    'conflict',
    `a newer cellpass has migrated the database (${last}), and this version does not know all of its tables: take the backup with that version`,
  );
}

/** Null if another process holds the lock. */
async function tryMigrate(
  sql: Sql,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<readonly string[] | null> {
  const [lock] = await sql.query<{ held: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS held', [
    MIGRATION_LOCK,
  ]);
  if (lock?.held !== true) return null;
  await sql.execute(
    'CREATE TABLE IF NOT EXISTS schema_migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now(), adds_only boolean NOT NULL DEFAULT false)',
  );
  // An ALTER TABLE at every start would wait for each reader of the table.
  if (!(await hasAddsOnly(sql)))
    await sql.execute('ALTER TABLE schema_migrations ADD COLUMN adds_only boolean NOT NULL DEFAULT false');
  await newerMigrations(sql);
  const applied = await umzugOn(sql, migrations).up();
  return applied.map(({ name }) => name);
}

/** Versions before this column wrote the table without it. */
async function hasAddsOnly(sql: Sql): Promise<boolean> {
  const rows = await sql.query(
    "SELECT FROM pg_attribute WHERE attrelid = to_regclass('schema_migrations') AND attname = 'adds_only' AND NOT attisdropped",
  );
  return rows.length > 0;
}

/** The names of the pending migrations, for a server that must not migrate. */
export async function pendingMigrations(database: Database): Promise<readonly string[]> {
  const [table] = await database.query("SELECT to_regclass('schema_migrations') IS NOT NULL AS exists");
  if (table?.['exists'] !== true) return MIGRATIONS.map(({ name }) => name);
  await newerMigrations(database);
  const pending = await umzugOn(database).pending();
  return pending.map(({ name }) => name);
}

function umzugOn(sql: Sql, migrations: readonly Migration[] = MIGRATIONS): Umzug<Sql> {
  return new Umzug({
    migrations: migrations.map(({ name, sql: text }) => ({ name, up: () => sql.execute(text) })),
    context: sql,
    storage: tableStorage(sql),
    logger: undefined,
  });
}

function tableStorage(sql: Sql): UmzugStorage<Sql> {
  return {
    executed: async () => (await appliedNames(sql)).slice(),
    logMigration: async ({ name }) => {
      const addsOnly = MIGRATIONS.some((migration) => migration.name === name && migration.addsOnly);
      await sql.query('INSERT INTO schema_migrations (name, adds_only) VALUES ($1, $2)', [name, addsOnly]);
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

/**
 * The names of migrations that this version doesn't know, if all of them only add to the schema.
 * @throws {CellpassError} `conflict` if one changes more.
 */
export async function newerMigrations(sql: Sql): Promise<readonly string[]> {
  const rows = await sql.query<{ name: string; adds_only: boolean }>(
    // By way of JSON, because the column may be missing.
    "SELECT name, coalesce(to_jsonb(applied) ->> 'adds_only', 'false') = 'true' AS adds_only FROM schema_migrations AS applied ORDER BY name",
  );
  const known = new Set(MIGRATIONS.map(({ name }) => name));
  const unknown = rows.filter(({ name }) => !known.has(name));
  const names = unknown.map(({ name }) => name);
  if (unknown.every(({ adds_only }) => adds_only)) return names;
  throw new CellpassError(
    'conflict',
    `the database was migrated by a newer cellpass (${names.join(', ')}): run that version, or restore a backup from before its migration`,
  );
}
