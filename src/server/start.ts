import type { Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Argon2id } from '../authn/password.ts';
import type { Config } from '../config/load.ts';
import { CellpassError } from '../errors.ts';
import { listenOnSocket, makeDataDir } from '../http/listener/admin-socket.ts';
import { createHttpServer, listenOnTcp, readTls } from '../http/listener/server.ts';
import type { Snapshot } from '../http/metrics/report.ts';
import { processMetrics } from '../http/metrics/sources.ts';
import type { RotatableMasterKey } from '../keys/master-key.ts';
import { loadMasterKey } from '../keys/master-key-file.ts';
import type { Log } from '../log.ts';
import type { Database } from '../store/database/drivers.ts';
import { migrate, pendingMigrations } from '../store/database/migrate.ts';
import { PostgresStore } from '../store/source/postgres.ts';
import { type Assembly, assemble } from './assemble.ts';
import { closeAll, type Opened, openAll } from './closers.ts';
import { type Hasher, startHasher } from './hashing/hasher.ts';
import {
  closeServer,
  createSwitchable,
  listenerUrl,
  openAdminListener,
  openMetricsListener,
  reloadAll,
  tcpOptions,
} from './listeners.ts';
import { openDatabase } from './open-database.ts';
import { adminSocketPath } from './socket-path.ts';

/** A running server. */
export interface RunningServer {
  readonly publicUrl: string;
  /** Reads the TLS certificate and key again; throws, and keeps the old ones, when they are wrong. False without TLS. */
  reload(): boolean;
  /** Goes on for as long as the settings say, no longer ready; then answers what has begun, and gives everything back. */
  close(): Promise<void>;
}

const now = (): Date => new Date();

/**
 * A whole server in this process. Opens the admin socket first, which holds the data directory; then the database, the keys, and last
 * the public listener. Whatever fails on the way, what was opened is closed again.
 */
export function startServer(config: Config, log: Log): Promise<RunningServer> {
  return openAll(async (opened) => {
    const { assembly, draining, adminServers } = await openAdministration(config, { log, opened });
    return openListener(config, assembly, { opened, draining, otherServers: adminServers });
  });
}

/** What there is once for all workers: migrations, the admin API, rotation by itself. */
export function startPrimary(
  config: Config,
  log: Log,
  otherMetrics: () => Promise<readonly Snapshot[]>,
): Promise<Pick<RunningServer, 'reload' | 'close'> & { readonly hasher: Argon2id; drain(): void }> {
  return openAll(async (opened) => {
    const { hasher, draining, adminServers } = await openAdministration(config, {
      log,
      opened,
      otherMetrics,
    });
    return {
      hasher,
      reload: () => reloadAll(config, adminServers),
      drain: () => {
        draining.now = true;
      },
      close: () => closeAll(opened),
    };
  });
}

/** One of several processes that answer clients; a primary has prepared the database. */
export function startWorker(
  config: Config,
  log: Log,
  argon2id: Argon2id,
): Promise<RunningServer & { metrics(): Promise<Snapshot> }> {
  return openAll(async (opened) => {
    const draining = { now: false };
    const database = await openDatabase(config, log);
    opened.push(() => database.close());
    const assembly = await openAssembly(config, { database, argon2id, log, draining, opened });
    const server = await openListener(config, assembly, { opened, draining, otherServers: [] });
    return { ...server, metrics: () => assembly.registry.getMetricsAsJSON() };
  });
}

interface Draining {
  now: boolean;
}

async function openAdministration(
  config: Config,
  {
    log,
    opened,
    otherMetrics,
  }: {
    readonly log: Log;
    readonly opened: Opened;
    readonly otherMetrics?: () => Promise<readonly Snapshot[]>;
  },
): Promise<{
  readonly assembly: Assembly;
  readonly hasher: Hasher;
  readonly draining: Draining;
  /** Over TCP: one, or none. */
  readonly adminServers: readonly Server[];
}> {
  const draining = { now: false };
  const socketPath = adminSocketPath(config);
  // What can be seen to be wrong at once is refused before anything is made.
  if (config.tls !== null) readTls(config.tls);
  makeDataDir(config.dataDir);
  const admin = createSwitchable();
  const adminServer = createHttpServer(admin.listener, { headerBytes: config.limits.headerBytes, tls: null });
  await listenOnSocket(adminServer, socketPath);
  opened.push(() => closeServer(adminServer));

  const hasher = await startHasher({ lanes: config.limits.argon2Lanes, log });
  opened.push(() => hasher.close());
  const database = await openDatabase(config, log);
  opened.push(() => database.close());
  await prepareDatabase(config, database, log);
  const assembly = await openAssembly(config, {
    database,
    argon2id: hasher,
    log,
    draining,
    opened,
    otherMetrics,
  });
  await openMetricsListener(config, assembly, opened);
  const adminServers = await openAdminListener(config, assembly, { log, opened });
  assembly.schedule.start();
  admin.switchTo(assembly.admin.callback());
  return { assembly, hasher, draining, adminServers };
}

async function openAssembly(
  config: Config,
  {
    database,
    argon2id,
    log,
    draining,
    opened,
    otherMetrics,
  }: {
    readonly database: Database;
    readonly argon2id: Argon2id;
    readonly log: Log;
    readonly draining: Draining;
    readonly opened: Opened;
    readonly otherMetrics?: (() => Promise<readonly Snapshot[]>) | undefined;
  },
): Promise<Assembly> {
  const store = new PostgresStore(database);
  await store.claimForCell(config.cell);
  const masterKey = await openMasterKey(config, store, log);
  const assembly = await assemble({
    config,
    database,
    masterKey,
    argon2id,
    log,
    now,
    isDraining: () => draining.now,
    ...(otherMetrics && { otherMetrics }),
  });
  opened.push(() => assembly.close());
  processMetrics(assembly.registry);
  return assembly;
}

async function openListener(
  config: Config,
  { app }: Assembly,
  {
    opened,
    draining,
    otherServers,
  }: { readonly opened: Opened; readonly draining: Draining; readonly otherServers: readonly Server[] },
): Promise<RunningServer> {
  const publicServer = createHttpServer(app.callback(), tcpOptions(config));
  const port = await listenOnTcp(publicServer, config.listen);
  opened.push(() => closeServer(publicServer));
  return {
    publicUrl: config.publicUrl ?? listenerUrl({ ...config.listen, port }, config.tls),
    reload: () => reloadAll(config, [publicServer, ...otherServers]),
    close: async () => {
      draining.now = true;
      await delay(config.drainSeconds * 1000);
      await closeAll(opened);
    },
  };
}

async function prepareDatabase(config: Config, database: Database, log: Log): Promise<void> {
  if (config.migrate) {
    const applied = await migrate(database);
    if (applied.length > 0) log.info({ migrations: applied }, 'migrated the database');
    return;
  }
  const pending = await pendingMigrations(database);
  if (pending.length === 0) return;
  throw new CellpassError(
    'conflict',
    `the database needs migrations (${pending.join(', ')}) and CELLPASS_MIGRATE is false: run "cellpass migrate" first`,
  );
}

async function openMasterKey(config: Config, store: PostgresStore, log: Log): Promise<RotatableMasterKey> {
  const { keys, authorities } = await store.readKeySet();
  const mayCreate = keys.length === 0 && authorities.length === 0;
  const { masterKey, warnings } = await loadMasterKey(config.keysDir, { mayCreate });
  for (const warning of warnings) log.warn({}, warning);
  return masterKey;
}
