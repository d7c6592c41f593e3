import { isDeepStrictEqual } from 'node:util';
import type { AccessEntry } from '../../../src/policy/grant.ts';
import type { Claims } from '../../support/server.ts';
import type { Scenario } from './interpret.ts';
import type { Expectation, Stated } from './words/granted.ts';
import { NotUnderstood } from './words/phrases.ts';
import type { AskedScope, Question } from './words/request.ts';

/** The server's answer. `claims` is null unless the status is 200. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly claims: Claims | null;
}

/** The differences between an answer and its row; empty if there are none. */
export function differences(scenario: Scenario, question: Question, answer: Answer): readonly string[] {
  if (answer.status !== scenario.status)
    return [`status ${answer.status} ${errorOf(answer)}, not ${scenario.status}${grantedIn(answer)}`];
  if (answer.claims === null) return errorDifferences(answer);
  return [
    ...subjectDifferences(scenario, answer.claims),
    ...accessDifferences(scenario, question, answer.claims.access),
  ];
}

const ERROR_CODES: Readonly<Record<number, readonly string[]>> = {
  400: ['UNSUPPORTED', 'SIZE_INVALID'],
  401: ['UNAUTHORIZED'],
  403: ['DENIED'],
  404: ['UNSUPPORTED', 'UNAVAILABLE'],
  421: ['UNSUPPORTED'],
  429: ['TOOMANYREQUESTS'],
  431: ['SIZE_INVALID'],
  503: ['UNAVAILABLE'],
};

function errorDifferences(answer: Answer): readonly string[] {
  const code = errorOf(answer);
  const isRight = ERROR_CODES[answer.status]?.includes(code) === true;
  const challenge = answer.headers['www-authenticate'];
  return [
    ...(isRight ? [] : [`error code ${code} with ${answer.status}`]),
    ...(answer.status === 401 && challenge !== 'Basic realm="cellpass", charset="UTF-8"'
      ? [`challenge ${challenge}`]
      : []),
  ];
}

function errorOf({ body }: Answer): string {
  const { errors } = (body ?? {}) as { readonly errors?: readonly { readonly code?: string }[] };
  return errors?.[0]?.code ?? '(no code)';
}

function grantedIn({ claims }: Answer): string {
  return claims === null ? '' : `, granted ${print(claims.access)}`;
}

function subjectDifferences({ world }: Scenario, { sub, auth_type: authType }: Claims): readonly string[] {
  return [
    ...(world.subject === null || sub === world.subject ? [] : [`sub ${sub}, not ${world.subject}`]),
    ...(authType === world.authType ? [] : [`auth_type ${authType}, not ${world.authType}`]),
  ];
}

function accessDifferences(
  scenario: Scenario,
  { scopes }: Question,
  access: readonly AccessEntry[],
): readonly string[] {
  const { expected, world } = scenario;
  const wanted = wantedActions(expected, scopes);
  const granted = new Map(access.map((entry) => [`${entry.type}:${entry.name}`, entry.actions]));
  const resources = [...new Set([...wanted.keys(), ...granted.keys()])];
  const wrong = resources.flatMap((resource) =>
    actionDifferences(resource, wanted.get(resource) ?? [], granted.get(resource) ?? []),
  );
  if (granted.size !== access.length) wrong.push(`a resource stands there twice: ${print(access)}`);
  wrong.push(...orderDifferences(scopes, access));
  const projects = [...world.paths.targets.values()];
  return [...wrong, ...access.flatMap((entry) => metaDifferences(scenario, entry, projects))];
}

