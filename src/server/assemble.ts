import { Registry as MetricsRegistry } from 'prom-client';
import { createAdminApp, createApp, createMetricsApp, createRemoteAdminApp } from '../app.ts';
import { createPasswordHasher } from '../authn/password.ts';
import { openTopology } from '../cells/current-topology.ts';
import { audiencesOf } from '../config/federation.ts';
import type { Config } from '../config/load.ts';
import type { DirectoryResource } from '../http/admin/directory.ts';
import { observeUnread } from '../http/listener/unread-requests.ts';
import { createFederationMetrics, issuerKeyMetrics } from '../http/metrics/federation.ts';
import { createRailsMetrics } from '../http/metrics/rails.ts';
import { reportOf } from '../http/metrics/report.ts';
import { createRequestMetrics } from '../http/metrics/requests.ts';
import { createForwarder, type ForwarderOptions } from '../http/token/forward.ts';
import { createRailsClient, RAILS_DEADLINE_MS, type RailsClient } from '../http/token/rails/client.ts';
import type { Schedule } from '../rotation/schedule.ts';
import { createTurns, NO_SHARES } from '../shares/turns.ts';
import { openClockCheck } from './assembly/clock.ts';
import { openDirectory } from './assembly/directory.ts';
import { adminEndpoints, publicEndpoints, type SharedServices } from './assembly/endpoints.ts';
import { openFederation } from './assembly/federation.ts';
import { clockOf, type ServerInputs } from './assembly/inputs.ts';
import { openKeyring, openRotation } from './assembly/keys.ts';
import { NO_RECORDS, openRecords, type Records, type RecordViews } from './assembly/records.ts';
import { startRetention } from './assembly/retention.ts';
import { openSource } from './assembly/source.ts';
import { registerStats } from './assembly/stats.ts';
import type { Closers } from './closers.ts';

/** What answers registries and their clients. */
export interface PublicAssembly extends SharedServices {
  readonly app: ReturnType<typeof createApp>;
  readonly records: Records;
}

/** What answers admins, and runs once for all workers. */
export interface Administration extends SharedServices {
  /** For the admin socket only: it asks for no token. */
  readonly admin: ReturnType<typeof createAdminApp>;
  readonly remoteAdmin: ReturnType<typeof createRemoteAdminApp>;
  readonly metrics: ReturnType<typeof createMetricsApp>;
  /** The scheduled rotation; does nothing before `start`. */
  readonly schedule: Schedule;
  readonly directory: DirectoryResource;
}

/** How much longer a forwarded password may take than one that this cell hashes. */
const FORWARDING_MS = 1000;

/**
 * Token requests of one process. A process answers about one in a millisecond, so 32 of one address
 * delay others by 32 ms at most. What waits is bounded by the connections and by the deadline.
 */
const REQUESTS_AT_ONCE = {
  places: 128,
  perAddress: 32,
  refusal: { message: 'too many requests at once', reason: 'too_slow' },
} as const;

// The graph of a server by role. Below, one function for each half; `assembly/` says how each part
// is made. Every function adds to `closers` what must be closed.

/** A whole server in one process. */
export async function assembleServer(
  inputs: ServerInputs,
  closers: Closers,
): Promise<PublicAssembly & Administration> {
  const shared = await assembleShared(inputs, closers);
  const clients = assemblePublic(inputs, shared, closers);
  const { records } = clients;
  return { ...clients, ...assembleAdministration(inputs, shared, { records, closers }) };
}

/** One of several workers: no administration. */
export async function assembleWorker(inputs: ServerInputs, closers: Closers): Promise<PublicAssembly> {
  return assemblePublic(inputs, await assembleShared(inputs, closers), closers);
}

/** The primary of several workers: no public app. */
export async function assemblePrimary(inputs: ServerInputs, closers: Closers): Promise<Administration> {
  const shared = await assembleShared(inputs, closers);
  registerStats(inputs, shared, NO_RECORDS, {});
  return assembleAdministration(inputs, shared, { records: NO_RECORDS, closers });
}

