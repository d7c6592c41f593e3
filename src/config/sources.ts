import { readFileSync } from 'node:fs';
import type { Problem } from '../errors.ts';
import { settings, variable } from './settings.ts';
import { type Path, readYaml } from './yaml.ts';

/**
 * The two places that settings come from: the environment, and the file that `CELLPASS_CONFIG`
 * names.
 */

export type Environment = Readonly<Record<string, string | undefined>>;

/** The command line or the tests read these, not the server. */
const OTHER_VARIABLES: ReadonlySet<string> = new Set([
  'CELLPASS_CONFIG',
  'CELLPASS_ADMIN_TOKEN',
  'CELLPASS_ADMIN_TOKEN_FILE',
  'CELLPASS_TEST_INSTALL',
]);

/** Settings whose variable is a list of names, which may hold spaces: commas separate them. */
const LISTS_OF_NAMES: ReadonlySet<string> = new Set(['services']);

/** Settings with a structure of their own, which one variable can't hold. */
const FILE_ONLY: ReadonlySet<string> = new Set(['keys', 'limits', 'registries', 'retention']);

export interface SettingsFile {
  /** Null where `CELLPASS_CONFIG` is not set. */
  readonly name: string | null;
  readonly content: Readonly<Record<string, unknown>>;
  readonly problems: readonly Problem[];
  readonly lineOf: (path: Path) => number;
}

export function readSettingsFile(name: string | undefined): SettingsFile {
  const empty = { name: name || null, content: {}, problems: [], lineOf: () => 1 };
  if (name === undefined || name === '') return empty;
  let text: string;
  try {
    text = readFileSync(name, 'utf8');
  } catch (error) {
    const message = `can't be read: ${error instanceof Error ? error.message : String(error)}`;
    return { ...empty, problems: [{ path: 'CELLPASS_CONFIG', message }] };
  }
  const { content, problems, lineOf } = readYaml(text);
  return {
    name,
    content: content ?? {},
    problems: problems.map((problem) => ({ ...problem, path: 'CELLPASS_CONFIG' })),
    lineOf,
  };
}

export interface SettingsFromEnvironment {
  /** By their names in the file. */
  readonly known: Readonly<Record<string, string | readonly string[]>>;
  /** Variables that begin with `CELLPASS_` but aren't settings. */
  readonly unknown: readonly string[];
}

/** An empty variable counts as one that isn't set. */
export function readEnvironment(environment: Environment): SettingsFromEnvironment {
  const names = Object.keys(settings.shape).filter((name) => !FILE_ONLY.has(name));
  const settingOf = new Map(names.map((name) => [variable(name), name]));
  const known: Record<string, string | readonly string[]> = {};
  const unknown: string[] = [];
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('CELLPASS_') || value === undefined || value === '') continue;
    const setting = settingOf.get(name);
    if (setting !== undefined) known[setting] = LISTS_OF_NAMES.has(setting) ? splitNames(value) : value;
    else if (!OTHER_VARIABLES.has(name)) unknown.push(name);
  }
  return { known, unknown };
}

function splitNames(text: string): readonly string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
