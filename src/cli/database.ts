import { join } from 'node:path';
import type { Config } from '../config.ts';
import type { Log } from '../http/access-log.ts';
import { type Database, openPglite, openPostgres } from '../store/drivers.ts';

/** PostgreSQL where a URL is given, else the embedded database; for that one the caller must hold the data directory. */
export function openDatabase(config: Config, log: Log): Promise<Database> {
  if (config.databaseUrl === null) return openPglite(join(config.dataDir, 'pgdata'));
  return Promise.resolve(
    openPostgres(config.databaseUrl, {
      onIdleError: (error) => log.warn({ err: error }, 'a database connection broke'),
    }),
  );
}

/** Where the admin API listens. */
export function adminSocketPath(config: Config): string {
  return join(config.dataDir, 'admin.sock');
}
