import type { Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { PasswordHashing } from '../authn/password-schemes.ts';
import type { Config } from '../config/load.ts';
import { readTls } from '../http/listener/server.ts';
import type { Snapshot } from '../http/metrics/report.ts';
import { processMetrics } from '../http/metrics/sources.ts';
import type { Log } from '../log.ts';
import type { Database } from '../store/database/drivers.ts';
import { type Administration, assemblePrimary, assembleServer, assembleWorker } from './assemble.ts';
import type { ServerInputs } from './assembly/inputs.ts';
import { type Closers, closeAll, openAll } from './closers.ts';
import { type DataDirHold, holdDataDir } from './data-dir.ts';
import { type Hasher, startHasher } from './hashing/hasher.ts';
import { openAdminListener, openMetricsListener, openPublicListener, reloadAll } from './listeners.ts';
import { openDatabase, type ProcessRole } from './open-database.ts';
import { openMasterKey, prepareDatabase } from './prepare.ts';

/** A running server. */
export interface RunningServer {
  /** Without a trailing slash. */
  readonly publicUrl: string;
  /**
   * Reloads the TLS certificate and key; throws, and keeps the old ones, when they are wrong. False
   * without TLS.
   */
  reload(): boolean;
  /**
   * Answers `/readyz` with 503 for `drainSeconds`, then finishes the requests that have begun, and
   * closes everything.
   */
  close(): Promise<void>;
}

/** The process that administers several workers. */
export interface PrimaryServer extends Pick<RunningServer, 'reload' | 'close'> {
  /** Hashes the passwords of all workers. */
  readonly hasher: PasswordHashing;
  /** Answers `/readyz` with 503 from now on. */
  drain(): void;
}

/** One of several processes that answer clients. */
export interface WorkerServer extends RunningServer {
  metrics(): Promise<Snapshot>;
}

/**
 * A whole server in this process. It holds the data directory first, then opens the database and
 * the keys, and last the public listener. When a step fails, what was opened before is closed
 * again.
 */
export function startServer(config: Config, log: Log): Promise<RunningServer> {
  return openAll(async (closers) => {
    const host = await openHost(config, log, closers, 'server');
    const draining = { now: false };
    const assembly = await assembleServer(await inputsOf(config, { ...host, log, draining }), closers);
    processMetrics(assembly.registry);
    const adminServers = await openAdministration(config, assembly, { ...host, log, closers });
    const { server, url } = await openPublicListener(config, assembly, closers);
    return runningServer(config, { url, servers: [server, ...adminServers], draining, closers });
  });
}

/** What runs once for all workers: migrations, the admin API, scheduled rotation, retention. */
export function startPrimary(
  config: Config,
  log: Log,
  otherMetrics: () => Promise<readonly Snapshot[]>,
): Promise<PrimaryServer> {
  return openAll(async (closers) => {
    const host = await openHost(config, log, closers, 'primary');
    const draining = { now: false };
    const inputs = await inputsOf(config, { ...host, log, draining });
    const assembly = await assemblePrimary({ ...inputs, otherMetrics }, closers);
    processMetrics(assembly.registry);
    const adminServers = await openAdministration(config, assembly, { ...host, log, closers });
    return {
      hasher: host.argon2id,
      reload: () => reloadAll(config, adminServers),
      drain: () => {
        draining.now = true;
      },
      close: () => closeAll(closers),
    };
  });
}

/** One of several processes that answer clients; a primary has prepared the database. */
export function startWorker(config: Config, log: Log, argon2id: PasswordHashing): Promise<WorkerServer> {
  return openAll(async (closers) => {
    const database = await openDatabase(config, log, 'worker');
    closers.push(() => database.close());
    const draining = { now: false };
    const inputs = await inputsOf(config, { database, argon2id, log, draining });
    const assembly = await assembleWorker(inputs, closers);
    processMetrics(assembly.registry);
    const { server, url } = await openPublicListener(config, assembly, closers);
    return {
      ...runningServer(config, { url, servers: [server], draining, closers }),
      metrics: () => assembly.registry.getMetricsAsJSON(),
    };
  });
}

/** What a server has once, however many workers it has. */
interface Host {
  readonly dataDir: DataDirHold;
  readonly argon2id: Hasher;
  /** Migrated. */
  readonly database: Database;
}

async function openHost(config: Config, log: Log, closers: Closers, role: ProcessRole): Promise<Host> {
  // Refuse wrong TLS files before anything is created on disk.
  if (config.tls !== null) readTls(config.tls);
  const dataDir = await holdDataDir(config);
  closers.push(() => dataDir.release());
  const argon2id = await startHasher({ lanes: config.limits.argon2Lanes, log });
  closers.push(() => argon2id.close());
  const database = await openDatabase(config, log, role);
  closers.push(() => database.close());
  await prepareDatabase(config, database, log);
  return { dataDir, argon2id, database };
}

/** True from the moment this process should get no new requests. */
interface Draining {
  now: boolean;
}

async function inputsOf(
  config: Config,
  {
    database,
    argon2id,
    log,
    draining,
  }: Pick<ServerInputs, 'database' | 'log'> & {
    readonly argon2id: PasswordHashing;
    readonly draining: Draining;
  },
): Promise<ServerInputs> {
  const masterKey = await openMasterKey(config, database, log);
  const isDraining = (): boolean => draining.now;
  return { config, database, masterKey, argon2id, log, now: () => new Date(), isDraining };
}

/**
 * Opens what only admins and Prometheus reach. Resolves with the servers over TCP that have a
 * certificate to reload.
 */
async function openAdministration(
  config: Config,
  administration: Administration,
  { dataDir, log, closers }: { readonly dataDir: DataDirHold; readonly log: Log; readonly closers: Closers },
): Promise<readonly Server[]> {
  await openMetricsListener(config, administration, closers);
  const servers = await openAdminListener(config, administration, { log, closers });
  administration.schedule.start();
  dataDir.answerWith(administration.admin.callback());
  return servers;
}

function runningServer(
  config: Config,
  {
    url,
    servers,
    draining,
    closers,
  }: {
    readonly url: string;
    readonly servers: readonly Server[];
    readonly draining: Draining;
    readonly closers: Closers;
  },
): RunningServer {
  return {
    publicUrl: config.publicUrl ?? url,
    reload: () => reloadAll(config, servers),
    close: async () => {
      draining.now = true;
      await delay(config.drainSeconds * 1000);
      await closeAll(closers);
    },
  };
}
