import { ACTIONS } from '../../../../src/policy/role.ts';
import { clauses, NotUnderstood } from './phrases.ts';

/** Parses the column `requested`: scopes on the row's projects. */

/** One scope as the client sends it. */
export interface AskedScope {
  /** The name by which the column `granted` refers to this scope. */
  readonly label: string;
  readonly text: string;
  readonly type: string;
  /** The resource name that the token must contain. */
  readonly name: string;
  readonly actions: readonly string[];
}

/** One request; a row with `any` or `or` has several. */
export interface Question {
  readonly words: string;
  readonly scopes: readonly AskedScope[];
  /** One `scope` parameter for each scope, or all in one. */
  readonly joined: boolean;
}

/** The paths of what a row can ask about. */
export interface Paths {
  readonly top: string;
  /** The paths by label, in the row's order. */
  readonly targets: ReadonlyMap<string, string>;
}

/**
 * Actions that no registry knows. Only these, so that a typing error is not taken for an unknown
 * action.
 */
const UNKNOWN_ACTIONS: ReadonlySet<string> = new Set([
  'foo',
  'bar',
  'baz',
  'unknown',
  'invalid',
  'mount',
  'list',
  'read',
  'write',
]);

export const ANY = /^any(?: ?\((?:several|all)\))?$/;

export function readRequest(cell: string, paths: Paths): readonly Question[] {
  if (ANY.test(cell)) return ['(no scope)', 'pull', 'pull;push'].map((words) => readQuestion(words, paths));
  return cell.split(' or ').map((words) => readQuestion(words.trim(), paths));
}

function readQuestion(words: string, paths: Paths): Question {
  if (/^\(?no scopes?\)?$/.test(words)) return { words, scopes: [], joined: false };
  const twice = /^same (?:repo(?:sitory)?|scope) twice: ([^+]+)$/.exec(words)?.[1];
  const [, separate] =
    /^(\S+) (?:as|in) (?:two|separate|several) (?:scopes|parameters|scope parameters)$/.exec(words) ?? [];
  if (twice !== undefined) return readQuestion(`${twice} + ${twice}`, paths);
  if (separate !== undefined) return readQuestion(separate.replaceAll(';', ' + '), paths);
  const joined = /^one parameter: /.test(words);
  const parts = words
    .replace(/^(?:one parameter|two scopes|several scopes|same (?:repo(?:sitory)?|scope) twice): /, '')
    .split(/ \+ | and /);
  return { words, scopes: parts.flatMap((part) => readScopes(part.trim(), paths)), joined };
}

function readScopes(words: string, paths: Paths): readonly AskedScope[] {
  const verbatim = clauses(words);
  if (verbatim.length > 0 && verbatim.every((text) => /^[\w()]+:\S+$/.test(text) && !text.startsWith('path')))
    return verbatim.map((text) => asWritten(text, paths));
  const [, count, many] = /^(\d+) (\S+) scopes$/.exec(words) ?? [];
  if (count !== undefined && many !== undefined) return severalScopes(Number(count), actionsIn(many), paths);
  const [, head = '', tail] = /^(.*): (.+)$/.exec(words) ?? [];
  if (tail !== undefined) return [inAnotherForm(head, actionsIn(tail), paths)];
  const [, repository, actions] = /^((?:blocked|other) repo)(?:sitory)? (.+)$/.exec(words) ?? [];
  if (repository !== undefined && actions !== undefined)
    return [ofProtected(repository, actionsIn(actions), paths)];
  return [scope('project', onlyTarget(paths), actionsIn(words))];
}

/** The placeholder for the project's path in a scope that is written out. */
const PLACEHOLDER = /<(?:path|project)>|\{(?:path|project)\}|\bPATH\b/;

/** `type:name:actions` as the row has it; the name ends at the last colon. */
function asWritten(words: string, paths: Paths): AskedScope {
  const text = PLACEHOLDER.test(words) ? words.replace(PLACEHOLDER, onlyTarget(paths)) : words;
  const label = text === words ? text : 'project';
  const first = text.indexOf(':');
  const last = text.lastIndexOf(':');
  const name = text.slice(first + 1, Math.max(first + 1, last));
  const type = text.slice(0, first).replace(/\(.*\)$/, '');
  return { label, text, type, name: name.toLowerCase(), actions: text.slice(last + 1).split(',') };
}

