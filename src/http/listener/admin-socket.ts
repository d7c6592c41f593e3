import { mkdirSync } from 'node:fs';
import { link, rename, rm, unlink } from 'node:fs/promises';
import type { Server } from 'node:http';
import { createConnection } from 'node:net';
import { CellpassError } from '../../errors.ts';

/** `sun_path` holds 108 bytes with its final NUL; Linux cuts a longer path to another file without a word. */
const MAX_SOCKET_PATH_BYTES = 107;

/**
 * Listens on a Unix socket that only this user may open. Holding the socket is holding the data directory: two processes in it
 * would destroy the embedded database, which has no lock of its own.
 * @throws {CellpassError} `conflict` when another process has it, `invalid` when the path is too long.
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  checkSocketPath(path);
  if (await tryListen(server, path)) return;
  if (await isAnswering(path)) throw inUse(path);
  await removeStale(path);
  if (!(await tryListen(server, path))) throw inUse(path);
}

/**
 * For client and server alike, before they do anything with it.
 * @throws {CellpassError} `invalid` when the path is too long.
 */
export function checkSocketPath(path: string): void {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return;
  throw new CellpassError(
    'invalid',
    `CELLPASS_DATA_DIR: the socket path ${path} is longer than ${MAX_SOCKET_PATH_BYTES} bytes: choose a shorter directory`,
  );
}

/** False when the path is taken. */
function tryListen(server: Server, path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else
        reject(new CellpassError('conflict', `can't listen on ${path}: ${error.message}`, { cause: error }));
    };
    server.once('error', onError);
    // The mode comes from the umask at the moment of binding, which is now: a chmod later would leave a gap.
    const umask = process.umask(0o177);
    server.listen(path, () => {
      server.off('error', onError);
      resolve(true);
    });
    process.umask(umask);
  });
}

function isAnswering(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

/**
 * Takes the dead socket away by renaming it: of two processes that find it, the second may get hold of the first one's new socket
 * instead, which answers, and is put back.
 */
async function removeStale(path: string): Promise<void> {
  const aside = `${path}.${process.pid}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  if (await isAnswering(aside)) {
    await link(aside, path).catch(() => undefined);
    await unlink(aside);
    throw inUse(path);
  }
  await rm(aside, { force: true });
}

function inUse(path: string): CellpassError {
  return new CellpassError(
    'conflict',
    `the data directory is in use by another process, which listens on ${path}: stop it, or set CELLPASS_DATA_DIR to another directory`,
  );
}

/** Private to this user, like everything in it. */
export function makeDataDir(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new CellpassError('conflict', `CELLPASS_DATA_DIR: can't make ${path}: ${String(error)}`, {
      cause: error,
    });
  }
}
