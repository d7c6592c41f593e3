import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, type TestPostgresPair } from '../database/postgres.ts';
import { startHaproxy } from './haproxy-process.ts';

/** HAProxy in front of a primary and its standby. */
export interface DatabaseFront {
  readonly port: number;
  stop(): Promise<void>;
}

/** Ports of servers that tell the role of each database, as Patroni's REST interface does. */
export interface RolePorts {
  readonly primary: number;
  readonly standby: number;
}

/** The configuration that docs/deployment.md shows, with the ports of this test. */
export async function startDocumentedFront(
  haproxy: string,
  { primary, standby }: TestPostgresPair,
  roles: RolePorts,
): Promise<DatabaseFront> {
  const document = await readFile(new URL('../../../docs/deployment.md', import.meta.url), 'utf8');
  const [, shown = ''] = /^```\n(listen postgresql\n[\s\S]*?)^```$/m.exec(document) ?? [];
  return start(haproxy, (port) =>
    shown
      .replace('bind 127.0.0.1:5432', `bind 127.0.0.1:${port}`)
      .replace('10.0.0.1:5432 check port 8008', `127.0.0.1:${primary.port} check port ${roles.primary}`)
      .replace('10.0.0.2:5432 check port 8008', `127.0.0.1:${standby.port} check port ${roles.standby}`),
  );
}

/**
 * The standby is a backup server, which HAProxy uses while the primary is away: the mistake that
 * docs/deployment.md warns of.
 */
export async function startDatabaseFront(
  haproxy: string,
  { primary, standby }: TestPostgresPair,
): Promise<DatabaseFront> {
  return start(
    haproxy,
    (port) => `listen postgresql
  bind 127.0.0.1:${port}
  option pgsql-check user postgres
  default-server inter 100ms fall 2 rise 2 on-marked-down shutdown-sessions
  server primary 127.0.0.1:${primary.port} check on-marked-up shutdown-backup-sessions
  server standby 127.0.0.1:${standby.port} check backup
`,
  );
}

const DEFAULTS = `defaults
  mode tcp
  timeout connect 1s
  timeout client 1m
  timeout server 1m

`;

async function start(haproxy: string, listen: (port: number) => string): Promise<DatabaseFront> {
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-front-'));
  const port = await freePort();
  const config = join(dir, 'haproxy.cfg');
  await writeFile(config, DEFAULTS + listen(port));
  const running = await startHaproxy({ haproxy, config, port });
  return {
    port,
    async stop() {
      await running.stop();
      await rm(dir, { recursive: true });
    },
  };
}
