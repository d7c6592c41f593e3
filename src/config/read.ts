import { type CellpassError, invalidList, type Problem } from '../errors.ts';
import { contradictions } from './contradictions.ts';
import { explainIssue, IN_WORDS, SETTINGS, valueAt } from './issues.ts';
import { knownKeysAt } from './known-keys.ts';
import { blameFile, readSecretFiles } from './secret-files.ts';
import { type Settings, settings, variable } from './settings.ts';
import {
  type Environment,
  joinSettings,
  readEnvironment,
  readSettingsFile,
  type SettingsFile,
} from './sources.ts';
import type { Path } from './yaml.ts';

/** All settings, and where each comes from. */
export interface ReadSettings {
  /** Valid, alone and together, with the defaults. */
  readonly parsed: Settings;
  /** As they were given, with the content of secret files, and without defaults. */
  readonly given: Readonly<Record<string, unknown>>;
  /** The part of them that the environment gives. */
  readonly known: Readonly<Record<string, unknown>>;
  readonly file: SettingsFile;
  /** `CELLPASS_` variables that aren't settings. */
  readonly unknown: readonly string[];
}

/**
 * Reads and checks the settings of the environment and of the file.
 * @throws {CellpassError} `invalid`, with all problems, each with the name of its variable and, if
 *   it comes from the file, its line.
 */
export function readSettings(environment: Environment): ReadSettings {
  const file = readSettingsFile(environment['CELLPASS_CONFIG']);
  if (file.problems.length > 0) throw invalidSettings(file.problems, file.name);
  const { known, unknown } = readEnvironment(environment);
  const { given, issues: unread } = readSecretFiles(joinSettings(file.content, known));
  const parsed = settings.safeParse(given, IN_WORDS);
  const wrong = parsed.success
    ? contradictions(parsed.data)
    : parsed.error.issues.flatMap((issue) => explainIssue(issue, given, knownSettings, SETTINGS));
  const issues = [...unread, ...wrong.map((issue) => blameFile(issue, given))];
  if (parsed.success && issues.length === 0) return { parsed: parsed.data, given, known, file, unknown };
  const problems = issues.map(({ path, message }): Problem => {
    const isVariable = valueAt(known, path.slice(0, 2)) !== undefined;
    const isFromFile = !isVariable && String(path[0]) in file.content;
    return { ...(isFromFile && { line: file.lineOf(path) }), path: settingName(path, isVariable), message };
  });
  throw invalidSettings(problems, file.name);
}

/** The settings in the mapping at a path of the file. */
export function knownSettings(path: Path): readonly string[] {
  return knownKeysAt(settings, path);
}

/** `CELLPASS_KEYS.leaf_hours`; `CELLPASS_GITLAB_EDITION` for a variable of a section. */
export function settingName([first, second, ...rest]: Path, isVariable: boolean): string {
  const inSection = second === undefined ? [] : [second];
  if (isVariable && first === 'gitlab') return variable('gitlab', ...inSection.map(String));
  return [variable(String(first)), ...inSection, ...rest].join('.');
}

/** The error for settings that can't be used. */
export function invalidSettings(problems: readonly Problem[], file: string | null): CellpassError {
  const inOrder = problems.toSorted((one, other) => (one.line ?? 0) - (other.line ?? 0));
  return invalidList('the configuration is wrong', inOrder, file);
}
