import type { Config } from '../../config/load.ts';
import { CellpassError } from '../../errors.ts';
import { loadMasterKey } from '../../keys/master-key-file.ts';
import { openKeySet } from '../../keys/open-key-set.ts';
import { readRevocations } from '../../records/revocation-file.ts';
import type { BackupHeader } from '../../store/backup/format.ts';
import { loadBackup } from '../../store/backup/load.ts';
import { checkBackup, openBackup } from '../../store/backup/read-lines.ts';
import type { Database } from '../../store/database/drivers.ts';
import { refuseNewerSchema } from '../../store/database/migrate.ts';
import { createKeyStore } from '../../store/keys.ts';
import type { Terminal } from '../../terminal.ts';
import { type RevokedCounts, revokeAgain } from './revoke-again.ts';
import { whileStopped } from './stopped.ts';

export interface RestoreInput {
  /** A backup; undefined: only revoke again. */
  readonly file: string | undefined;
  /** A file of revocations, or several joined; undefined: none. */
  readonly revocations: string | undefined;
}

export interface RestoreResult {
  /** By table; null: no backup was given. */
  readonly rows: Readonly<Record<string, number>> | null;
  readonly taken_at: string | null;
  /** What was revoked again, by kind; null: no file was given. */
  readonly revoked: RevokedCounts | null;
  /** Sentences: what the next start of the server needs. */
  readonly warnings: readonly string[];
}

/**
 * Writes a backup into the empty database of the settings, in one transaction, then revokes again
 * what was revoked since.
 * @throws {CellpassError} `conflict` for a database that is not empty, while a server runs, or for
 * another cell's backup; `invalid` for a file that is no whole backup, or no file of revocations.
 */
export async function restore(
  terminal: Terminal,
  { file, revocations }: RestoreInput,
): Promise<RestoreResult> {
  const lines = revocations === undefined ? null : await readRevocations(revocations);
  // The whole file is read before the database is opened, which creates an embedded one.
  const check = async (config: Config): Promise<void> => {
    if (file === undefined) return;
    const { header } = await checkBackup(file);
    refuseNewerSchema(header.schema);
    refuseOtherCell(header, config);
  };
  return whileStopped(terminal, check, async (server) => {
    const { database, config } = server;
    const backup = file === undefined ? null : await openBackup(file);
    const rows = backup && (await loadBackup(database, backup));
    const revoked = lines && (await revokeAgain(server, lines));
    const warnings = await warnOfMasterKey(database, config);
    return { rows, taken_at: backup?.header.created_at ?? null, revoked, warnings };
  });
}

function refuseOtherCell(header: BackupHeader, { cell }: Config): void {
  if (header.cell === cell) return;
  throw new CellpassError(
    'conflict',
    `the backup is of cell ${header.cell}, and CELLPASS_CELL is ${cell}: set CELLPASS_CELL=${header.cell}, or take the backup of this cell`,
  );
}

/** A warning and no error: without master.key, "keys reset" needs the restored directory. */
async function warnOfMasterKey(database: Database, { keysDir }: Config): Promise<readonly string[]> {
  try {
    const { masterKey, warnings } = await loadMasterKey(keysDir, { mayCreate: false });
    await openKeySet(await createKeyStore(database).readKeySet(), masterKey);
    return warnings;
  } catch (error) {
    if (error instanceof CellpassError) return [error.message];
    throw error;
  }
}
