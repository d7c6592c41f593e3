import type { Ruling } from './grant.ts';
import { needOf, reasonOf } from './reasons.ts';
import type { RegistryAccess } from './role.ts';
import { askAllRules, type RuleId, type RuleLookedAt } from './rules.ts';

/** A rule that refuses, and what would have to change. */
interface Obstacle {
  readonly rule: RuleId;
  readonly because: string;
  readonly needs: string;
}

/** Why an action was granted or refused. */
export interface Trace {
  /** The rules up to the deciding one. */
  readonly rules: readonly RuleLookedAt[];
  readonly because: string;
  /** All rules that refuse the action, not only the first. Empty when the action is granted. */
  readonly obstacles: readonly Obstacle[];
}

/** Explains a ruling, from the same rules and facts that decided. Computed only on request. */
export function traceRuling(ruling: Ruling): Trace {
  const asked = askAllRules(ruling);
  const decided = asked.findIndex(({ rule }) => rule === ruling.rule);
  return {
    rules: asked.slice(0, decided + 1),
    because: reasonOf(ruling),
    obstacles: ruling.verdict === 'grant' ? [] : obstaclesTo(ruling),
  };
}

const ENABLED: RegistryAccess = 'enabled';

/** The rules that refuse, up to the first rule that would grant the action. */
function obstaclesTo(ruling: Ruling): readonly Obstacle[] {
  const { project } = ruling;
  // Ask the other rules as if the registry were enabled, because some refuse only while it is
  // disabled.
  if (project?.registryAccess === 'disabled') {
    const enabled = { ...ruling, project: { ...project, registryAccess: ENABLED } };
    return [toObstacle(ruling, 'registry_disabled'), ...obstaclesTo(enabled)];
  }
  const asked = askAllRules(ruling);
  const granted = asked.findIndex(({ verdict }) => verdict === 'grant');
  return asked
    .slice(0, granted < 0 ? asked.length : granted)
    .filter(({ verdict }) => verdict !== null)
    .map(({ rule }) => toObstacle(ruling, rule));
}

function toObstacle(ruling: Ruling, rule: RuleId): Obstacle {
  const obstacle = { ...ruling, rule };
  return { rule, because: reasonOf(obstacle), needs: needOf(obstacle) };
}
