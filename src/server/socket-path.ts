import { join } from 'node:path';
import type { Config } from '../config/load.ts';
import { checkSocketPath } from '../http/listener/admin-socket.ts';

/**
 * The path of the admin socket. Commands that only call a running server import this file, which
 * loads no server.
 * @throws {CellpassError} `invalid` when the path is too long for a socket.
 */
export function adminSocketPath(config: Config): string {
  const path = join(config.dataDir, 'admin.sock');
  checkSocketPath(path);
  return path;
}
