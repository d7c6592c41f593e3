import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type AdminApi, openAdminApi } from '../support/admin-api.ts';
import { freePort, startPostgres, type TestPostgres } from '../support/database/postgres.ts';
import { type Relay, startRelay } from '../support/database/relay.ts';
import { type Child, startChild, until } from '../support/processes/child.ts';
import { workersOf } from '../support/processes/children.ts';

const BIN = join(import.meta.dirname, '../../bin/cellpass');
export const ISSUER = 'cellpass-chaos';
export const SERVICE = 'container_registry';
const WORKERS = 2;
const DRAIN_SECONDS = 1;

/**
 * A cellpass server that the faults kill, stop and start again at the same address. It reaches
 * PostgreSQL through its own relay.
 */
export interface Replica {
  readonly name: string;
  readonly url: string;
  readonly relay: Relay;
  readonly admin: AdminApi;
  readonly child: Child;
  /**
   * When the server or one of its processes was last down, by `performance.now()`; Infinity while
   * it is.
   */
  readonly awayAtMs: number;
  workerPids(): readonly number[];
  /** Notes whether a fault is about to end one of its processes. */
  expectLoss(): void;
  /** Ends the server with this signal, and starts it again. */
  replace(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  stop(): Promise<void>;
}

export interface World {
  readonly dir: string;
  readonly postgres: TestPostgres;
  readonly databaseUrl: string;
  readonly replicas: readonly Replica[];
  close(): Promise<void>;
}

export async function openWorld(): Promise<World> {
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-chaos-'));
  const postgres = await startPostgres();
  const databaseUrl = await postgres.createDatabase();
  await mkdir(join(dir, 'keys'));
  const replicas: Replica[] = [];
  const close = async (): Promise<void> => {
    postgres.thaw();
    await Promise.all(replicas.map((replica) => replica.stop()));
    await postgres.stop();
    await rm(dir, { recursive: true, force: true });
  };
  try {
    for (const name of ['one', 'two']) replicas.push(await startReplica(name, dir, databaseUrl));
    return { dir, postgres, databaseUrl, replicas, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startReplica(name: string, dir: string, databaseUrl: string): Promise<Replica> {
  const relay = await startRelay(databaseUrl);
  const port = await freePort();
  const url = `http://localhost:${port}`;
  const config = join(dir, `${name}.yaml`);
  // Keys are forced to become active at once: the test is about lost changes, not about waiting.
  await writeFile(
    config,
    stringify({
      keys: { propagation_seconds: 2, rotate_every_days: 0 },
      // All clients share an address here, and some use wrong credentials all the time.
      limits: { failed_attempts: 1_000_000 },
    }),
  );
  const env = {
    HOME: dir,
    CELLPASS_CONFIG: config,
    CELLPASS_DATABASE_URL: relay.url,
    CELLPASS_DATA_DIR: join(dir, name),
    CELLPASS_KEYS_DIR: join(dir, 'keys'),
    CELLPASS_LISTEN: `127.0.0.1:${port}`,
    CELLPASS_PUBLIC_URL: url,
    CELLPASS_ISSUER: ISSUER,
    CELLPASS_WORKERS: String(WORKERS),
    CELLPASS_DRAIN_SECONDS: String(DRAIN_SECONDS),
    CELLPASS_LOG_LEVEL: 'warn',
  };
  const start = (): Child => startChild(`cellpass ${name}`, BIN, ['serve'], { env, cwd: dir });
  let child = start();
  let awayAtMs = Number.POSITIVE_INFINITY;
  const admin = openAdminApi(join(dir, name, 'admin.sock'));
  const ready = async (): Promise<void> => {
    await until(
      async () => {
        // Without a database it refuses to start; a supervisor would start it again.
        if (!child.running()) child = start();
        const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2000) }).catch(
          () => undefined,
        );
        await response?.arrayBuffer();
        return response?.ok ? true : undefined;
      },
      () => `replica ${name} is not ready:\n${child.output()}`,
      120_000,
    );
    awayAtMs = performance.now();
  };
  await ready();
  return {
    name,
    url,
    relay,
    admin,
    get child() {
      return child;
    },
    get awayAtMs() {
      return awayAtMs;
    },
    workerPids: () => workersOf(child.pid!),
    expectLoss: () => {
      awayAtMs = performance.now();
    },
    async replace(signal) {
      awayAtMs = Number.POSITIVE_INFINITY;
      child.signal(signal);
      await child.ended;
      child = start();
      await ready();
    },
    async stop() {
      await child.stop();
      await admin.close();
      await relay.close();
    },
  };
}
