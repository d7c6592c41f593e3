import { execFile } from 'node:child_process';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { RouterFiles } from '../../cells/router/configuration.ts';
import { CellpassError } from '../../errors.ts';

export const CONFIG_NAME = 'haproxy.cfg';
/**
 * Names of files that this module writes, and removes when the configuration no longer names them.
 */
const OWN_FILE =
  /^(?:keys\/cell-\d+-[A-Za-z0-9_-]{43}\.pem|namespaces-[0-9a-f]{16}\.map|unavailable-[0-9a-f]{16}\.http)$/;
/** With the process id, so that two processes never write to the same file. */
const TEMPORARY = `.new-${process.pid}`;
const CHECK_MS = 30_000;

/**
 * Writes the router's configuration and the files that it names to a folder. The files come first,
 * under names that depend on their content; then the configuration replaces the last one in one
 * step; then files that it no longer names are removed. So a HAProxy that starts at any moment
 * finds the last configuration or the new one, each with all of its files, even if this process is
 * killed.
 * @param checker the HAProxy program that must accept the configuration; null: no check.
 * @returns whether anything changed.
 * @throws {CellpassError} `invalid` with HAProxy's message; then the last configuration is still in
 * place.
 */
export async function writeRouterFolder(
  dir: string,
  { config, files }: RouterFiles,
  checker: string | null,
): Promise<boolean> {
  await mkdir(join(dir, 'keys'), { recursive: true });
  const written = await Promise.all(
    [...files].map(([name, content]) => writeIfChanged(join(dir, name), content)),
  );
  await Promise.all([dir, join(dir, 'keys')].map(syncFolder));
  const path = join(dir, CONFIG_NAME);
  const isNew = (await readIfThere(path)) !== config;
  if (isNew) {
    await writeWhole(`${path}${TEMPORARY}`, config);
    if (checker !== null) await check(checker, `${path}${TEMPORARY}`);
    await rename(`${path}${TEMPORARY}`, path);
    await syncFolder(dir);
  } else if (checker !== null) {
    await check(checker, path);
  }
  const removed = await removeOthers(dir, new Set(files.keys()));
  return isNew || written.includes(true) || removed > 0;
}

/** The text of a file; undefined when it does not exist. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Replaces a file in one step, and returns when it is on the disk. Returns whether it changed. */
export async function writeIfChanged(path: string, content: string): Promise<boolean> {
  if ((await readIfThere(path)) === content) return false;
  await writeWhole(`${path}${TEMPORARY}`, content);
  await rename(`${path}${TEMPORARY}`, path);
  await syncFolder(dirname(path));
  return true;
}

async function writeWhole(path: string, content: string): Promise<void> {
  const file = await open(path, 'w', 0o644);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A rename is on the disk only when its folder is synced. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function removeOthers(dir: string, named: ReadonlySet<string>): Promise<number> {
  const present = [
    ...(await readdir(dir)),
    ...(await readdir(join(dir, 'keys'))).map((name) => `keys/${name}`),
  ];
  const obsolete = present.filter((name) => OWN_FILE.test(name) && !named.has(name));
  await Promise.all(obsolete.map((name) => rm(join(dir, name))));
  return obsolete.length;
}

async function check(program: string, path: string): Promise<void> {
  try {
    await promisify(execFile)(program, ['-c', '-f', path], { timeout: CHECK_MS });
  } catch (error) {
    throw new CellpassError(
      'invalid',
      `${program} -c refuses the configuration, and the last one is still in place: ${complaintOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

function complaintOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const complaint = 'stderr' in error && typeof error.stderr === 'string' ? error.stderr.trim() : '';
  return (complaint || error.message).replace(/\s*\n\s*/g, ' ');
}
