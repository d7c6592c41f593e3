import { lowerCaseAscii } from '../ascii.ts';
import { ACTIONS, type Action } from './role.ts';

/** The actions that a request asks for on one resource. Scopes of the same resource are joined. */
export interface ResourceScope {
  readonly type: 'repository' | 'registry';
  readonly name: string;
  /** In the order asked, each once. */
  readonly actions: readonly Action[];
}

/** A scope that is ignored, and why. */
export interface DroppedScope {
  readonly text: string;
  readonly why: 'syntax' | 'unknown_type' | 'name' | 'no_known_action';
}

export interface AskedScopes {
  readonly scopes: readonly ResourceScope[];
  readonly dropped: readonly DroppedScope[];
}

const TYPE = /^([a-z0-9]+)(?:\([a-z0-9]+\))?$/;
const COMPONENT = '[a-z0-9]+(?:(?:[.]|_{1,2}|-+)[a-z0-9]+)*';
const REPOSITORY_NAME = new RegExp(`^${COMPONENT}(?:/${COMPONENT}){1,18}$`);
/** distribution's RepositoryNameTotalLengthMax. */
const MAX_NAME_LENGTH = 255;
const REGISTRY_NAMES: ReadonlySet<string> = new Set(['catalog', 'statistics', 'background-migrations']);
const MIN_PROJECT_COMPONENTS = 2;
/** The repository of an image is the path of the project, or up to two components below it. */
const MAX_IMAGE_COMPONENTS = 2;

/** A value may hold several scopes, separated by white space. */
export function splitScopes(values: readonly string[]): readonly string[] {
  return values.flatMap((value) => value.split(/\s+/)).filter((text) => text !== '');
}

/**
 * Joins the scopes of each resource, in the order of first mention. A scope that doesn't parse is
 * ignored; it is no error.
 */
export function parseScopes(texts: readonly string[]): AskedScopes {
  const actionsByResource = new Map<string, { scope: ResourceScope; actions: Set<Action> }>();
  const dropped: DroppedScope[] = [];
  for (const text of texts) {
    const scope = parseScope(text);
    if ('why' in scope) {
      dropped.push(scope);
      continue;
    }
    const resource = `${scope.type}:${scope.name}`;
    const known = actionsByResource.get(resource) ?? { scope, actions: new Set<Action>() };
    for (const action of scope.actions) known.actions.add(action);
    actionsByResource.set(resource, known);
  }
  const scopes = [...actionsByResource.values()].map(({ scope, actions }) => ({
    ...scope,
    actions: [...actions],
  }));
  return { scopes, dropped };
}

/**
 * `type[(class)]:name:action[,action]*` (distribution's `scope.md`): the type ends at the first
 * colon, the actions follow the last one, so that a name with a port in it still parses (and is
 * then dropped by its name).
 */
export function parseScope(text: string): ResourceScope | DroppedScope {
  const first = text.indexOf(':');
  const last = text.lastIndexOf(':');
  const type = TYPE.exec(text.slice(0, Math.max(first, 0)))?.[1];
  if (type === undefined || first === last) return { text, why: 'syntax' };
  if (type !== 'repository' && type !== 'registry') return { text, why: 'unknown_type' };
  const name = lowerCaseAscii(text.slice(first + 1, last));
  if (!isName(type, name)) return { text, why: 'name' };
  const actions = readActions(type, text.slice(last + 1));
  return actions.length === 0 ? { text, why: 'no_known_action' } : { type, name, actions };
}

/** The inverse of `parseScope`. */
export function printScope(scope: ResourceScope): string {
  return `${scope.type}:${scope.name}:${scope.actions.join(',')}`;
}

/** The paths of projects that could own a repository with this name, longest first. */
export function projectPaths(repositoryName: string): readonly string[] {
  const components = repositoryName.split('/');
  const shortest = Math.max(MIN_PROJECT_COMPONENTS, components.length - MAX_IMAGE_COMPONENTS);
  const paths: string[] = [];
  for (let length = components.length; length >= shortest; length--) {
    paths.push(components.slice(0, length).join('/'));
  }
  return paths;
}

function isName(type: 'repository' | 'registry', name: string): boolean {
  if (type === 'registry') return REGISTRY_NAMES.has(name);
  return name.length <= MAX_NAME_LENGTH && REPOSITORY_NAME.test(name);
}

/**
 * Ignores unknown actions. An unknown action makes a registry scope, which is all or nothing,
 * empty.
 */
function readActions(type: ResourceScope['type'], list: string): readonly Action[] {
  const asked = [...new Set(list.split(','))];
  const known = asked.filter((action): action is Action => ACTIONS.some((one) => one === action));
  return type === 'registry' && known.length < asked.length ? [] : known;
}
