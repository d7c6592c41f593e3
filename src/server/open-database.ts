import { join } from 'node:path';
import { type DatabaseUrl, readDatabaseUrl } from '../config/database-url.ts';
import type { Config } from '../config/load.ts';
import { CellpassError } from '../errors.ts';
import { makeDataDir } from '../http/listener/admin-socket.ts';
import type { Log } from '../log.ts';
import type { Database } from '../store/database/drivers.ts';
import { openPglite } from '../store/database/pglite.ts';
import { hasTransactionPooler } from '../store/database/pooler.ts';
import { openPostgres } from '../store/database/postgres.ts';

/** How many of PostgreSQL's usual 100 connections all workers share. */
const SHARED_CONNECTIONS = 80;
const MOST_CONNECTIONS = 10;
const FEWEST_CONNECTIONS = 2;

/**
 * Opens PostgreSQL if `CELLPASS_DATABASE_URL` is set, else the embedded database, for which the
 * caller must hold the data directory (`data-dir.ts`).
 * @throws {CellpassError} `unavailable` when PostgreSQL doesn't answer, doesn't let us in, or takes
 * no changes; `conflict` behind a pooler that the settings don't allow for.
 */
export async function openDatabase(config: Config, log: Log): Promise<Database> {
  if (config.databaseUrl === null) {
    const folder = join(config.dataDir, 'pgdata');
    // PGlite makes its files readable for every user, so the folder must not be.
    makeDataDir(folder);
    return openPglite(folder);
  }
  const url = readDatabaseUrl(config.databaseUrl);
  if ('problem' in url) throw new CellpassError('invalid', `CELLPASS_DATABASE_URL: ${url.problem}`);
  try {
    if (config.databasePreparedStatements && (await hasTransactionPooler(url))) throw mixedSessions(url);
    return await openConnected(config, config.databaseUrl, log);
  } catch (error) {
    if (error instanceof CellpassError && error.code !== 'unavailable') throw error;
    throw unreachable(url, error);
  }
}

async function openConnected(config: Config, url: string, log: Log): Promise<Database> {
  const database = openPostgres(url, {
    onIdleError: (error) => log.warn({ err: error }, 'a database connection broke'),
    maxConnections: Math.max(
      FEWEST_CONNECTIONS,
      Math.min(MOST_CONNECTIONS, Math.floor(SHARED_CONNECTIONS / config.workers)),
    ),
    preparedStatements: config.databasePreparedStatements,
    listenUrl: config.databaseListenUrl,
  });
  try {
    await database.query('SELECT 1');
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

function mixedSessions({ label }: DatabaseUrl): CellpassError {
  return new CellpassError(
    'conflict',
    `CELLPASS_DATABASE_URL: a pooler in transaction mode answers at ${label}: set CELLPASS_DATABASE_PREPARED_STATEMENTS=false, or use its session mode`,
  );
}

/** Names the hosts and the database, but not the rest of the URL, which has the password. */
function unreachable({ label }: DatabaseUrl, error: unknown): CellpassError {
  const server = `PostgreSQL at ${label}`.replace(/ at $/, '');
  const cause = error instanceof CellpassError ? error.details.cause : error;
  return new CellpassError(
    'unavailable',
    `CELLPASS_DATABASE_URL: ${server} can't be used (${reasonOf(cause)}): start it, or correct the URL`,
    { cause: error },
  );
}

/** For a host with several addresses, Node's error has a code and no message. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause.message || ('code' in cause ? String(cause.code) : cause.name);
}
