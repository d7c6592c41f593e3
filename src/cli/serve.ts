import type { RequestListener, Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { CellpassError } from '../errors.ts';
import type { Log } from '../http/access-log.ts';
import { listenOnSocket, makeDataDir } from '../http/admin-socket.ts';
import { trustIn } from '../http/client-address.ts';
import type { Snapshot } from '../http/metrics/report.ts';
import { processMetrics } from '../http/metrics/sources.ts';
import { createHttpServer, listenOnTcp, readTls, reloadTls, type ServerOptions } from '../http/server.ts';
import { loadMasterKey, type RotatableMasterKey } from '../keys/master-key.ts';
import type { Database } from '../store/drivers.ts';
import { migrate, pendingMigrations } from '../store/migrate.ts';
import { PostgresStore } from '../store/postgres.ts';
import { type Assembly, assemble } from './assemble.ts';
import { openDatabase } from './database.ts';
import { adminSocketPath } from './socket-path.ts';

/** A running server. */
export interface RunningServer {
  readonly publicUrl: string;
  /** Reads the TLS certificate and key again; throws, and keeps the old ones, when they are wrong. False without TLS. */
  reload(): boolean;
  /** Goes on for as long as the settings say, no longer ready; then answers what has begun, and gives everything back. */
  close(): Promise<void>;
}

/** For what has begun when the listener closes. */
const LAST_ANSWERS_MS = 10_000;
/** How often connections are looked at that had nothing to say while the listener closed. */
const IDLE_CHECK_MS = 100;
const REFUSAL_MS = 2000;
const now = (): Date => new Date();

/** What is opened, in the order in which it is closed again. */
type Opened = (() => Promise<void>)[];

/**
 * A whole server in this process. Opens the admin socket first, which holds the data directory; then the database, the keys, and last
 * the public listener. Whatever fails on the way, what was opened is closed again.
 */
export function startServer(config: Config, log: Log): Promise<RunningServer> {
  return openAll(async (opened) => {
    const { assembly, draining, adminServers } = await openAdministration(config, log, opened);
    return openListener(config, assembly, { opened, draining, otherServers: adminServers });
  });
}

/** What there is once for all workers: migrations, the admin API, rotation by itself. */
export function startPrimary(
  config: Config,
  log: Log,
  otherMetrics: () => Promise<readonly Snapshot[]>,
): Promise<Pick<RunningServer, 'reload' | 'close'> & { drain(): void }> {
  return openAll(async (opened) => {
    const { draining, adminServers } = await openAdministration(config, log, opened, otherMetrics);
    return {
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
): Promise<RunningServer & { metrics(): Promise<Snapshot> }> {
  return openAll(async (opened) => {
    const draining = { now: false };
    const database = await openDatabase(config, log);
    opened.push(() => database.close());
    const assembly = await openAssembly(config, { database, log, draining, opened });
    const server = await openListener(config, assembly, { opened, draining, otherServers: [] });
    return { ...server, metrics: () => assembly.registry.getMetricsAsJSON() };
  });
}

async function openAll<T>(open: (opened: Opened) => Promise<T>): Promise<T> {
  const opened: Opened = [];
  try {
    return await open(opened);
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
}

async function closeAll(opened: Opened): Promise<void> {
  for (const close of opened.splice(0).reverse()) await close();
}

interface Draining {
  now: boolean;
}

async function openAdministration(
  config: Config,
  log: Log,
  opened: Opened,
  otherMetrics?: () => Promise<readonly Snapshot[]>,
): Promise<{
  readonly assembly: Assembly;
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

  const database = await openDatabase(config, log);
  opened.push(() => database.close());
  await prepareDatabase(config, database, log);
  const assembly = await openAssembly(config, { database, log, draining, opened, otherMetrics });
  await openMetricsListener(config, assembly, opened);
  const adminServers = await openAdminListener(config, assembly, { log, opened });
  assembly.schedule.start();
  admin.switchTo(assembly.admin.callback());
  return { assembly, draining, adminServers };
}

async function openAdminListener(
  config: Config,
  { remoteAdmin }: Assembly,
  { log, opened }: { readonly log: Log; readonly opened: Opened },
): Promise<readonly Server[]> {
  const { adminListen, tls } = config;
  if (adminListen === null) return [];
  // Strangers reach it, too, but a large document is applied in silence.
  const server = createHttpServer(remoteAdmin.callback(), { ...tcpOptions(config), periods: {} });
  const port = await listenOnTcp(server, adminListen, 'CELLPASS_ADMIN_LISTEN');
  opened.push(() => closeServer(server));
  log.info({ url: listenerUrl({ ...adminListen, port }, tls) }, 'the admin API answers over TCP');
  return [server];
}

async function openAssembly(
  config: Config,
  {
    database,
    log,
    draining,
    opened,
    otherMetrics,
  }: {
    readonly database: Database;
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
    log,
    now,
    isDraining: () => draining.now,
    ...(otherMetrics && { otherMetrics }),
  });
  opened.push(() => assembly.close());
  processMetrics(assembly.registry);
  return assembly;
}

/** Once for all workers. */
async function openMetricsListener(config: Config, { metrics }: Assembly, opened: Opened): Promise<void> {
  if (config.metricsListen === null) return;
  const { headerBytes } = config.limits;
  const server = createHttpServer(metrics.callback(), { headerBytes, tls: null });
  await listenOnTcp(server, config.metricsListen, 'CELLPASS_METRICS_LISTEN');
  opened.push(() => closeServer(server));
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

/** False without TLS. */
function reloadAll({ tls }: Config, servers: readonly Server[]): boolean {
  if (tls === null) return false;
  for (const server of servers) reloadTls(server, tls);
  return true;
}

/** The admin socket has none of these bounds: whoever may open it is trusted, and large documents take long. */
function tcpOptions({ limits, tls, trustedProxies }: Config): ServerOptions {
  const { total, perAddress, headerSeconds, requestSeconds, stallSeconds } = limits.connections;
  return {
    headerBytes: limits.headerBytes,
    tls,
    connections: { total, perAddress, isTrusted: trustIn(trustedProxies), refusalMs: REFUSAL_MS },
    periods: {
      headersMs: headerSeconds * 1000,
      requestMs: requestSeconds * 1000,
      stallMs: stallSeconds * 1000,
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

function listenerUrl({ host, port }: Config['listen'], tls: Config['tls']): string {
  return `${tls === null ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** The admin socket listens before there is anything to answer with. */
function createSwitchable(): {
  readonly listener: RequestListener;
  switchTo(listener: RequestListener): void;
} {
  let current: RequestListener = (_request, response) => {
    response.writeHead(503, { 'Retry-After': '1', 'Content-Length': '0' }).end();
  };
  return {
    listener: (request, response) => current(request, response),
    switchTo: (listener) => {
      current = listener;
    },
  };
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const overdue = setTimeout(() => server.closeAllConnections(), LAST_ANSWERS_MS);
    // One that is kept for a next request, because its last answer had begun before it was known that there is none.
    const idle = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
    server.close(() => {
      clearTimeout(overdue);
      clearInterval(idle);
      resolve();
    });
  });
}
