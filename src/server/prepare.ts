import type { Config } from '../config/load.ts';
import { CellpassError } from '../errors.ts';
import type { RotatableMasterKey } from '../keys/master-key.ts';
import { loadMasterKey } from '../keys/master-key-file.ts';
import type { Log } from '../log.ts';
import { claimForCell } from '../store/database/cell-claim.ts';
import type { Database } from '../store/database/drivers.ts';
import { migrate, newerMigrations, pendingMigrations } from '../store/database/migrate.ts';
import { createKeyStore } from '../store/keys.ts';
import { refuseGitlabAsOwn } from './open-gitlab.ts';

export const WAITING = 'another process is migrating the database: waiting for it';

export interface PrepareOptions {
  readonly log: Log;
  /** Ends the wait for another process that migrates. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Applies pending migrations.
 * @throws {CellpassError} `conflict` when some are pending and `CELLPASS_MIGRATE` is false, and in
 *   a database that is GitLab's.
 */
export async function prepareDatabase(
  config: Config,
  database: Database,
  { log, signal }: PrepareOptions,
): Promise<void> {
  await refuseGitlabAsOwn(database);
  await applyMigrations(config, database, { log, signal });
  const newer = await newerMigrations(database);
  if (newer.length === 0) return;
  log.warn(
    { migrations: newer },
    'a newer cellpass has migrated the database; this version can still work on it, so go on with the upgrade',
  );
}

async function applyMigrations(
  config: Config,
  database: Database,
  { log, signal }: PrepareOptions,
): Promise<void> {
  if (config.migrate) {
    const onWait = (): void => log.info({}, WAITING);
    const applied = await migrate(database, { onWait, signal });
    if (applied.length > 0) log.info({ migrations: applied }, 'migrated the database');
    return;
  }
  const pending = await pendingMigrations(database);
  if (pending.length === 0) return;
  throw new CellpassError(
    'conflict',
    `the database needs migrations (${pending.join(', ')}) and CELLPASS_MIGRATE is false: run "cellpass migrate" first`,
  );
}

/**
 * Marks the database as this cell's, and opens the master key, which is generated if the database
 * has no keys yet.
 * @throws {CellpassError} `conflict` when the database belongs to another cell, or the master key
 * does not fit.
 */
export async function openMasterKey(
  config: Config,
  database: Database,
  log: Log,
): Promise<RotatableMasterKey> {
  await claimForCell(database, config.cell);
  const { keys, authorities } = await createKeyStore(database).readKeySet();
  const mayCreate = keys.length === 0 && authorities.length === 0;
  const { masterKey, warnings } = await loadMasterKey(config.keysDir, { mayCreate });
  for (const warning of warnings) log.warn({}, warning);
  return masterKey;
}
