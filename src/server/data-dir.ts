import { statSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import type { Config } from '../config/load.ts';
import { CellpassError } from '../errors.ts';
import { listenOnSocket, makeDataDir } from '../http/listener/admin-socket.ts';
import { createHttpServer } from '../http/listener/server.ts';
import { closeServer } from './listeners.ts';
import { adminSocketPath } from './socket-path.ts';

/** The admin socket of a data directory, which is also the lock on that directory. */
export interface DataDirHold {
  /** Replaces the 503 that the socket answers until then. */
  answerWith(listener: RequestListener): void;
  /** Resolves when the last answer is sent and another process may take the directory. */
  release(): Promise<void>;
}

/**
 * Takes the data directory for this process, and creates it if it is missing. The embedded database
 * has no lock of its own, and two processes in it would destroy it.
 * @throws {CellpassError} `conflict` when another process holds it, `invalid` when its path is too
 * long for a socket, or when every user could replace the embedded database in it.
 */
export async function holdDataDir(config: Config): Promise<DataDirHold> {
  const path = adminSocketPath(config);
  makeDataDir(config.dataDir);
  if (config.databaseUrl === null && isWritableByEverybody(config.dataDir)) {
    throw new CellpassError(
      'invalid',
      `CELLPASS_DATA_DIR: every user of this machine can write to ${config.dataDir}, and so replace the database: run "chmod o-w" on it`,
    );
  }
  let current: RequestListener = (_request, response) => {
    response.writeHead(503, { 'Retry-After': '1', 'Content-Length': '0' }).end();
  };
  const server = createHttpServer((request, response) => current(request, response), {
    headerBytes: config.limits.headerBytes,
    tls: null,
  });
  await listenOnSocket(server, path);
  return {
    answerWith: (listener) => {
      current = listener;
    },
    release: () => closeServer(server),
  };
}

/** A sentence for the log; null: there is nothing to warn of. */
export function warnOfDataDir({ dataDir }: Pick<Config, 'dataDir'>): string | null {
  if (!isWritableByEverybody(dataDir)) return null;
  return `every user of this machine can write to CELLPASS_DATA_DIR ${dataDir}, and so put another socket in the place of admin.sock, to which commands would send their changes: run "chmod o-w" on it`;
}

const WRITABLE_BY_EVERYBODY = 0o002;

function isWritableByEverybody(directory: string): boolean {
  return (statSync(directory).mode & WRITABLE_BY_EVERYBODY) !== 0;
}

/**
 * Holds the data directory during `work` if it has the embedded database; PostgreSQL needs no such
 * lock.
 */
export async function withDataDir<T>(config: Config, work: () => Promise<T>): Promise<T> {
  if (config.databaseUrl !== null) return work();
  const hold = await holdDataDir(config);
  try {
    return await work();
  } finally {
    await hold.release();
  }
}
