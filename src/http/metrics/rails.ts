import { Counter, type Registry } from 'prom-client';
import { COMPARISON_OUTCOMES, type ComparisonOutcome } from '../../comparison/outcome.ts';

export interface RailsMetrics {
  /** @param reason of a closed set. */
  readonly passedOn: (reason: string) => void;
  readonly compared: (outcome: ComparisonOutcome) => void;
}

export function createRailsMetrics(registry: Registry): RailsMetrics {
  const registers = [registry];
  const passedOn = new Counter({
    name: 'cellpass_gitlab_passed_on_total',
    help: 'Token requests that GitLab Rails was asked to answer, by the reason',
    labelNames: ['reason'],
    registers,
  });
  const comparisons = new Counter({
    name: 'cellpass_gitlab_comparisons_total',
    help: 'Requests whose answers by GitLab Rails and cellpass were compared, by what came of it',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of COMPARISON_OUTCOMES) comparisons.inc({ outcome }, 0);
  return {
    passedOn: (reason) => passedOn.inc({ reason }),
    compared: (outcome) => comparisons.inc({ outcome }),
  };
}
