import type { Problem } from '../../errors.ts';
import type { Sql } from '../../store/database/drivers.ts';
import {
  findGroupOwner,
  findProjectOwner,
  findUserOwner,
  type PlaceOwner,
} from '../../store/directory/owners.ts';
import type { UserState } from '../../store/directory/rows.ts';
import { keyOf } from '../document/fields.ts';

/** Whose a token is, as far as it was named. */
export interface TokenOwner {
  readonly organizationId: number;
  readonly userId: number | null;
  readonly userState: UserState | null;
  readonly projectIds: readonly number[];
  readonly groupId: number | null;
}

interface Names {
  readonly user?: string;
  readonly project?: string;
  readonly projects?: readonly string[];
  readonly group?: string;
}

/** Everybody who is named, or all that is wrong with that. */
export async function findTokenOwner(
  sql: Sql,
  { user, project, projects = [], group }: Names,
): Promise<TokenOwner | { readonly problems: readonly Problem[] }> {
  const problems: Problem[] = [];
  const report = (path: string, message: string): void => void problems.push({ path, message });
  const person = user === undefined ? null : await findPerson(sql, user, report);
  const places: PlaceOwner[] = [];
  const named: readonly (readonly [path: string, name: string])[] = [
    ...(project === undefined ? [] : [['project', project] as const]),
    ...projects.map((name, at) => [`projects[${at}]`, name] as const),
  ];
  for (const [path, name] of named) {
    const found = await findProjectOwner(sql, keyOf(name));
    if (found === undefined) report(path, `names no project: there is no "${name}"`);
    else if (places.some(({ id }) => id === found.id)) report(path, `names "${name}" a second time`);
    else places.push(found);
  }
  const team = group === undefined ? null : await findGroupOwner(sql, keyOf(group));
  if (team === undefined) report('group', `names no group: there is no "${group}"`);
  if (problems.length > 0) return { problems };
  return {
    organizationId: (person ?? places[0] ?? team)?.organizationId ?? 0,
    userId: person?.id ?? null,
    userState: person?.state ?? null,
    projectIds: places.map(({ id }) => id),
    groupId: team?.id ?? null,
  };
}

async function findPerson(sql: Sql, name: string, report: (path: string, message: string) => void) {
  const found = await findUserOwner(sql, keyOf(name));
  if (found === undefined) report('user', `names nobody: there is no "${name}"`);
  else if (found.kind === 'project_bot' || found.kind === 'group_bot')
    report('user', `names the bot of a token: make a project or group token`);
  else return found;
  return null;
}
