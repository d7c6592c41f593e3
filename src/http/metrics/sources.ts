import { Counter, collectDefaultMetrics, Gauge, type Registry } from 'prom-client';
import type { Lockouts } from '../../authn/failed-attempts.ts';
import type { TopologyServiceStats } from '../../cells/topology-service/client.ts';
import type { ClockStats } from '../../keys/clock-check.ts';
import type { AuditStats } from '../../records/audit-log.ts';
import type { ShareStats } from '../../shares/turns.ts';
import type { PoolStats } from '../../store/database/drivers.ts';
import type { PipelineStats } from '../../store/database/pipeline.ts';
import type { CacheStats } from '../../store/source/remembered.ts';

/** Reads the current numbers of each part of the server, when Prometheus asks for metrics. */
export interface Sources {
  readonly version: string;
  /** Null for a database without a pool. */
  readonly pool: () => PoolStats | null;
  /** Null for a database without connections beside the pool. */
  readonly lanes: () => PipelineStats | null;
  readonly clock: () => ClockStats;
  readonly directoryCache: () => CacheStats;
  readonly passwords: () => ShareStats;
  /** By what is shared. */
  readonly shares: Readonly<Record<string, () => ShareStats>>;
  readonly lockouts: () => Lockouts;
  readonly audit: () => AuditStats;
  readonly refusalsDropped: () => number;
  readonly topologyService: () => TopologyServiceStats;
  readonly logLinesLost: () => number;
}

/** The numbers of several processes are added, unless a metric names another `aggregator`. */
export function sourceMetrics(registry: Registry, sources: Sources): void {
  const registers = [registry];
  new Gauge({
    name: 'cellpass_build_info',
    help: 'Always 1; the labels say what runs',
    labelNames: ['version', 'node'],
    registers,
    aggregator: 'first',
  }).set({ version: sources.version, node: process.version }, 1);
  new Gauge({ name: 'cellpass_processes', help: 'Processes of this server', registers }).set(1);
  poolMetrics(registry, sources.pool);
  lanesMetrics(registry, sources.lanes);
  clockMetrics(registry, sources.clock);
  cacheMetrics(registry, sources.directoryCache);
  passwordMetrics(registry, sources.passwords);
  shareMetrics(registry, { ...sources.shares, passwords: sources.passwords });
  lockoutMetrics(registry, sources.lockouts);
  counter(
    registry,
    'cellpass_refusals_dropped_total',
    'Refusals that were lost, so that "cellpass explain --request" does not find them',
    sources.refusalsDropped,
  );
  auditMetrics(registry, sources.audit);
  topologyMetrics(registry, sources.topologyService);
  counter(
    registry,
    'cellpass_log_lines_lost_total',
    'Log lines that were lost, because the disk or the reader of the log did not take them in time',
    sources.logLinesLost,
  );
}

/**
 * Event loop, memory, CPU and garbage collection of this process. Call it once per process, because
 * prom-client cannot remove these collectors.
 */
export function processMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
}

/** A counter whose value another part of the server keeps. */
function counter(registry: Registry, name: string, help: string, read: () => number): void {
  new Counter({
    name,
    help,
    registers: [registry],
    collect() {
      this.reset();
      this.inc(read());
    },
  });
}

function poolMetrics(registry: Registry, read: () => PoolStats | null): void {
  new Gauge({
    name: 'cellpass_database_connections',
    help: "The pool's connections that are open, those that are idle, and the upper bound",
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const { total, idle, max } = read() ?? { total: 0, idle: 0, max: 0 };
      this.set({ state: 'total' }, total);
      this.set({ state: 'idle' }, idle);
      this.set({ state: 'max' }, max);
    },
  });
  new Gauge({
    name: 'cellpass_database_waiting_queries',
    help: 'Queries that wait for a connection of the pool',
    registers: [registry],
    collect() {
      this.set(read()?.waiting ?? 0);
    },
  });
}

function lanesMetrics(registry: Registry, read: () => PipelineStats | null): void {
  new Gauge({
    name: 'cellpass_database_hot_connections',
    help: 'Open connections beside the pool, for the queries of token requests',
    registers: [registry],
    collect() {
      this.set(read()?.open ?? 0);
    },
  });
  new Gauge({
    name: 'cellpass_database_hot_queries',
    help: 'Queries on these connections that have no answer yet',
    registers: [registry],
    collect() {
      this.set(read()?.waiting ?? 0);
    },
  });
}

function clockMetrics(registry: Registry, read: () => ClockStats): void {
  new Gauge({
    name: 'cellpass_clock_ahead_seconds',
    help: "How far this server's clock is ahead of the database's, in seconds; negative: behind",
    registers: [registry],
    aggregator: 'average',
    collect() {
      this.set(read().aheadMs / 1000);
    },
  });
  new Gauge({
    name: 'cellpass_clock_wrong',
    help: '1 while the clock of this server (no tokens are issued) or of the database is wrong by more than 30 s',
    labelNames: ['whose'],
    registers: [registry],
    aggregator: 'max',
    collect() {
      const { verdict } = read();
      this.set({ whose: 'server' }, verdict === 'own_wrong' ? 1 : 0);
      this.set({ whose: 'database' }, verdict === 'database_wrong' ? 1 : 0);
    },
  });
}

