import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, type TestPostgresPair } from '../database/postgres.ts';
import { startHaproxy } from './haproxy-process.ts';

/** HAProxy in front of a primary and its standby. */
export interface DatabaseFront {
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * The standby is a backup server, which HAProxy uses while the primary is away: the mistake that
 * docs/deployment.md warns of.
 */
export async function startDatabaseFront(
  haproxy: string,
  { primary, standby }: TestPostgresPair,
): Promise<DatabaseFront> {
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-front-'));
  const port = await freePort();
  const config = join(dir, 'haproxy.cfg');
  await writeFile(
    config,
    `defaults
  mode tcp
  timeout connect 1s
  timeout client 1m
  timeout server 1m

listen postgresql
  bind 127.0.0.1:${port}
  option pgsql-check user postgres
  default-server inter 100ms fall 2 rise 2 on-marked-down shutdown-sessions
  server primary 127.0.0.1:${primary.port} check on-marked-up shutdown-backup-sessions
  server standby 127.0.0.1:${standby.port} check backup
`,
  );
  const running = await startHaproxy({ haproxy, config, port });
  return {
    port,
    async stop() {
      await running.stop();
      await rm(dir, { recursive: true });
    },
  };
}
