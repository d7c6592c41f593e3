import { setTimeout as delay } from 'node:timers/promises';
import type { PasswordHashing } from '../authn/password-schemes.ts';
import type { Config } from '../config/load.ts';
import type { RailsRules } from '../config/rails.ts';
import { isTrial } from '../config/trial.ts';
import { warnOfUnencrypted } from '../config/unencrypted.ts';
import { readTls } from '../http/listener/server.ts';
import type { Snapshot } from '../http/metrics/report.ts';
import { processMetrics } from '../http/metrics/sources.ts';
import type { Database } from '../store/database/drivers.ts';
import { type Administration, assemblePrimary, assembleServer, assembleWorker } from './assemble.ts';
import type { ServerInputs } from './assembly/inputs.ts';
import { type Certificate, createCertificate, reloadFrom } from './certificate.ts';
import { type Closers, closeAll, openAll } from './closers.ts';
import { type DataDirHold, holdDataDir, warnOfDataDir } from './data-dir.ts';
import { warnOfExamples } from './example-credentials.ts';
import { createFollowed, type Followed } from './followed.ts';
import { type Hasher, startHasher } from './hashing/hasher.ts';
import { openAdminListener, openMetricsListener, openPublicListener } from './listeners.ts';
import { openDatabase, type ProcessRole } from './open-database.ts';
import { type OpenGitlab, openGitlab } from './open-gitlab.ts';
import { createPlanner } from './planning/planner.ts';
import { openMasterKey, prepareDatabase } from './prepare.ts';
import type { ServerLog } from './server-log.ts';

/** A running server. */
export interface RunningServer {
  /** Without a trailing slash. */
  readonly publicUrl: string;
  /**
   * Reloads the TLS certificate and key; throws, and keeps the old ones, when they are wrong. False
   * without TLS.
   */
  reload(): boolean;
  /** Beside GitLab Rails; null: there is none. Replaced on SIGHUP. */
  readonly rules: Followed<RailsRules | null>;
  /**
   * Answers `/readyz` with 503 for `drainSeconds`, then finishes the requests that have begun, and
   * closes everything.
   */
  close(): Promise<void>;
}

/** The process that administers several workers. */
export interface PrimaryServer extends Pick<RunningServer, 'reload' | 'rules' | 'close'> {
  /** Hashes the passwords of all workers. */
  readonly hasher: PasswordHashing;
  /** Of all workers. */
  readonly certificate: Certificate;
  /** Answers `/readyz` with 503 from now on. */
  drain(): void;
}

/** One of several processes that answer clients. */
export interface WorkerServer extends Pick<RunningServer, 'publicUrl' | 'close'> {
  metrics(): Promise<Snapshot>;
}

/** What a worker gets from its primary. */
export interface WorkerInputs {
  readonly argon2id: PasswordHashing;
  /** The primary's certificate. */
  readonly certificate: Certificate;
  /** The primary's. */
  readonly rules: Followed<RailsRules | null>;
  /** Resolves when `certificate` has the one to begin with; called once, before the worker listens. */
  readonly mayListen: () => Promise<void>;
}