/** The granted actions by resource, `type:name`. */
function wantedActions(expected: Expectation, scopes: readonly AskedScope[]): Map<string, readonly string[]> {
  const wanted = new Map<string, readonly string[]>();
  const add = (scope: AskedScope, actions: readonly string[]): void => {
    const resource = `${scope.type}:${scope.name}`;
    wanted.set(resource, [...(wanted.get(resource) ?? []), ...actions]);
  };
  for (const { actions, labels } of expected.repositories) {
    const repositories = scopes.filter(({ type }) => type !== 'registry');
    const stranger = labels?.find((label) => !repositories.some((scope) => scope.label === label));
    if (stranger !== undefined) throw new NotUnderstood(stranger, 'granted');
    if (repositories.length === 0) throw new NotUnderstood('actions without a repository', 'granted');
    for (const scope of repositories) if (labels?.includes(scope.label) ?? true) add(scope, actions);
  }
  for (const text of expected.registry) {
    const scope = scopes.find((asked) => asked.text === text);
    if (scope === undefined) throw new NotUnderstood(`${text} that was not asked`, 'granted');
    add(scope, scope.actions);
  }
  return wanted;
}

function actionDifferences(
  resource: string,
  wanted: readonly string[],
  granted: readonly string[],
): readonly string[] {
  const isSame =
    isDeepStrictEqual(new Set(wanted), new Set(granted)) && new Set(granted).size === granted.length;
  return isSame
    ? []
    : [`${resource}: granted ${granted.join(',') || 'nothing'}, not ${wanted.join(',') || 'nothing'}`];
}

/** Resources and actions must be granted in the order in which they were requested. */
function orderDifferences(scopes: readonly AskedScope[], access: readonly AccessEntry[]): readonly string[] {
  const asked = scopes.flatMap(({ type, name, actions }) =>
    actions.map((action) => `${type}:${name}:${action}`),
  );
  const order = (list: readonly string[]) => [...new Set(list)];
  const granted = access.flatMap(({ type, name, actions }) =>
    actions.map((action) => `${type}:${name}:${action}`),
  );
  const kept = byResource(order(asked).filter((line) => granted.includes(line)));
  return isDeepStrictEqual(kept, granted) ? [] : [`order: granted ${print(access)} of what was asked`];
}

function byResource(lines: readonly string[]): readonly string[] {
  const resources = [...new Set(lines.map(resourceOf))];
  return resources.flatMap((resource) => lines.filter((line) => resourceOf(line) === resource));
}

function resourceOf(line: string): string {
  return line.slice(0, line.lastIndexOf(':'));
}

function metaDifferences(
  { expected, ...scenario }: Scenario,
  { type, name, meta }: AccessEntry,
  projects: readonly string[],
): readonly string[] {
  if (type === 'registry') return meta === undefined ? [] : [`${name}: has meta`];
  if (meta === undefined) return [`${name}: has no meta`];
  const ids = [meta.project_id, meta.root_namespace_id, meta.organization_id];
  const { hasTagRules, immutablePatterns } = scenario.world.rules;
  const immutable = expected.immutable === 'present' ? immutablePatterns : expected.immutable;
  return [
    ...(projects.includes(meta.project_path) && name.startsWith(meta.project_path)
      ? []
      : [`${name}: project_path ${meta.project_path}`]),
    ...(ids.every((id) => Number.isSafeInteger(id) && id > 0) ? [] : [`${name}: ids ${ids}`]),
    ...claimDifferences(
      'tag_deny_access_patterns',
      meta.tag_deny_access_patterns,
      expected.deny,
      hasTagRules,
    ),
    ...claimDifferences(
      'tag_immutable_patterns',
      meta.tag_immutable_patterns,
      immutable,
      immutablePatterns.length > 0,
    ),
  ];
}

/** If the row doesn't mention a claim, it may be there only if the project has such rules. */
function claimDifferences<T>(
  claim: string,
  actual: T | undefined,
  stated: Stated<unknown>,
  hasRules: boolean,
): readonly string[] {
  const said = stated === 'unstated' && !hasRules ? 'absent' : stated;
  const wrong = [`${claim} ${JSON.stringify(actual)}, not ${JSON.stringify(said)}`];
  if (said === 'unstated') return [];
  if (said === 'absent') return actual === undefined ? [] : wrong;
  if (said === 'present') return actual === undefined ? wrong : [];
  if (typeof said === 'number') return Array.isArray(actual) && actual.length === said ? [] : wrong;
  return isDeepStrictEqual(actual, said) ? [] : wrong;
}

function print(access: readonly AccessEntry[]): string {
  return (
    access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`).join(' ') || 'nothing'
  );
}
