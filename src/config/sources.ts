import { readFileSync } from 'node:fs';
import type { Problem } from '../errors.ts';
import { isMapping } from '../mapping.ts';
import { nearestName } from '../nearest-name.ts';
import { isRecord } from './issues.ts';
import { settingsOfVariables, settingsOnlyInFile, variable } from './settings.ts';
import { notUtf8 } from './utf8.ts';
import { type Path, readYaml } from './yaml.ts';

/**
 * The two places that settings come from: the environment, and the file that `CELLPASS_CONFIG`
 * names.
 */

export type Environment = Readonly<Record<string, string | undefined>>;

/** Variables that no settings file can hold: its own name, and what only the command line reads. */
export const CLIENT_VARIABLES = [
  'CELLPASS_CONFIG',
  'CELLPASS_ADMIN_URL',
  'CELLPASS_ADMIN_TOKEN',
  'CELLPASS_ADMIN_TOKEN_FILE',
] as const;
/** The command line or the tests read these, not the server. */
const OTHER_VARIABLES: ReadonlySet<string> = new Set([...CLIENT_VARIABLES, 'CELLPASS_TEST_INSTALL']);

/** Settings whose variable is a list of names, which may hold spaces: commas separate them. */
const LISTS_OF_NAMES: ReadonlySet<string> = new Set(['services']);

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
  let bytes: Buffer;
  try {
    bytes = readFileSync(name);
  } catch (error) {
    const message = `can't be read: ${error instanceof Error ? error.message : String(error)}`;
    return { ...empty, problems: [{ path: 'CELLPASS_CONFIG', message }] };
  }
  const problem = notUtf8(bytes);
  if (problem !== null)
    return { ...empty, problems: [{ line: 1, path: 'CELLPASS_CONFIG', message: problem }] };
  const { content, problems, lineOf } = readYaml(bytes.toString('utf8'));
  return {
    name,
    content: content ?? {},
    problems: problems.map((problem) => ({ ...problem, path: 'CELLPASS_CONFIG' })),
    lineOf,
  };
}

export interface SettingsFromEnvironment {
  /** As the file would have them. */
  readonly known: Readonly<Record<string, unknown>>;
  /** Variables that begin with `CELLPASS_` but aren't settings. */
  readonly unknown: readonly string[];
}

/** An unknown variable, with the name that was probably meant, or the place of the setting. */
export function describeUnknownVariable(name: string): string {
  const rest = (variableName: string): string => variableName.slice('CELLPASS_'.length);
  const known = [...settingsOfVariables().map((path) => variable(...path)), ...CLIENT_VARIABLES];
  const nearest = nearestName(rest(name), known.map(rest));
  if (nearest !== null) return `${name} (did you mean CELLPASS_${nearest}?)`;
  const inFile = settingsOnlyInFile().find((path) => variable(...path) === name);
  return inFile === undefined ? name : `${name} (set ${inFile.join('.')} in the file of CELLPASS_CONFIG)`;
}

/** An empty variable counts as one that isn't set. */
export function readEnvironment(environment: Environment): SettingsFromEnvironment {
  const settingOf = new Map(settingsOfVariables().map((path) => [variable(...path), path]));
  const known: Record<string, unknown> = {};
  const inSections: Record<string, Record<string, string>> = {};
  const unknown: string[] = [];
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('CELLPASS_') || value === undefined || value === '') continue;
    const setting = settingOf.get(name);
    const [first = '', second] = setting ?? [];
    if (second !== undefined) inSections[first] = { ...inSections[first], [second]: value };
    else if (first !== '') known[first] = LISTS_OF_NAMES.has(first) ? splitNames(value) : value;
    else if (!OTHER_VARIABLES.has(name)) unknown.push(name);
  }
  return { known: { ...known, ...inSections }, unknown };
}

/** The settings of both; a variable wins over the file, also inside a section. */
export function joinSettings(
  file: Readonly<Record<string, unknown>>,
  known: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const joined: Record<string, unknown> = { ...file, ...known };
  for (const [name, section] of Object.entries(known)) {
    const inFile = file[name];
    if (isMapping(section) && isRecord(inFile)) joined[name] = { ...inFile, ...section };
  }
  return joined;
}

function splitNames(text: string): readonly string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