export interface StartOptions {
  readonly log: ServerLog;
  /** Ends the wait for another process that migrates the database. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A whole server in this process. It holds the data directory first, then opens the database and
 * the keys, and last the public listener. When a step fails, what was opened before is closed
 * again.
 * @param signal ends the wait for another process that migrates the database.
 */
export function startServer(config: Config, log: ServerLog, signal?: AbortSignal): Promise<RunningServer> {
  return openAll(async (closers) => {
    const host = await openHost(config, { log, signal, role: 'server' }, closers);
    const draining = { now: false };
    const rules = rulesOf(config);
    const assembly = await assembleServer(await inputsOf(config, { ...host, log, draining, rules }), closers);
    processMetrics(assembly.registry);
    await openAdministration(config, assembly, { ...host, log, closers });
    const url = await openPublicListener(config, assembly, { ...host, log, closers });
    return {
      ...runningServer(config, { url, draining, closers }),
      reload: () => reloadFrom(config.tls, host.certificate),
      rules,
    };
  });
}

/** What runs once for all workers: migrations, the admin API, scheduled rotation, retention. */
export function startPrimary(
  config: Config,
  { log, signal }: StartOptions,
  otherMetrics: () => Promise<readonly Snapshot[]>,
): Promise<PrimaryServer> {
  return openAll(async (closers) => {
    const host = await openHost(config, { log, signal, role: 'primary' }, closers);
    const draining = { now: false };
    const rules = rulesOf(config);
    const inputs = await inputsOf(config, { ...host, log, draining, rules });
    const assembly = await assemblePrimary({ ...inputs, otherMetrics }, closers);
    processMetrics(assembly.registry);
    await openAdministration(config, assembly, { ...host, log, closers });
    return {
      hasher: host.argon2id,
      certificate: host.certificate,
      reload: () => reloadFrom(config.tls, host.certificate),
      rules,
      drain: () => {
        draining.now = true;
      },
      close: () => closeAll(closers),
    };
  });
}

/** One of several processes that answer clients; a primary has prepared the database. */
export function startWorker(
  config: Config,
  log: ServerLog,
  { argon2id, certificate, rules, mayListen }: WorkerInputs,
): Promise<WorkerServer> {
  return openAll(async (closers) => {
    const database = await openDatabase(config, log, 'worker');
    closers.push(() => database.close());
    const gitlab = await openGitlabOf(config, log, closers);
    const draining = { now: false };
    const inputs = await inputsOf(config, { database, gitlab, argon2id, log, draining, rules });
    const assembly = await assembleWorker(inputs, closers);
    processMetrics(assembly.registry);
    await mayListen();
    const url = await openPublicListener(config, assembly, { certificate, log, closers });
    return {
      ...runningServer(config, { url, draining, closers }),
      metrics: () => assembly.registry.getMetricsAsJSON(),
    };
  });
}

/** What a server has once, however many workers it has. */
interface Host {
  readonly dataDir: DataDirHold;
  readonly certificate: Certificate;
  readonly argon2id: Hasher;
  /** Migrated. */
  readonly database: Database;
  readonly gitlab: OpenGitlab | null;
}

async function openHost(
  config: Config,
  { log, signal, role }: StartOptions & { readonly role: ProcessRole },
  closers: Closers,
): Promise<Host> {
  // Refuse wrong TLS files before anything is created on disk.
  const certificate = createCertificate(config.tls === null ? null : readTls(config.tls));
  const dataDir = await holdDataDir(config);
  closers.push(() => dataDir.release());
  const warning = warnOfDataDir(config);
  if (warning !== null) log.warn({}, warning);
  for (const sentence of warnOfUnencrypted(config)) log.warn({}, sentence);
  const argon2id = await startHasher({ lanes: config.limits.argon2Lanes, log });
  closers.push(() => argon2id.close());
  const database = await openDatabase(config, log, role);
  closers.push(() => database.close());
  await prepareDatabase(config, database, { log, signal });
  const examples = isTrial(config) ? null : await warnOfExamples(database);
  if (examples !== null) log.warn({}, examples);
  const gitlab = await openGitlabOf(config, log, closers);
  return { dataDir, certificate, argon2id, database, gitlab };
}

async function openGitlabOf(
  { gitlab: settings }: Config,
  log: ServerLog,
  closers: Closers,
): Promise<OpenGitlab | null> {
  if (settings === null) return null;
  const gitlab = await openGitlab(settings, log);
  closers.push(() => gitlab.close());
  return gitlab;
}

/** True from the moment this process should get no new requests. */
interface Draining {
  now: boolean;
}

async function inputsOf(
  config: Config,
  {
    database,
    gitlab,
    argon2id,
    log,
    draining,
    rules,
  }: Pick<ServerInputs, 'database'> & {
    readonly gitlab: OpenGitlab | null;
    readonly log: ServerLog;
    readonly argon2id: PasswordHashing;
    readonly draining: Draining;
    readonly rules: Followed<RailsRules | null>;
  },
): Promise<ServerInputs> {
  const masterKey = await openMasterKey(config, database, log);
  const isDraining = (): boolean => draining.now;
  const logLinesLost = (): number => log.linesLost();
  const now = (): Date => new Date();
  return {
    config,
    database,
    ...(gitlab !== null && { gitlab }),
    masterKey,
    argon2id,
    openPlanner: createPlanner,
    log,
    logLinesLost,
    now,
    isDraining,
    railsRules: () => rules.current(),
  };
}

function rulesOf({ rails }: Config): Followed<RailsRules | null> {
  return createFollowed(rails?.rules ?? null);
}

/** Opens what only admins and Prometheus reach. */
async function openAdministration(
  config: Config,
  administration: Administration,
  inputs: Pick<Host, 'dataDir' | 'certificate'> & { readonly log: ServerLog; readonly closers: Closers },
): Promise<void> {
  await openMetricsListener(config, administration, inputs);
  await openAdminListener(config, administration, inputs);
  administration.schedule.start();
  inputs.dataDir.answerWith(administration.admin.callback());
}

function runningServer(
  config: Config,
  {
    url,
    draining,
    closers,
  }: { readonly url: string; readonly draining: Draining; readonly closers: Closers },
): Pick<RunningServer, 'publicUrl' | 'close'> {
  return {
    publicUrl: config.publicUrl ?? url,
    close: async () => {
      draining.now = true;
      await delay(config.drainSeconds * 1000);
      await closeAll(closers);
    },
  };
}
