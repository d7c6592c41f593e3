import { mkdirSync } from 'node:fs';
import { link, rename, rm, unlink } from 'node:fs/promises';
import type { Server } from 'node:http';
import { createConnection } from 'node:net';
import { CellpassError } from '../../errors.ts';

/**
 * unix(7): `sun_path` holds 108 bytes with the final NUL. Node passes a longer path on cut off, as
 * the path of another file.
 */
const MAX_SOCKET_PATH_BYTES = 107;

/**
 * Listens on a Unix socket that only this user can open. The socket is also the lock on its
 * directory: two processes in one data directory would destroy the embedded database, which has no
 * lock of its own.
 * @throws {CellpassError} `conflict` when another process has it, `invalid` when the path is too
 * long.
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  checkSocketPath(path);
  if (await tryListen(server, path)) return;
  if (await isAnswering(path)) throw inUse(path);
  await removeStale(path);
  if (!(await tryListen(server, path))) throw inUse(path);
}

/**
 * Client and server call this before they use a socket path.
 * @throws {CellpassError} `invalid` when the path is too long.
 */
export function checkSocketPath(path: string): void {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return;
  throw new CellpassError(
    'invalid',
    `CELLPASS_DATA_DIR: the socket path ${path} is longer than ${MAX_SOCKET_PATH_BYTES} bytes: choose a shorter directory`,
  );
}

/** Resolves with false when the path exists. */
function tryListen(server: Server, path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(unusable(path, error));
    };
    server.once('error', onError);
    // bind(2) takes the mode from the umask. A chmod after it would leave a moment in which others
    // can connect.
    const umask = process.umask(0o177);
    server.listen(path, () => {
      server.off('error', onError);
      resolve(true);
    });
    process.umask(umask);
  });
}

/** @throws {CellpassError} `conflict` for another user's socket. */
function isAnswering(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = createConnection(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EACCES') reject(unusable(path, error));
      else resolve(false);
    });
  });
}

/**
 * Removes the socket of a dead process. Renames it first: when two processes find it, the second
 * may rename the new socket of the first instead. That one answers, so it is put back.
 */
async function removeStale(path: string): Promise<void> {
  const aside = `${path}.${process.pid}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw unusable(path, error);
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

/**
 * Creates the directory if it is missing, readable for this user only.
 * @throws {CellpassError} `conflict` when it can't be created.
 */
export function makeDataDir(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    const what = `CELLPASS_DATA_DIR: can't make ${path}`;
    throw new CellpassError('conflict', `${what}: ${adviceFor(error)}`, { cause: error });
  }
}

function unusable(path: string, error: unknown): CellpassError {
  const what = `CELLPASS_DATA_DIR: can't listen on ${path}`;
  return new CellpassError('conflict', `${what}: ${adviceFor(error)}`, { cause: error });
}

const NOT_ALLOWED =
  'this user may not write there: start cellpass as the user who owns the directory, give the directory to this user (chown), or set CELLPASS_DATA_DIR to another one';

/** What the system refused, and what to do. */
function adviceFor(error: unknown): string {
  const advice: Partial<Record<string, string>> = {
    EACCES: NOT_ALLOWED,
    EPERM: NOT_ALLOWED,
    EROFS: 'the file system is read-only: set CELLPASS_DATA_DIR to a directory on another one',
    ENOSPC: 'the file system is full: make room, or set CELLPASS_DATA_DIR to a directory on another one',
    ENOTDIR: 'a part of the path is a file: set CELLPASS_DATA_DIR to a directory',
    EEXIST: 'this is a file: set CELLPASS_DATA_DIR to a directory',
    ENOENT: 'the directory is gone: start again, or set CELLPASS_DATA_DIR to another one',
  };
  return advice[String(codeOf(error))] ?? String(error);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
