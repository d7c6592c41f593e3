import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { CellpassError } from '../errors.ts';

/** GitLab's own file of secrets, of which cellpass reads `db_key_base` alone. */

/** Omnibus keeps the secrets of each program in a part of its own. */
const PLACES: readonly (readonly string[])[] = [
  ['gitlab_rails', 'db_key_base'],
  ['production', 'db_key_base'],
  ['db_key_base'],
];

/**
 * The values of `db_key_base` in Omnibus' `gitlab-secrets.json` or Rails' `secrets.yml`, the current
 * one last (a list, while GitLab changes its key).
 * @throws {CellpassError} `invalid` where the file can't be read or has no such value. The message
 *   never has any of its content.
 */
export function readDbKeyBase(path: string): readonly string[] {
  let content: unknown;
  try {
    // JSON is YAML, too.
    content = parse(readText(path), { logLevel: 'silent' });
  } catch (error) {
    if (error instanceof CellpassError) throw error;
    throw invalid(`${path} is neither JSON nor YAML`);
  }
  const found = PLACES.map((place) => dig(content, place)).find((value) => value !== undefined);
  if (found === undefined) {
    throw invalid(
      `${path} has no db_key_base: it must be GitLab's gitlab-secrets.json (in the part gitlab_rails) or secrets.yml (production)`,
    );
  }
  const keys: readonly unknown[] = Array.isArray(found) ? found : [found];
  const texts = keys.filter((key) => typeof key === 'string' && key !== '');
  if (texts.length === 0 || texts.length < keys.length)
    throw invalid(`db_key_base in ${path} must be a text, or a list of texts whose last is the current one`);
  return texts.map(String);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    // The error of the system names the path and the cause.
    throw invalid(`can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function dig(content: unknown, [name, ...rest]: readonly string[]): unknown {
  if (name === undefined) return content;
  if (typeof content !== 'object' || content === null) return undefined;
  return dig(Object.entries(content).find(([key]) => key === name)?.[1], rest);
}

function invalid(message: string): CellpassError {
  return new CellpassError('invalid', message);
}
