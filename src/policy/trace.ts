import type { Ruling } from './grant.ts';
import { needOf, reasonOf } from './reasons.ts';
import type { RegistryAccess } from './role.ts';
import { askAllRules, type RuleId, type RuleLookedAt } from './rules.ts';

/** A rule that stands in the way, and what would have to change. */
interface Obstacle {
  readonly rule: RuleId;
  readonly because: string;
  readonly needs: string;
}

/** Why one asked action was decided as it was. */
export interface Trace {
  /** Up to the one that decided. */
  readonly rules: readonly RuleLookedAt[];
  readonly because: string;
  /** Everything that keeps the action from being granted, not only the first; empty when it is granted. */
  readonly obstacles: readonly Obstacle[];
}

/** Tells a ruling's story. Made only when somebody reads it, from the same rules and the same facts that decided. */
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

/** The first refusal and what lies behind it, up to where the action would be granted. */
function obstaclesTo(ruling: Ruling): readonly Obstacle[] {
  const { project } = ruling;
  // Its need is an enabled registry, so the other rules are asked as if it were: they may have less to say then.
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
