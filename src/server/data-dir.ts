import type { RequestListener } from 'node:http';
import type { Config } from '../config/load.ts';
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
 * long for a socket.
 */
export async function holdDataDir(config: Config): Promise<DataDirHold> {
  const path = adminSocketPath(config);
  makeDataDir(config.dataDir);
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