function cacheMetrics(registry: Registry, read: () => CacheStats): void {
  new Counter({
    name: 'cellpass_directory_cache_requests_total',
    help: 'Token requests by directory cache: "hit" if nothing that the answer rests on has changed, "miss" otherwise',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      const { hits, misses } = read();
      this.reset();
      this.inc({ outcome: 'hit' }, hits);
      this.inc({ outcome: 'miss' }, misses);
    },
  });
  new Counter({
    name: 'cellpass_directory_cache_questions_total',
    help: 'How often the database was asked whether cached answers are still valid',
    registers: [registry],
    collect() {
      this.reset();
      this.inc(read().questions);
    },
  });
  new Gauge({
    name: 'cellpass_directory_cache_bytes',
    help: 'About how much the directory cache takes; limits.directory_cache_bytes bounds it per process',
    registers: [registry],
    collect() {
      this.set(read().bytes);
    },
  });
}

function passwordMetrics(registry: Registry, read: () => ShareStats): void {
  new Gauge({
    name: 'cellpass_password_checks',
    help: 'Passwords that are being hashed, and that wait for it',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const { held, waiting } = read();
      this.set({ state: 'running' }, held);
      this.set({ state: 'waiting' }, waiting);
    },
  });
  counter(
    registry,
    'cellpass_password_checks_refused_total',
    'Password logins that were answered 503 because too many waited',
    () => read().refused,
  );
}

function shareMetrics(registry: Registry, shares: Sources['shares']): void {
  const labels = { labelNames: ['resource'], registers: [registry] };
  const all = Object.entries(shares);
  new Gauge({
    ...labels,
    name: 'cellpass_share_held',
    help: 'Places of a shared resource that are held',
    collect() {
      for (const [resource, read] of all) this.set({ resource }, read().held);
    },
  });
  new Gauge({
    ...labels,
    name: 'cellpass_share_waiting',
    help: 'Requests that wait for a place of a shared resource',
    collect() {
      for (const [resource, read] of all) this.set({ resource }, read().waiting);
    },
  });
  new Counter({
    ...labels,
    name: 'cellpass_share_refused_total',
    help: 'Requests and connections that got no place of a shared resource',
    collect() {
      this.reset();
      for (const [resource, read] of all) this.inc({ resource }, read().refused);
    },
  });
}

function lockoutMetrics(registry: Registry, read: () => Lockouts): void {
  new Counter({
    name: 'cellpass_lockouts_total',
    help: 'Times that too many logins had failed, from one address or for one account from one address',
    labelNames: ['by'],
    registers: [registry],
    collect() {
      const { address, account } = read();
      this.reset();
      this.inc({ by: 'address' }, address);
      this.inc({ by: 'account' }, account);
    },
  });
}

function auditMetrics(registry: Registry, read: () => AuditStats): void {
  new Gauge({
    name: 'cellpass_audit_waiting',
    help: 'Issued tokens that wait to be recorded',
    registers: [registry],
    collect() {
      this.set(read().waiting);
    },
  });
  counter(registry, 'cellpass_audit_written_total', 'Issued tokens that were recorded', () => read().written);
  new Counter({
    name: 'cellpass_audit_lost_total',
    help: 'Issued tokens that are missing from the audit record, by cause',
    labelNames: ['reason'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [reason, count] of Object.entries(read().lost)) {
        this.inc({ reason }, count);
      }
    },
  });
  new Gauge({
    name: 'cellpass_audit_bytes',
    help: 'Size of the audit record on disk, of known subjects and of anonymous clients; retention.audit_bytes bounds the sum',
    labelNames: ['kind'],
    registers: [registry],
    aggregator: 'max',
    collect() {
      for (const [kind, bytes] of Object.entries(read().bytes)) this.set({ kind }, bytes);
    },
  });
}

function topologyMetrics(registry: Registry, read: () => TopologyServiceStats): void {
  new Counter({
    name: 'cellpass_topology_service_calls_total',
    help: 'Calls of the Topology Service; "not_asked": it had failed several times in a row, or too many calls were open',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      const { answered, failed, notAsked } = read();
      this.reset();
      this.inc({ outcome: 'answered' }, answered);
      this.inc({ outcome: 'failed' }, failed);
      this.inc({ outcome: 'not_asked' }, notAsked);
    },
  });
  new Gauge({
    name: 'cellpass_topology_service_breaker_open',
    help: '1 while the Topology Service is not called, because it failed several times in a row',
    registers: [registry],
    aggregator: 'max',
    collect() {
      this.set(read().isAway ? 1 : 0);
    },
  });
}
