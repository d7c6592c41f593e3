import { readOwnTopology } from '../cells/current-topology.ts';
import { audiencesOf } from '../config/federation.ts';
import type { Config } from '../config/load.ts';
import { isTrial } from '../config/trial.ts';
import { warnOfUnencrypted } from '../config/unencrypted.ts';
import { readTls } from '../http/listener/server.ts';
import { checkMasterKeyFile } from '../keys/master-key-file.ts';
import type { Database } from '../store/database/drivers.ts';
import { type Certificate, createCertificate } from './certificate.ts';
import type { Closers } from './closers.ts';
import { type DataDirHold, holdDataDir, warnOfDataDir } from './data-dir.ts';
import { warnOfExamples } from './example-credentials.ts';
import { type Hasher, startHasher } from './hashing/hasher.ts';
import { type BoundListener, bindAdminListener, bindMetricsListener } from './listeners.ts';
import { openDatabase, type ProcessRole } from './open-database.ts';
import { type OpenGitlab, openGitlab } from './open-gitlab.ts';
import { prepareDatabase } from './prepare.ts';
import type { ServerLog } from './server-log.ts';

/** What a server has once, however many workers it has. */
export interface Host<Port> {
  readonly dataDir: DataDirHold;
  readonly certificate: Certificate;
  readonly ports: Ports<Port>;
  readonly argon2id: Hasher;
  /** Migrated. */
  readonly database: Database;
  readonly gitlab: OpenGitlab | null;
}

/** Ports that are bound and answer 503 until the server is ready. */
interface Ports<Port> {
  readonly clients: Port;
  /** Null: `CELLPASS_ADMIN_LISTEN` is not set. */
  readonly admin: BoundListener | null;
  /** Null: `CELLPASS_METRICS_LISTEN` is not set. */
  readonly metrics: BoundListener | null;
}

export interface HostOptions<Port> {
  readonly log: ServerLog;
  /** Ends the wait for another process that migrates the database. */
  readonly signal?: AbortSignal | undefined;
  readonly role: ProcessRole;
  /** Binds the port for registries' clients. */
  readonly bindClients: (certificate: Certificate) => Promise<Port>;
}

/**
 * Opens what a start can fail on, the cheapest first: files, ports, data directory, and only then the
 * database. A wrong file or a port in use therefore leaves nothing behind: no data directory, no
 * migration, no key.
 */
export async function openHost<Port>(
  config: Config,
  { log, signal, role, bindClients }: HostOptions<Port>,
  closers: Closers,
): Promise<Host<Port>> {
  const certificate = createCertificate(config.tls === null ? null : readTls(config.tls));
  if (config.cellsFile !== null) readOwnTopology(config.cellsFile, config.cell, audiencesOf(config));
  await checkMasterKeyFile(config.keysDir);
  const inputs = { certificate, log, closers };
  const ports = {
    clients: await bindClients(certificate),
    admin: await bindAdminListener(config, inputs),
    metrics: await bindMetricsListener(config, inputs),
  };
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
  return { dataDir, certificate, ports, argon2id, database, gitlab };
}

/** GitLab's database as the directory; null: the settings name none. */
export async function openGitlabOf(
  { gitlab: settings }: Config,
  log: ServerLog,
  closers: Closers,
): Promise<OpenGitlab | null> {
  if (settings === null) return null;
  const gitlab = await openGitlab(settings, log);
  closers.push(() => gitlab.close());
  return gitlab;
}
