import cluster from 'node:cluster';
import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { isatty } from 'node:tty';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { type Config, loadConfig } from '../config/load.ts';
import type { Log } from '../log.ts';
import { migrate } from '../store/database/migrate.ts';
import type { Terminal } from '../terminal.ts';
import { withDataDir } from './data-dir.ts';
import { nextSteps } from './next-steps.ts';
import { openDatabase } from './open-database.ts';
import { WAITING } from './prepare.ts';
import { registryConfiguration } from './registry-configuration.ts';
import { reloadCertificate } from './reload-certificate.ts';
import { createLog, STDERR, STDOUT } from './server-log.ts';
import { adminSocketPath } from './socket-path.ts';
import { type RunningServer, startServer } from './start.ts';
import { startWorkers } from './workers/start.ts';
import { runWorker } from './workers/worker.ts';

/**
 * How much the heap may grow, in percent of the live objects, before V8 collects garbage. V8's
 * default is four times as much, which is more memory than the rest of the process takes; see
 * docs/performance.md.
 */
const HEAP_GROWING_PERCENT = 60;

/** Runs the server, or one worker of it, until a signal stops it. */
export async function serve(terminal: Terminal): Promise<void> {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  const config = loadConfig(terminal.environment);
  const log = createLog(config, STDOUT);
  if (cluster.isWorker) return runWorker(config, log);
  for (const name of config.unknownVariables)
    log.warn({ variable: name }, 'this variable is not a setting of cellpass');
  const signals = catchSignals(log);
  const start = config.workers > 1 ? startWorkers : startServer;
  const server = await start(config, log, signals.stopped).catch((error: unknown) => {
    if (signals.stopped.aborted) return undefined;
    throw error;
  });
  if (server === undefined) return;
  signals.onReload(() => reloadCertificate(server, log));
  announce(config, server, log, terminal);
  await signals.stop;
  await server.close();
}

/** Applies pending migrations. Resolves with their names. */
export function migrateDatabase({ environment, stderr }: Terminal): Promise<readonly string[]> {
  const config = loadConfig(environment);
  return withDataDir(config, async () => {
    const database = await openDatabase(config, createLog(config, STDERR));
    const onWait = (): void => stderr(`${WAITING}\n`);
    return migrate(database, { onWait }).finally(() => database.close());
  });
}

/**
 * Says where the server listens. The log line is for machines. The rest is for the person who
 * started it: what to do next if stdout is a terminal, else the registry's configuration on stderr.
 */
function announce(config: Config, { publicUrl }: RunningServer, log: Log, terminal: Terminal): void {
  const configurations = config.services.map((service) =>
    registryConfiguration(publicUrl, config.issuer, service),
  );
  log.info(
    {
      listen: `${config.listen.host}:${new URL(publicUrl).port || config.listen.port}`,
      realm: `${publicUrl}/jwt/auth`,
      admin_socket: adminSocketPath(config),
      database: config.databaseUrl === null ? 'embedded' : 'postgresql',
      cell: config.cell,
      registry_configuration: configurations,
    },
    'listening',
  );
  if (isatty(STDOUT)) {
    terminal.stdout(`\n${nextSteps({ publicUrl, registryConfigurations: configurations, ...ownPaths() })}`);
    return;
  }
  terminal.stderr(`cellpass answers on ${publicUrl}/jwt/auth; a registry's configuration:\n\n`);
  for (const configuration of configurations) terminal.stderr(`${configuration}\n\n`);
}

/** This program and its example, as a person types them in the current directory. */
function ownPaths(): { readonly command: string; readonly exampleFile: string | undefined } {
  const script = relative('.', process.argv[1] ?? '');
  const example = fileURLToPath(new URL('../../examples/acme.yaml', import.meta.url));
  return {
    command: script === '' || script.startsWith('..') ? 'cellpass' : script,
    exampleFile: existsSync(example) ? relative('.', example) : undefined,
  };
}

interface Signals {
  /** Resolves at the first SIGTERM or SIGINT. A second one ends the process at once. */
  readonly stop: Promise<void>;
  /** Aborted at the same moment. */
  readonly stopped: AbortSignal;
  /** Sets what SIGHUP does. */
  onReload(action: () => void): void;
}

/**
 * Handles signals from before the start. As process 1 of a container, a process without a handler
 * never receives SIGTERM; as any other process, it would be killed while it creates its database.
 */
function catchSignals(log: Log): Signals {
  let reload = (): void => undefined;
  process.on('SIGHUP', () => reload());
  const stopping = new AbortController();
  const stop = new Promise<void>((resolve) => {
    const onStop = (signal: NodeJS.Signals): void => {
      if (stopping.signal.aborted) process.exit(1);
      stopping.abort();
      log.info({ signal }, 'stopping: answering what has begun');
      resolve();
    };
    process.on('SIGTERM', onStop);
    process.on('SIGINT', onStop);
  });
  return {
    stop,
    stopped: stopping.signal,
    onReload: (action) => {
      reload = action;
    },
  };
}
