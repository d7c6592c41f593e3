import { readFileSync } from 'node:fs';
import type { Config } from '../config/load.ts';
import { REFUSED_AT_ONCE } from '../http/listener/connections.ts';
import type { Log } from '../log.ts';

/**
 * Open files that a process needs besides its clients' connections: code, log, database, other
 * cells, registries and the messages between processes.
 */
const OWN_FILES = 128;

/** How many connections over a limit of `total` still get a 503. */
export function refusedAtOnce(total: number): number {
  return Math.min(total, REFUSED_AT_ONCE);
}

/**
 * Lowers `limits.connections` to what the process may open (`ulimit -n`), with a warning. Without
 * this, a client over the limit of the system would be cut off in place of getting a 503, and a
 * connection to the database would fail.
 * @param openFiles the limit of the system; null: unknown.
 */
export function fitOpenFiles(config: Config, log: Pick<Log, 'warn'>, openFiles = readLimit()): Config {
  const { connections } = config.limits;
  const needed = connections.total + refusedAtOnce(connections.total) + OWN_FILES;
  if (openFiles === null || openFiles >= needed) return config;
  const total = connectionsIn(openFiles - OWN_FILES);
  log.warn(
    { open_files: openFiles, needed, connections: connections.total, connections_now: total },
    'ulimit -n is too low for limits.connections: each listener takes fewer connections',
  );
  return { ...config, limits: { ...config.limits, connections: { ...connections, total } } };
}

/** How many of `files` clients may use, when others get a 503 by the rest. At least one. */
function connectionsIn(files: number): number {
  return Math.max(1, files >= 2 * REFUSED_AT_ONCE ? files - REFUSED_AT_ONCE : Math.floor(files / 2));
}

/** The soft limit of this process, which Node has raised to the hard one. Null if unlimited. */
function readLimit(): number | null {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined ? null : Number(soft);
  } catch {
    return null;
  }
}
