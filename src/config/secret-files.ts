import { readFileSync } from 'node:fs';
import { CellpassError } from '../errors.ts';
import { type ExplainedIssue, isRecord, valueAt } from './issues.ts';
import { variable } from './settings.ts';

/**
 * Secrets in files: containers get them as mounted files rather than in the environment, which
 * other programs can read. Every variable that holds a secret has a second one with `_FILE`.
 */

/** The settings that hold a secret. */
const SECRETS: readonly (readonly string[])[] = [
  ['database_url'],
  ['gitlab', 'database_url'],
  ['gitlab', 'ci_database_url'],
  ['gitlab', 'write_database_url'],
];

type Given = Readonly<Record<string, unknown>>;

/** The settings with the content of the files, and what is wrong with the files. */
export function readSecretFiles(given: Given): {
  readonly given: Given;
  readonly issues: readonly ExplainedIssue[];
} {
  const issues: ExplainedIssue[] = [];
  let joined = given;
  for (const path of SECRETS) {
    const file = valueAt(given, fileSetting(path));
    if (typeof file !== 'string' || file === '') continue;
    try {
      refuseBoth(variable(...path), valueAt(given, path));
      joined = withValue(joined, path, readSecretFile(file));
    } catch (error) {
      issues.push({
        path: fileSetting(path),
        message: error instanceof Error ? error.message : String(error),
      });
    }
  }
  return { given: joined, issues };
}

function withValue(given: Given, [first = '', ...rest]: readonly string[], value: string): Given {
  const inside = given[first];
  return {
    ...given,
    [first]: rest.length === 0 ? value : withValue(isRecord(inside) ? inside : {}, rest, value),
  };
}

/** The setting that names the file of a secret, by its path; null: the setting holds no secret. */
export function fileOfSecret(path: readonly string[]): readonly string[] | null {
  const isSecret = SECRETS.some((one) => one.join('.') === path.join('.'));
  return isSecret ? fileSetting(path) : null;
}

/** Names the file instead of a setting that came from it, so that the operator looks there. */
export function blameFile({ path, message }: ExplainedIssue, given: Given): ExplainedIssue {
  const file = fileOfSecret(path.map(String));
  const isFromFile = file !== null && valueAt(given, file) !== undefined;
  return { path: isFromFile ? file : path, message };
}

/**
 * A secret from the environment: the value of the variable, or of the file that the variable with
 * `_FILE` names; undefined where neither is set.
 * @throws {CellpassError} `invalid` where both are set, and for a file that can't be used.
 */
export function secretOf(
  environment: Readonly<Record<string, string | undefined>>,
  name: string,
): string | undefined {
  const value = environment[name]?.trim() || undefined;
  const file = environment[`${name}_FILE`] || undefined;
  if (file === undefined) return value;
  try {
    refuseBoth(name, value);
    return readSecretFile(file);
  } catch (error) {
    throw invalid(`${name}_FILE: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function fileSetting(path: readonly string[]): readonly string[] {
  return [...path.slice(0, -1), `${path.at(-1)}_file`];
}

function refuseBoth(name: string, value: unknown): void {
  if (value !== undefined && value !== null && value !== '')
    throw invalid(`is set together with ${name}: set one of them`);
}

/** The content without white space around it: editors end a file with a line feed. */
function readSecretFile(file: string): string {
  // The error of the system would repeat it.
  if (file.includes('://')) throw invalid('must be the path of a file, but is a URL');
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw invalid(`can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (text === '') throw invalid(`${file} is empty`);
  return text;
}

function invalid(message: string): CellpassError {
  return new CellpassError('invalid', message);
}
