import { Registry as MetricsRegistry } from 'prom-client';
import { createAdminApp, createApp, createMetricsApp, createRemoteAdminApp } from '../app.ts';
import { createPasswordHasher } from '../authn/password.ts';
import { type CurrentTopology, openTopology } from '../cells/current-topology.ts';
import type { DirectoryResource } from '../http/admin/directory.ts';
import { keyMetrics } from '../http/metrics/keys.ts';
import { reportOf } from '../http/metrics/report.ts';
import { createRequestMetrics } from '../http/metrics/requests.ts';
import { sourceMetrics } from '../http/metrics/sources.ts';
import { createForwarder } from '../http/token/forward.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { Schedule } from '../rotation/schedule.ts';
import { createOwnSource } from '../store/source/own/source.ts';
import { remembering } from '../store/source/remembered.ts';
import { readVersion } from '../version.ts';
import { endpointsOf, type Reach } from './assembly/endpoints.ts';
import { openKeys, periodsOf } from './assembly/keys.ts';
import { clockOf, type Parts } from './assembly/parts.ts';
import { openRecords } from './assembly/records.ts';
import { closeAll } from './closers.ts';

export interface Assembly {
  readonly app: ReturnType<typeof createApp>;
  /** For the socket alone: it asks nobody for a token. */
  readonly admin: ReturnType<typeof createAdminApp>;
  readonly remoteAdmin: ReturnType<typeof createRemoteAdminApp>;
  readonly metrics: ReturnType<typeof createMetricsApp>;
  /** What this process counts. */
  readonly registry: MetricsRegistry;
  readonly keyring: Keyring;
  /** Rotation by itself; `start` begins it. */
  readonly schedule: Schedule;
  readonly directory: DirectoryResource;
  /** Ends what runs in the background; the database stays open. */
  close(): Promise<void>;
}

/** Wires everything together: here what there is, in `assembly/` what each part is made of. */
export async function assemble(parts: Parts): Promise<Assembly> {
  const { config, database } = parts;
  const source = remembering(createOwnSource(database), { maxBytes: config.limits.directoryCacheBytes });
  // First, because it is wrong more often than the keys are, which are made at the first start.
  const cells = topologyOf(parts);
  const keys = await openKeys(parts, cells);
  const records = openRecords(parts);
  const { argon2Lanes: concurrency, argon2Queue: waiting } = config.limits;
  const passwords = await createPasswordHasher({ concurrency, waiting }, parts.argon2id);
  const registry = new MetricsRegistry();
  const requests = createRequestMetrics(registry);
  const forwarder = requests.measured(createForwarder());
  const metrics = reportOf(registry, parts.otherMetrics);
  const reach = { ...keys, ...records, source, passwords, cells, forwarder, requests, metrics };
  countSources(registry, parts, reach);
  const deps = endpointsOf(parts, reach);
  return {
    app: createApp(deps),
    admin: createAdminApp(deps),
    remoteAdmin: createRemoteAdminApp(deps),
    metrics: createMetricsApp(deps),
    registry,
    keyring: keys.keyring,
    schedule: keys.schedule,
    directory: deps.directory,
    close: () => closeAll([cells, keys, records, forwarder].map((part) => () => part.close())),
  };
}

function topologyOf(parts: Parts): CurrentTopology {
  const { config, log, topologyPollMs } = parts;
  return openTopology({
    file: config.cellsFile,
    self: config.cell,
    publicUrl: config.publicUrl ?? '',
    log,
    ...(topologyPollMs && { pollMs: topologyPollMs }),
    ...clockOf(parts),
  });
}

/** What each part keeps count of by itself. */
function countSources(
  registry: MetricsRegistry,
  { config, database }: Parts,
  { source, keyring, passwords, failedAttempts, audit, refusals, cells }: Reach,
): void {
  keyMetrics(registry, keyring, periodsOf(config));
  sourceMetrics(registry, {
    version: readVersion(),
    pool: () => database.poolStats(),
    lanes: () => database.pipelineStats(),
    directoryCache: () => source.stats(),
    passwords: () => passwords.stats(),
    lockouts: () => failedAttempts.lockouts(),
    audit: () => audit.stats(),
    refusalsDropped: () => refusals.dropped(),
    topologyService: () => cells.serviceStats(),
  });
}
