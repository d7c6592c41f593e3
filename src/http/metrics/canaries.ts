import { Gauge, type Registry } from 'prom-client';
import type { ProbeAnswer } from '../../rotation/canary.ts';

/**
 * Notes when each registry last answered a canary token, and how. Times, because several replicas
 * ask in turns: the latest answer of all counts.
 */
export function createCanaryMetrics(
  registry: Registry,
  now: () => Date,
): (answers: readonly ProbeAnswer[]) => void {
  const answered = new Gauge({
    name: 'cellpass_canary_timestamp_seconds',
    help: 'When a registry last answered a canary token in this way: accepted, refused or unreachable',
    labelNames: ['registry', 'outcome'],
    registers: [registry],
    aggregator: 'max',
  });
  return (answers) => {
    for (const { registry: name, outcome } of answers)
      answered.set({ registry: name, outcome }, now().getTime() / 1000);
  };
}