function severalScopes(count: number, actions: readonly string[], paths: Paths): readonly AskedScope[] {
  if (paths.targets.size === count)
    return [...paths.targets].map(([label, path]) => scope(label, path, actions));
  if (paths.targets.size > 1)
    throw new NotUnderstood(`${count} scopes on ${paths.targets.size} projects`, 'requested');
  return Array.from({ length: count }, (_, at) =>
    scope('project', `${onlyTarget(paths)}/image-${at}`, actions),
  );
}

function ofProtected(repository: string, actions: readonly string[], paths: Paths): AskedScope {
  const folder = repository === 'blocked repo' ? 'blocked' : 'other';
  return scope(repository, `${onlyTarget(paths)}/${folder}`, actions);
}

type Form = (path: string, actions: readonly string[], match: readonly string[], top: string) => AskedScope;

/**
 * Names and scopes of unusual form. A dropped scope has a name, too, although the row grants
 * nothing.
 */
const FORMS: Readonly<Record<string, Form>> = {
  'one-component path': (_, actions, __, top) => scope('project', top, actions),
  'path (\\d+) levels? below(?: the)? project': (path, actions, [, levels]) =>
    scope(
      'project',
      [path, ...Array.from({ length: Number(levels) }, (_, at) => `level-${at + 1}`)].join('/'),
      actions,
    ),
  '(?:upper|mixed)[- ]case path|path in (?:upper|mixed) case': (path, actions) =>
    spelled(`repository:${path.toUpperCase()}:${actions}`, path, actions),
  'path with(?: a)? trailing slash': (path, actions) => scope('project', `${path}/`, actions),
  'path with(?: a)? leading slash': (path, actions) => scope('project', `/${path}`, actions),
  'path with(?: a)? double slash': (path, actions) => scope('project', path.replace('/', '//'), actions),
  'path with (?:dot segments|\\.\\.)': (path, actions) => scope('project', `${path}/../app`, actions),
  'path with(?: a)? (?:host and )?port|host:port/path': (path, actions) =>
    scope('project', `registry.example.com:5000/${path}`, actions),
  '(?:path with )?(?:a )?class|repository\\(plugin\\)': (path, actions) =>
    spelled(`repository(plugin):${path}:${actions}`, path, actions),
  '(?:unknown|non-?existent|no such) (?:project|path)': (_, actions, __, top) =>
    scope('project', `${top}/nowhere`, actions),
  'path (?:of|with) (\\d+) components': (path, actions, [, count]) => {
    const rest = Array.from({ length: Number(count) - path.split('/').length }, (_, at) => `part-${at + 1}`);
    return scope('project', [path, ...rest].join('/'), actions);
  },
  'unknown type': (path, actions) => ({
    ...spelled(`image:${path}:${actions}`, path, actions),
    type: 'image',
  }),
};

function inAnotherForm(words: string, actions: readonly string[], paths: Paths): AskedScope {
  for (const [pattern, form] of Object.entries(FORMS)) {
    const match = new RegExp(`^(?:${pattern})$`, 'i').exec(words);
    if (match !== null) return form(onlyTarget(paths), actions, match, paths.top);
  }
  throw new NotUnderstood(words, 'requested');
}

function actionsIn(words: string): readonly string[] {
  const actions = words.split(/[;,]/).map((word) => word.trim());
  const odd = actions.find(
    (action) => !ACTIONS.some((known) => known === action) && !UNKNOWN_ACTIONS.has(action),
  );
  if (odd !== undefined) throw new NotUnderstood(odd || 'an empty cell', 'requested');
  return actions;
}

function scope(label: string, name: string, actions: readonly string[]): AskedScope {
  return { ...spelled(`repository:${name}:${actions}`, name, actions), label };
}

function spelled(text: string, name: string, actions: readonly string[]): AskedScope {
  return { label: 'project', text, type: 'repository', name, actions };
}

function onlyTarget({ targets }: Paths): string {
  const [path, ...others] = targets.values();
  if (path === undefined || others.length > 0)
    throw new NotUnderstood('one scope on several projects', 'requested');
  return path;
}
