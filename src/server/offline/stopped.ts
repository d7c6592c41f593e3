import { type Config, loadConfig } from '../../config/load.ts';
import type { Log } from '../../log.ts';
import type { Database } from '../../store/database/drivers.ts';
import type { Terminal } from '../../terminal.ts';
import { holdDataDir } from '../data-dir.ts';
import { openDatabase } from '../open-database.ts';
import { refuseGitlabAsOwn } from '../open-gitlab.ts';
import { createLog, STDERR } from '../server-log.ts';

export interface StoppedServer {
  readonly config: Config;
  readonly log: Log;
  readonly database: Database;
}

/**
 * Opens the database for a command that needs the server to be stopped, and closes it afterwards.
 * @param check runs before anything is opened or created.
 * @throws {CellpassError} `conflict` while a server uses the same data directory.
 */
export async function whileStopped<T>(
  { environment }: Pick<Terminal, 'environment'>,
  check: (config: Config) => Promise<void>,
  work: (server: StoppedServer) => Promise<T>,
): Promise<T> {
  const config = loadConfig(environment);
  await check(config);
  const log = createLog(config, STDERR);
  const hold = await holdDataDir(config);
  try {
    const database = await openDatabase(config, log);
    try {
      await refuseGitlabAsOwn(database);
      return await work({ config, log, database });
    } finally {
      await database.close();
    }
  } finally {
    await hold.release();
  }
}
