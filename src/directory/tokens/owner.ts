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
import { type FoundProblem, type Misspelt, storedNames, withSuggestions } from '../document/suggestions.ts';

/** The owner of a token. Parts that were not named are null or empty. */
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

type Report = (path: string, message: string, misspelt?: Misspelt) => void;

/** Finds the named user, projects and group, or gives all problems with the names. */
export async function findTokenOwner(
  sql: Sql,
  { user, project, projects = [], group }: Names,
): Promise<TokenOwner | { readonly problems: readonly Problem[] }> {
  const problems: FoundProblem[] = [];
  const report: Report = (path, message, misspelt) =>
    void problems.push({ path, message, ...(misspelt !== undefined && { misspelt }) });
  const tokenUser = user === undefined ? null : await findTokenUser(sql, user, report);
  const places: PlaceOwner[] = [];
  const named: readonly (readonly [path: string, name: string])[] = [
    ...(project === undefined ? [] : [['project', project] as const]),
    ...projects.map((name, at) => [`projects[${at}]`, name] as const),
  ];
  for (const [path, name] of named) {
    const found = await findProjectOwner(sql, keyOf(name));
    if (found === undefined) report(path, `there is no project "${name}"`, { name, among: ['projects'] });
    else if (places.some(({ id }) => id === found.id)) report(path, `"${name}" is named twice`);
    else places.push(found);
  }
  const tokenGroup = group === undefined ? null : await findGroupOwner(sql, keyOf(group));
  if (group !== undefined && tokenGroup === undefined)
    report('group', `there is no group "${group}"`, { name: group, among: ['groups'] });
  if (problems.length > 0) return { problems: withSuggestions(problems, await storedNames(sql, problems)) };
  return {
    organizationId: (tokenUser ?? places[0] ?? tokenGroup)?.organizationId ?? 0,
    userId: tokenUser?.id ?? null,
    userState: tokenUser?.state ?? null,
    projectIds: places.map(({ id }) => id),
    groupId: tokenGroup?.id ?? null,
  };
}

async function findTokenUser(sql: Sql, name: string, report: Report) {
  const found = await findUserOwner(sql, keyOf(name));
  if (found === undefined) report('user', `there is no user "${name}"`, { name, among: ['users'] });
  else if (found.kind === 'project_bot' || found.kind === 'group_bot')
    report('user', `"${name}" is the bot of a token: create a project or group token instead`);
  else return found;
  return null;
}
