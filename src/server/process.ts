import cluster from 'node:cluster';
import { setFlagsFromString } from 'node:v8';
import { pino } from 'pino';
import { type Config, loadConfig } from '../config/load.ts';
import { listenOnSocket, makeDataDir } from '../http/listener/admin-socket.ts';
import { createHttpServer } from '../http/listener/server.ts';
import type { Log } from '../log.ts';
import { migrate } from '../store/database/migrate.ts';
import type { Terminal } from '../terminal.ts';
import { openDatabase } from './open-database.ts';
import { registryConfiguration } from './registry-configuration.ts';
import { adminSocketPath } from './socket-path.ts';
import { type RunningServer, startServer } from './start.ts';
import { reload, runWorker, startWorkers } from './workers.ts';

/**
 * How much the heap may grow, in percent of what is alive, before what is dead is cleared out. V8 would wait for four times as much, which
 * is more than all the rest of the process; see docs/performance.md.
 */
const HEAP_GROWING_PERCENT = 60;

/** Serves until a signal says stop. */
export async function serve({ environment, stderr }: Terminal): Promise<void> {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  const config = loadConfig(environment);
  if (cluster.isWorker) return runWorker(config, createLog(config));
  const log = createLog(config);
  for (const name of config.unknownVariables)
    log.warn({ variable: name }, 'this variable is not a setting of cellpass');
  const signals = catchSignals(log);
  const server = await (config.workers > 1 ? startWorkers : startServer)(config, log);
  signals.onReload(() => reload(server, log));
  announce(config, server, log, stderr);
  await signals.stop;
  await server.close();
}

/** The names of the migrations that were applied. */
export function migrateDatabase({ environment }: Terminal): Promise<readonly string[]> {
  const config = loadConfig(environment);
  return withDataDir(config, async () => {
    const database = await openDatabase(config, createLog(config, STDERR));
    return migrate(database).finally(() => database.close());
  });
}

const STDOUT = 1;
const STDERR = 2;
/** Bytes and milliseconds. A reader that falls behind loses lines, rather than the server its memory. */
const LOG_BUFFER = { minLength: 12_288, periodicFlush: 100, maxLength: 16_777_216 } as const;

function createLog(config: Config, descriptor = STDOUT): Log {
  return pino(
    {
      level: config.logLevel,
      base: cluster.isWorker ? { worker: cluster.worker?.id } : null,
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    // A system call for each line would cost as much as the decision that it tells of.
    pino.destination({ dest: descriptor, sync: false, ...LOG_BUFFER }),
  );
}

/** Where it listens, and the lines to copy: in the log for machines, on stderr for whoever started it. */
function announce(config: Config, server: RunningServer, log: Log, stderr: (text: string) => void): void {
  const configurations = config.services.map((service) =>
    registryConfiguration(server.publicUrl, config.issuer, service),
  );
  log.info(
    {
      listen: `${config.listen.host}:${new URL(server.publicUrl).port || config.listen.port}`,
      realm: `${server.publicUrl}/jwt/auth`,
      admin_socket: adminSocketPath(config),
      database: config.databaseUrl === null ? 'embedded' : 'postgresql',
      cell: config.cell,
      registry_configuration: configurations,
    },
    'listening',
  );
  stderr(`cellpass answers on ${server.publicUrl}/jwt/auth; a registry's configuration:\n\n`);
  for (const configuration of configurations) stderr(`${configuration}\n\n`);
}

interface Signals {
  /** Resolves at the first SIGTERM or SIGINT; a second one doesn't wait. */
  readonly stop: Promise<void>;
  /** What SIGHUP does from now on. */
  onReload(action: () => void): void;
}

/**
 * Listens for signals from before the start: as process 1 of a container a server would never hear of one that it has no handler for,
 * and elsewhere it would be cut off while it makes its database.
 */
function catchSignals(log: Log): Signals {
  let reload = (): void => undefined;
  process.on('SIGHUP', () => reload());
  const stop = new Promise<void>((resolve) => {
    let stopping = false;
    const onStop = (signal: NodeJS.Signals): void => {
      if (stopping) process.exit(1);
      stopping = true;
      log.info({ signal }, 'stopping: answering what has begun');
      resolve();
    };
    process.on('SIGTERM', onStop);
    process.on('SIGINT', onStop);
  });
  return {
    stop,
    onReload: (action) => {
      reload = action;
    },
  };
}

/** Holds the data directory while `work` opens the embedded database; PostgreSQL needs no such thing. */
async function withDataDir<T>(config: Config, work: () => Promise<T>): Promise<T> {
  if (config.databaseUrl !== null) return work();
  makeDataDir(config.dataDir);
  const holder = createHttpServer((_request, response) => response.writeHead(503).end(), {
    headerBytes: config.limits.headerBytes,
    tls: null,
  });
  await listenOnSocket(holder, adminSocketPath(config));
  try {
    return await work();
  } finally {
    holder.close();
  }
}
