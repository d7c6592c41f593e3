import { Gauge, Histogram, type Registry } from 'prom-client';
import type { PoolStats } from '../../store/database/drivers.ts';
import type { PipelineStats } from '../../store/database/pipeline.ts';

/** One of GitLab's databases, as the metrics name it. */
export type GitlabDatabase = 'main' | 'ci' | 'write';

/** What each of GitLab's databases that is open is read for. */
export interface GitlabNumbers {
  readonly pool: () => PoolStats | null;
  readonly lanes: () => PipelineStats | null;
  /** Seconds; 0 for a primary; null: unknown. */
  readonly lagSeconds: () => Promise<number | null>;
}

/** Observes every question to one of GitLab's databases. */
export type ObserveQuestion = (database: GitlabDatabase, seconds: number, isAnswered: boolean) => void;

const BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

/** @param databases those that are open; none where the directory is in cellpass's own tables. */
export function gitlabMetrics(
  registry: Registry,
  databases: Readonly<Partial<Record<GitlabDatabase, GitlabNumbers>>>,
): ObserveQuestion {
  const registers = [registry];
  const open = Object.entries(databases).flatMap(([database, numbers]) =>
    numbers === undefined ? [] : [{ database, ...numbers }],
  );
  new Gauge({
    name: 'cellpass_gitlab_connections',
    help: "Connections to GitLab's databases: of the pool (total, idle, max), and beside it (hot)",
    labelNames: ['database', 'state'],
    registers,
    collect() {
      for (const { database, pool, lanes } of open) {
        const { total, idle, max } = pool() ?? { total: 0, idle: 0, max: 0 };
        this.set({ database, state: 'total' }, total);
        this.set({ database, state: 'idle' }, idle);
        this.set({ database, state: 'max' }, max);
        this.set({ database, state: 'hot' }, lanes()?.open ?? 0);
      }
    },
  });
  new Gauge({
    name: 'cellpass_gitlab_replica_lag_seconds',
    help: 'How far the server that answers is behind its primary; 0 for a primary',
    labelNames: ['database'],
    registers,
    aggregator: 'max',
    async collect() {
      await Promise.all(
        open.map(async ({ database, lagSeconds }) => {
          const seconds = await lagSeconds();
          if (seconds === null) this.remove({ database });
          else this.set({ database }, seconds);
        }),
      );
    },
  });
  const up = new Gauge({
    name: 'cellpass_gitlab_up',
    help: "1 if the last question to this one of GitLab's databases was answered",
    labelNames: ['database'],
    registers,
    aggregator: 'min',
  });
  const durations = new Histogram({
    name: 'cellpass_gitlab_question_duration_seconds',
    help: "How long questions to GitLab's databases take, also those without an answer",
    labelNames: ['database'],
    buckets: BUCKETS_SECONDS,
    registers,
  });
  return (database, seconds, isAnswered) => {
    durations.observe({ database }, seconds);
    up.set({ database }, isAnswered ? 1 : 0);
  };
}
