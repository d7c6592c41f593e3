import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startChild, until } from '../processes/child.ts';
import { freePort } from './postgres.ts';

export interface PgBouncer {
  /** The database's URL through the pooler. */
  readonly url: string;
  stop(): Promise<void>;
}

interface PgBouncerOptions {
  /** The path of the program. */
  readonly program: string;
  /** The database's own URL. */
  readonly url: string;
  readonly mode: 'session' | 'transaction';
  readonly poolSize?: number;
}

/** pgbouncer with the settings that its packages have, apart from the mode and the size. */
export async function startPgBouncer({
  program,
  url,
  mode,
  poolSize = 20,
}: PgBouncerOptions): Promise<PgBouncer> {
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-pgbouncer-'));
  await chmod(dir, 0o755);
  const { hostname, port: upstreamPort, pathname, username } = new URL(url);
  const database = pathname.slice(1);
  const port = await freePort();
  const users = join(dir, 'users.txt');
  await writeFile(users, `"${username}" ""\n`);
  const config = join(dir, 'pgbouncer.ini');
  await writeFile(
    config,
    [
      '[databases]',
      `${database} = host=${hostname} port=${upstreamPort} dbname=${database}`,
      '[pgbouncer]',
      'listen_addr = 127.0.0.1',
      `listen_port = ${port}`,
      'unix_socket_dir =',
      'auth_type = trust',
      `auth_file = ${users}`,
      `pool_mode = ${mode}`,
      `default_pool_size = ${poolSize}`,
      'max_client_conn = 200',
      '',
    ].join('\n'),
  );
  // pgbouncer refuses to run as root.
  const asUser = process.getuid?.() === 0 ? ['--user', 'nobody'] : [];
  const child = startChild('pgbouncer', program, [...asUser, config]);
  const pooled = new URL(url);
  pooled.port = String(port);
  await until(
    async () => {
      if (!child.running()) throw new Error(`pgbouncer ended:\n${child.output()}`);
      return (await answers(pooled.href)) ? true : undefined;
    },
    () => `pgbouncer does not answer:\n${child.output()}`,
  );
  return {
    url: pooled.href,
    async stop() {
      await child.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client(url);
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}