async function assembleShared(inputs: ServerInputs, closers: Closers): Promise<SharedServices> {
  const { config, log, topologyPollMs: pollMs } = inputs;
  const { argon2Lanes: concurrency, argon2Queue: waiting } = config.limits;
  const registry = new MetricsRegistry();
  const { source, gitlab } = await openSource(inputs, registry);
  const cells = openTopology({
    file: config.cellsFile,
    self: config.cell,
    publicUrl: config.publicUrl ?? '',
    audiences: audiencesOf(config),
    issuer: config.issuer,
    log,
    ...(pollMs && { pollMs }),
    ...clockOf(inputs),
  });
  closers.push(() => cells.close());
  const listeners = new Set<() => void>();
  const keyring = await openKeyring(inputs, closers, () => {
    for (const listener of listeners) listener();
  });
  const clock = await openClockCheck(inputs, closers);
  const federation = openFederation(inputs, keyring, closers);
  issuerKeyMetrics(registry, () => federation?.issuerKeys.stats() ?? []);
  const passwords = await createPasswordHasher(
    { concurrency, waiting },
    inputs.argon2id,
    gitlab === null ? undefined : () => gitlab.passwordDecoy(),
  );
  const requests = createRequestMetrics(registry);
  const unread = observeUnread({ registry, log, ...clockOf(inputs) });
  return {
    source,
    gitlab,
    cells,
    keyring,
    clock,
    federation,
    passwords,
    registry,
    requests,
    observeUnread: unread,
    onNotice: (listener) => void listeners.add(listener),
  };
}

function assemblePublic(inputs: ServerInputs, shared: SharedServices, closers: Closers): PublicAssembly {
  const railsMetrics = createRailsMetrics(shared.registry);
  const records = openRecords(inputs, closers, shared.source, railsMetrics.compared);
  shared.onNotice(() => records.failedAttempts.recheck());
  const forwarder = shared.requests.measured(createForwarder(forwarding(inputs.config)));
  closers.push(() => forwarder.close());
  const turns = createTurns(REQUESTS_AT_ONCE);
  const rails = openRails(inputs, closers);
  registerStats(inputs, shared, records, {
    requests: turns.stats,
    forwarding: () => forwarder.stats(),
    rails: () => rails?.stats() ?? NO_SHARES,
  });
  const { passedOn: countPassedOn } = railsMetrics;
  const app = createApp(
    publicEndpoints(inputs, {
      ...shared,
      records,
      forwarder,
      turns,
      rails,
      countPassedOn,
      countFederated: createFederationMetrics(shared.registry),
    }),
  );
  return { ...shared, app, records };
}

/** The other cell may wait for a hash, or for its own Rails. */
function forwarding({ limits, rails }: Config): ForwarderOptions {
  if (rails !== null) return { deadlineMs: RAILS_DEADLINE_MS + FORWARDING_MS };
  return { passwordDeadlineMs: limits.passwordSeconds * 1000 + FORWARDING_MS };
}

function openRails({ config }: ServerInputs, closers: Closers): RailsClient | null {
  if (config.rails === null) return null;
  const client = createRailsClient(config.rails.url);
  closers.push(() => client.close());
  return client;
}

function assembleAdministration(
  inputs: ServerInputs,
  shared: SharedServices,
  { records, closers }: { readonly records: RecordViews; readonly closers: Closers },
): Administration {
  const rotation = openRotation(inputs, shared, closers);
  startRetention(inputs, closers);
  const metrics = reportOf(shared.registry, inputs.otherMetrics);
  const directory = openDirectory(inputs, shared, closers);
  const deps = adminEndpoints(inputs, { ...shared, records, rotation, directory, metrics });
  return {
    ...shared,
    admin: createAdminApp(deps),
    remoteAdmin: createRemoteAdminApp(deps),
    metrics: createMetricsApp(deps),
    schedule: rotation.schedule,
    directory,
  };
}
