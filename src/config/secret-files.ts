import { readFileSync } from 'node:fs';
import { CellpassError } from '../errors.ts';
import type { ExplainedIssue } from './issues.ts';
import { variable } from './settings.ts';

/**
 * Secrets in files: containers get them as mounted files rather than in the environment, which
 * other programs can read. Every variable that holds a secret has a second one with `_FILE`.
 */

/** The settings that hold a secret. */
const SECRETS = ['database_url'] as const;

type Given = Readonly<Record<string, unknown>>;

/** The settings with the content of the files, and what is wrong with the files. */
export function readSecretFiles(given: Given): {
  readonly given: Given;
  readonly issues: readonly ExplainedIssue[];
} {
  const issues: ExplainedIssue[] = [];
  const secrets: Record<string, string> = {};
  for (const name of SECRETS) {
    const file = given[fileSetting(name)];
    if (typeof file !== 'string' || file === '') continue;
    try {
      refuseBoth(variable(name), given[name]);
      secrets[name] = readSecretFile(file);
    } catch (error) {
      issues.push({
        path: [fileSetting(name)],
        message: error instanceof Error ? error.message : String(error),
      });
    }
  }
  return { given: { ...given, ...secrets }, issues };
}

/** Names the file instead of a setting that came from it, so that the operator looks there. */
export function blameFile({ path: [first, ...rest], message }: ExplainedIssue, given: Given): ExplainedIssue {
  const name = String(first);
  const isFromFile = SECRETS.some((secret) => secret === name) && given[fileSetting(name)] !== undefined;
  return { path: [isFromFile ? fileSetting(name) : name, ...rest], message };
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

function fileSetting(name: string): string {
  return `${name}_file`;
}

function refuseBoth(name: string, value: unknown): void {
  if (value !== undefined && value !== null && value !== '')
    throw invalid(`is set together with ${name}: set one of them`);
}

/** The content without white space around it: editors end a file with a line feed. */
function readSecretFile(file: string): string {
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
