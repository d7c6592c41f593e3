import { join } from 'node:path';
import type { Config } from '../config/load.ts';
import { checkSocketPath } from '../http/listener/admin-socket.ts';

/** Where the admin API listens. Throws `invalid` when the path is too long for a socket. */
export function adminSocketPath(config: Config): string {
  const path = join(config.dataDir, 'admin.sock');
  checkSocketPath(path);
  return path;
}
