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

/** The part of a server that a process has; each part needs other connections. */
export type ProcessRole = 'server' | 'worker' | 'primary';

/** How many of PostgreSQL's usual 100 connections the pools of all workers share. */
const SHARED_CONNECTIONS = 80;
/** For LISTEN. */
const LISTENING = 1;
/** Two serve token requests while one of them is busy; see docs/performance.md. */
const MOST_PIPELINED: Readonly<Record<ProcessRole, number>> = { server: 2, worker: 2, primary: 0 };
/** Work under a lock holds one connection and uses another. */
const FEWEST_IN_POOL = 2;
/** A worker serves no admin API. Its pool writes records, counts failures and reads keys. */
const WORKER_PART = 0.4;

interface ConnectionCounts {
  readonly pool: number;
  readonly pipelined: number;
}

/**
 * How many connections a process may open: one for LISTEN, those for the statements of token
 * requests, and the pool. `limits.database_connections` bounds the sum; small bounds leave one
 * connection for token requests.
 */
export function connectionsOf({ workers, limits }: Config, role: ProcessRole): ConnectionCounts {
  const left = limits.databaseConnections - LISTENING;
  const pipelined = Math.min(MOST_PIPELINED[role], Math.max(1, left - FEWEST_IN_POOL - 1));
  const pool = left - pipelined;
  if (role !== 'worker') return { pool, pipelined };
  const most = Math.min(Math.ceil(pool * WORKER_PART), Math.floor(SHARED_CONNECTIONS / workers));
  return { pool: Math.max(FEWEST_IN_POOL, most), pipelined };
}

/**
 * Opens PostgreSQL if `CELLPASS_DATABASE_URL` is set, else the embedded database, for which the
 * caller must hold the data directory (`data-dir.ts`).
 * @throws {CellpassError} `unavailable` when PostgreSQL doesn't answer, doesn't let us in, or takes
 * no changes; `conflict` behind a pooler that the settings don't allow for.
 */
export async function openDatabase(
  config: Config,
  log: Log,
  role: ProcessRole = 'server',
): Promise<Database> {
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
    return await openConnected(config, config.databaseUrl, { log, role });
  } catch (error) {
    if (error instanceof CellpassError && error.code !== 'unavailable') throw error;
    throw unreachable(url, error);
  }
}

async function openConnected(
  config: Config,
  url: string,
  { log, role }: { readonly log: Log; readonly role: ProcessRole },
): Promise<Database> {
  const { pool, pipelined } = connectionsOf(config, role);
  const database = openPostgres(url, {
    onIdleError: (error) => log.warn({ err: error }, 'a database connection broke'),
    maxConnections: pool,
    pipelinedConnections: pipelined,
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
export function unreachable(
  { label }: DatabaseUrl,
  error: unknown,
  variable = 'CELLPASS_DATABASE_URL',
): CellpassError {
  const server = `PostgreSQL at ${label}`.replace(/ at $/, '');
  const cause = error instanceof CellpassError ? error.details.cause : error;
  return new CellpassError(
    'unavailable',
    `${variable}: ${server} can't be used (${reasonOf(cause)}): ${REMEDIES[codeOf(cause)] ?? 'start it, or correct the URL'}`,
    { cause: error },
  );
}

/** By SQLSTATE, or by the code of Node's error. */
const REMEDIES: Readonly<Record<string, string>> = {
  '3D000': 'create the database, as with createdb, or correct its name in the URL',
  '28P01': 'correct the user or the password in the URL',
  '28000': 'correct the user in the URL, or let the user in, in pg_hba.conf',
  '57P03': 'wait until PostgreSQL has started',
  '53300': 'end other connections, or raise max_connections',
  ENOTFOUND: 'correct the host name in the URL',
};

function codeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : '';
}

/** For a host with several addresses, Node's error has a code and no message. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause.message || ('code' in cause ? String(cause.code) : cause.name);
}
