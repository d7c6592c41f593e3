import { Counter, collectDefaultMetrics, Gauge, type Registry } from 'prom-client';
import type { Lockouts } from '../../authn/failed-attempts.ts';
import type { LaneUse } from '../../authn/password.ts';
import type { TopologyServiceStats } from '../../cells/topology-service.ts';
import type { PoolStats } from '../../store/database/drivers.ts';
import type { PipelineStats } from '../../store/database/pipeline.ts';
import type { CacheUse } from '../../store/source/own/inquiries.ts';
import type { AuditUse } from '../token/audit.ts';

/** Where the numbers are kept that nobody has to tell: each is read when somebody asks for metrics. */
export interface Sources {
  readonly version: string;
  /** Null: a database without a pool. */
  readonly pool: () => PoolStats | null;
  /** Null: a database without connections beside the pool. */
  readonly lanes: () => PipelineStats | null;
  readonly directoryCache: () => CacheUse;
  readonly passwords: () => LaneUse;
  readonly lockouts: () => Lockouts;
  readonly audit: () => AuditUse;
  readonly refusalsDropped: () => number;
  readonly topologyService: () => TopologyServiceStats;
}

/** Of several processes the numbers are added, except where that says nothing. */
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
  cacheMetrics(registry, sources.directoryCache);
  passwordMetrics(registry, sources.passwords);
  lockoutMetrics(registry, sources.lockouts);
  counter(
    registry,
    'cellpass_refusals_dropped_total',
    'Refusals that were not kept, so that "cellpass explain --request" knows nothing of them',
    sources.refusalsDropped,
  );
  auditMetrics(registry, sources.audit);
  topologyMetrics(registry, sources.topologyService);
}

/** Event loop, memory, CPU, garbage collection of this process: once in its life, because they can't be taken back. */
export function processMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
}

/** A counter whose number is kept elsewhere. */
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
    help: "The pool's connections that are open, those of them that are idle, and how many there may be",
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
    help: "Connections beside the pool, for token requests' questions, that are open",
    registers: [registry],
    collect() {
      this.set(read()?.open ?? 0);
    },
  });
  new Gauge({
    name: 'cellpass_database_hot_queries',
    help: 'Questions on these connections that have no answer yet',
    registers: [registry],
    collect() {
      this.set(read()?.waiting ?? 0);
    },
  });
}

function cacheMetrics(registry: Registry, read: () => CacheUse): void {
  new Counter({
    name: 'cellpass_directory_cache_requests_total',
    help: 'Token requests by what the database had to say: "hit" that nothing has changed, "miss" everything',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      const { hits, misses } = read();
      this.reset();
      this.inc({ outcome: 'hit' }, hits);
      this.inc({ outcome: 'miss' }, misses);
    },
  });
  new Gauge({
    name: 'cellpass_directory_cache_bytes',
    help: 'About how much is remembered of the directory; limits.directory_cache_bytes bounds it in each process',
    registers: [registry],
    collect() {
      this.set(read().bytes);
    },
  });
}

function passwordMetrics(registry: Registry, read: () => LaneUse): void {
  new Gauge({
    name: 'cellpass_password_checks',
    help: 'Passwords being hashed, and waiting for it',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const { running, waiting } = read();
      this.set({ state: 'running' }, running);
      this.set({ state: 'waiting' }, waiting);
    },
  });
  counter(
    registry,
    'cellpass_password_checks_refused_total',
    'Password logins answered 503 because too many waited',
    () => read().refused,
  );
}

function lockoutMetrics(registry: Registry, read: () => Lockouts): void {
  new Counter({
    name: 'cellpass_lockouts_total',
    help: 'Times that too many attempts had failed: from one address, or as one account from one address',
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

function auditMetrics(registry: Registry, read: () => AuditUse): void {
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
      for (const [reason, count] of Object.entries(read().lost)) this.inc({ reason }, count);
    },
  });
  new Gauge({
    name: 'cellpass_audit_bytes',
    help: 'What the audit record takes on disk, of named subjects and of nobody; retention.audit_bytes bounds both together',
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
    help: 'Questions to the Topology Service; "not_asked": it had failed several times in a row, or too many were asked at once',
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
    help: '1 while nobody waits for the Topology Service, because it failed several times in a row',
    registers: [registry],
    aggregator: 'max',
    collect() {
      this.set(read().isAway ? 1 : 0);
    },
  });
}
