import type { Sql } from '../../store/database/drivers.ts';
import type { DirectoryRows } from '../../store/directory/table-values.ts';
import type { Moved } from '../plan/moved.ts';
import { type Plan, type PlanInput, planDirectory } from '../plan/plan.ts';
import { readBranches } from './read-branches.ts';
import { readNamed } from './read-named.ts';
import { rowsOf, startReading } from './reading.ts';

/**
 * Plans a document without pruning on a part of the directory, which has every row that the plan
 * depends on: the changes and problems are the same as with the whole directory. Only the plan
 * knows what moves, so this plans again until the part has everything below what moves.
 */
export async function planOnPart(
  sql: Sql,
  input: Omit<PlanInput, 'stored' | 'prune'>,
): Promise<{ readonly stored: DirectoryRows; readonly plan: Plan }> {
  const reading = startReading(sql);
  await readNamed(reading, input.read.document);
  const whole = { groups: new Set<number>(), projects: new Set<number>() };
  for (;;) {
    const stored = rowsOf(reading);
    const plan = planDirectory({ ...input, stored, prune: false });
    const missing = without(plan.moved, whole);
    if (missing.groups.length + missing.projects.length === 0) return { stored, plan };
    const read = await readBranches(reading, missing);
    for (const id of read.groups) whole.groups.add(id);
    for (const id of read.projects) whole.projects.add(id);
  }
}

function without(
  { groups, projects }: Moved,
  whole: { readonly groups: ReadonlySet<number>; readonly projects: ReadonlySet<number> },
): Moved {
  return {
    groups: groups.filter((id) => !whole.groups.has(id)),
    projects: projects.filter((id) => !whole.projects.has(id)),
  };
}
