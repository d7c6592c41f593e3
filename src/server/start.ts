import { setTimeout as delay } from 'node:timers/promises';
import type { PasswordHashing } from '../authn/password-schemes.ts';
import type { Config } from '../config/load.ts';
import type { RailsRules } from '../config/rails.ts';
import type { Snapshot } from '../http/metrics/report.ts';
import { processMetrics } from '../http/metrics/sources.ts';
import { type Administration, assemblePrimary, assembleServer, assembleWorker } from './assemble.ts';
import type { ServerInputs } from './assembly/inputs.ts';
import { type Certificate, reloadFrom } from './certificate.ts';
import { type Closers, closeAll, openAll } from './closers.ts';
import { createFollowed, type Followed } from './followed.ts';
import { type Host, openGitlabOf, openHost } from './host.ts';
import { bindPublicListener } from './listeners.ts';
import { openDatabase } from './open-database.ts';
import type { OpenGitlab } from './open-gitlab.ts';
import { createPlanner } from './planning/planner.ts';
import { openMasterKey } from './prepare.ts';
import type { ServerLog } from './server-log.ts';
import { createStandIn, type StandIn } from './workers/stand-in.ts';

/** Where a server listens: `host:port`, with the port that was chosen for 0. */
interface Addresses {
  /** For registries' clients. */
  readonly listen: string;
  readonly admin_listen?: string;
  readonly metrics_listen?: string;
}

/** A running server. */
export interface RunningServer {
  /** Without a trailing slash. */
  readonly publicUrl: string;
  readonly addresses: Addresses;
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
  readonly addresses: Omit<Addresses, 'listen'>;
  /** Holds the port for the workers. */
  readonly standIn: StandIn;
  /** Hashes the passwords of all workers. */
  readonly hasher: PasswordHashing;
  /** Of all workers. */
  readonly certificate: Certificate;
  /** Answers `/readyz` with 503 from now on. */
  drain(): void;
}

/** One of several processes that answer clients. */
export interface WorkerServer extends Pick<RunningServer, 'publicUrl' | 'close'> {
  /** See `Addresses`. */
  readonly listen: string;
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
 * A whole server in this process. It binds its ports and holds the data directory first, then opens
 * the database and the keys, and last it answers clients. When a step fails, what was opened before
 * is closed again.
 * @param signal ends the wait for another process that migrates the database.
 */
export function startServer(config: Config, log: ServerLog, signal?: AbortSignal): Promise<RunningServer> {
  return openAll(async (closers) => {
    const host = await openHost(
      config,
      {
        log,
        signal,
        role: 'server',
        bindClients: (certificate) => bindPublicListener(config, { certificate, log, closers }),
      },
      closers,
    );
    const draining = { now: false };
    const rules = rulesOf(config);
    const assembly = await assembleServer(await inputsOf(config, { ...host, log, draining, rules }), closers);
    processMetrics(assembly.registry);
    openAdministration(assembly, host, log);
    const { clients } = host.ports;
    clients.answerWith(assembly);
    return {
      ...runningServer(config, { url: clients.url, draining, closers }),
      addresses: { listen: clients.address, ...addressesOf(host) },
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
    const bindClients = async (certificate: Certificate): Promise<StandIn> => {
      const standIn = createStandIn({ config, certificate, log });
      await standIn.hold();
      closers.push(async () => standIn.end());
      return standIn;
    };
    const host = await openHost(config, { log, signal, role: 'primary', bindClients }, closers);
    const draining = { now: false };
    const rules = rulesOf(config);
    const inputs = await inputsOf(config, { ...host, log, draining, rules });
    const assembly = await assemblePrimary({ ...inputs, otherMetrics }, closers);
    processMetrics(assembly.registry);
    openAdministration(assembly, host, log);
    return {
      addresses: addressesOf(host),
      standIn: host.ports.clients,
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
    const inputs = await inputsOf(config, { database, gitlab, argon2id, log, draining, rules, certificate });
    const assembly = await assembleWorker(inputs, closers);
    processMetrics(assembly.registry);
    await mayListen();
    const listener = await bindPublicListener(config, { certificate, log, closers });
    listener.answerWith(assembly);
    return {
      ...runningServer(config, { url: listener.url, draining, closers }),
      listen: listener.address,
      metrics: () => assembly.registry.getMetricsAsJSON(),
    };
  });
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
    certificate,
  }: Pick<ServerInputs, 'database'> & {
    readonly certificate: Certificate;
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
    tlsCertificate: () => certificate.current()?.cert ?? null,
  };
}

function rulesOf({ rails }: Config): Followed<RailsRules | null> {
  return createFollowed(rails?.rules ?? null);
}

/** Answers on what only admins and Prometheus reach. */
function openAdministration(
  { metrics, remoteAdmin, admin, schedule, observeUnread }: Administration,
  { ports, dataDir }: Pick<Host<unknown>, 'ports' | 'dataDir'>,
  log: ServerLog,
): void {
  ports.metrics?.answerWith({ app: metrics, observeUnread });
  ports.admin?.answerWith({ app: remoteAdmin, observeUnread });
  if (ports.admin !== null) log.info({ url: ports.admin.url }, 'the admin API answers over TCP');
  schedule.start();
  dataDir.answerWith(admin.callback());
}

function addressesOf({
  ports: { admin, metrics },
}: Pick<Host<unknown>, 'ports'>): PrimaryServer['addresses'] {
  return {
    ...(admin !== null && { admin_listen: admin.address }),
    ...(metrics !== null && { metrics_listen: metrics.address }),
  };
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
