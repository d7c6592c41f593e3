import type { Config } from '../../config/load.ts';
import { CellpassError } from '../../errors.ts';
import { loadMasterKey } from '../../keys/master-key-file.ts';
import { openKeySet } from '../../keys/open-key-set.ts';
import type { BackupHeader } from '../../store/backup/format.ts';
import { loadBackup } from '../../store/backup/load.ts';
import { checkBackup, openBackup } from '../../store/backup/read-lines.ts';
import type { Database } from '../../store/database/drivers.ts';
import { refuseNewerSchema } from '../../store/database/migrate.ts';
import { createKeyStore } from '../../store/keys.ts';
import type { Terminal } from '../../terminal.ts';
import { whileStopped } from './stopped.ts';

export interface RestoreResult {
  /** By table. */
  readonly rows: Readonly<Record<string, number>>;
  readonly taken_at: string;
  /** Sentences: what the next start of the server needs. */
  readonly warnings: readonly string[];
}

/**
 * Writes the backup in `file` into the empty database of the settings. When it throws, nothing is
 * written.
 * @throws {CellpassError} `conflict` for a database that is not empty, while a server runs, or for
 * another cell's backup; `invalid` for a file that is no whole backup.
 */
export function restoreBackup(terminal: Terminal, file: string): Promise<RestoreResult> {
  // The whole file is read before the database is opened, which creates an embedded one.
  const check = async (config: Config): Promise<void> => {
    const { header } = await checkBackup(file);
    refuseNewerSchema(header.schema);
    refuseOtherCell(header, config);
  };
  return whileStopped(terminal, check, async ({ config, database }) => {
    const backup = await openBackup(file);
    const rows = await loadBackup(database, backup);
    const warnings = await warnOfMasterKey(database, config);
    return { rows, taken_at: backup.header.created_at, warnings };
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
