import cluster from 'node:cluster';
import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { isatty } from 'node:tty';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { withOwnIssuer } from '../cells/own-issuer.ts';
import { type Config, loadConfig } from '../config/load.ts';
import { describeUnknownVariable } from '../config/sources.ts';
import { migrate } from '../store/database/migrate.ts';
import type { Terminal } from '../terminal.ts';
import { reloadCertificate } from './certificate.ts';
import { withDataDir } from './data-dir.ts';
import { exitNow, exitSoon } from './exit.ts';
import { nextSteps } from './next-steps.ts';
import { openDatabase } from './open-database.ts';
import { fitOpenFiles } from './open-files.ts';
import { WAITING } from './prepare.ts';
import { registryConfiguration } from './registry-configuration.ts';
import { reloadRules } from './reload-rules.ts';
import { createLog, type ServerLog, STDERR, STDOUT } from './server-log.ts';
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

/**
 * How long a stop may take besides the drain. Each part that closes has a shorter limit of its own;
 * this is for what has none.
 */
const LONGEST_STOP_SECONDS = 20;

/** Runs the server, or one worker of it, until a signal stops it. */
export async function serve({ environment }: Pick<Terminal, 'environment'>): Promise<void> {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
  const settings = withOwnIssuer(loadConfig(environment));
  const log = createLog(settings, STDOUT);
  warnByLog(log);
  // The primary warns for its workers.
  const config = fitOpenFiles(settings, cluster.isWorker ? { warn: () => undefined } : log);
  if (cluster.isWorker) return runWorker(config, log);
  for (const name of config.unknownVariables)
    log.warn(
      { variable: name },
      `this variable is not a setting of cellpass: ${describeUnknownVariable(name)}`,
    );
  const signals = catchSignals(log);
  void signals.stop.then(() => boundStop(config, log));
  const start = config.workers > 1 ? startWorkers : startServer;
  const server = await start(config, log, signals.stopped).catch((error: unknown) => {
    if (signals.stopped.aborted) return undefined;
    throw error;
  });
  if (server === undefined) {
    await log.flush();
    return exitSoon();
  }
  signals.onReload(() => {
    reloadCertificate(server, log);
    if (config.rails !== null) reloadRules(server, config.rails, { environment, log });
  });
  announce(config, server, log);
  await signals.stop;
  await server.close();
  await log.flush();
  exitSoon();
}

/** Ends the process if it is still there when its stop, or the start before it, takes too long. */
function boundStop({ drainSeconds }: Config, log: ServerLog): void {
  const end = (): void => {
    log.error({}, 'the server could not stop in time; ending it');
    process.exitCode = 1;
    exitNow();
  };
  setTimeout(end, (drainSeconds + LONGEST_STOP_SECONDS) * 1000).unref();
}

/** Node would write warnings to stderr, and wait for its reader, which may hang. */
function warnByLog(log: ServerLog): void {
  process.removeAllListeners('warning');
  process.on('warning', (warning) => log.warn({ err: warning }, 'a warning of Node'));
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
function announce(config: Config, { publicUrl, addresses }: RunningServer, log: ServerLog): void {
  const configurations = config.services.map((service) =>
    registryConfiguration(publicUrl, config.issuer, service),
  );
  log.info(
    {
      ...addresses,
      realm: `${publicUrl}/jwt/auth`,
      admin_socket: adminSocketPath(config),
      database: config.databaseUrl === null ? 'embedded' : 'postgresql',
      cell: config.cell,
      registry_configuration: configurations,
    },
    'listening',
  );
  if (isatty(STDOUT)) {
    log.print(`\n${nextSteps({ publicUrl, registryConfigurations: configurations, ...ownPaths() })}`);
    return;
  }
  const notes = createLog(config, STDERR);
  notes.print(`cellpass answers on ${publicUrl}/jwt/auth; a registry's configuration:\n\n`);
  for (const configuration of configurations) notes.print(`${configuration}\n\n`);
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
function catchSignals(log: ServerLog): Signals {
  let reload = (): void => undefined;
  process.on('SIGHUP', () => reload());
  const stopping = new AbortController();
  const stop = new Promise<void>((resolve) => {
    const onStop = (signal: NodeJS.Signals): void => {
      if (stopping.signal.aborted) {
        process.exitCode = 1;
        exitNow();
      }
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
