import type { Middleware } from 'koa';
import { AggregatorRegistry, Registry } from 'prom-client';

/** The metrics of one process at one moment, as they go from one to another. */
export type Snapshot = Awaited<ReturnType<Registry['getMetricsAsJSON']>>;

/** All metrics in Prometheus' text format. */
export type MetricsReport = () => Promise<string>;

/** `others`: what other processes of this server have counted, which is added up by the rule that each metric names. */
export function reportOf(registry: Registry, others?: () => Promise<readonly Snapshot[]>): MetricsReport {
  if (others === undefined) return () => registry.metrics();
  return async () => addUp([await registry.getMetricsAsJSON(), ...(await others())]).metrics();
}

/** As of one process. */
export function addUp(snapshots: readonly Snapshot[]): Registry {
  return AggregatorRegistry.aggregate<typeof Registry.PROMETHEUS_CONTENT_TYPE>([...snapshots]);
}

export function metrics(report: MetricsReport): Middleware {
  return async (ctx) => {
    ctx.body = await report();
    ctx.type = Registry.PROMETHEUS_CONTENT_TYPE;
  };
}
