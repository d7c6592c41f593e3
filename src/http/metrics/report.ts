import type { Middleware } from 'koa';
import { AggregatorRegistry, Registry } from 'prom-client';

/** The metrics of one process at one moment, as processes send them to each other. */
export type Snapshot = Awaited<ReturnType<Registry['getMetricsAsJSON']>>;

/** All metrics in Prometheus' text format. */
export type MetricsReport = () => Promise<string>;

/**
 * The metrics of this process, or of the whole server.
 * @param others snapshots of the server's other processes; each metric's `aggregator` says how
 * values are combined.
 */
export function reportOf(registry: Registry, others?: () => Promise<readonly Snapshot[]>): MetricsReport {
  if (others === undefined) return () => registry.metrics();
  return async () => addUp([await registry.getMetricsAsJSON(), ...(await others())]).metrics();
}

/** Combines the snapshots of several processes into one registry. */
export function addUp(snapshots: readonly Snapshot[]): Registry {
  return AggregatorRegistry.aggregate<typeof Registry.PROMETHEUS_CONTENT_TYPE>([...snapshots]);
}

export function metrics(report: MetricsReport): Middleware {
  return async (ctx) => {
    ctx.body = await report();
    ctx.type = Registry.PROMETHEUS_CONTENT_TYPE;
  };
}
