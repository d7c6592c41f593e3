import { z } from 'zod';
import { CellpassError } from '../errors.ts';
import { readDatabaseUrl, toDatabaseUrl } from './database-url.ts';
import { readDbKeyBase } from './gitlab-secrets.ts';
import type { ExplainedIssue } from './issues.ts';
import { railsSettings } from './rails.ts';

/** The section `gitlab` of the settings: GitLab's own database as the directory, and Rails. */

/** `ee`: what Rails counts only with a licence counts. */
type GitlabEdition = 'ce' | 'ee';

export interface GitlabSettings {
  /** For reading; the role may be one that can't write. */
  readonly databaseUrl: string;
  /** Null: CI's tables are in the main database. */
  readonly ciDatabaseUrl: string | null;
  /** Null: cellpass writes nothing there. */
  readonly writeDatabaseUrl: string | null;
  /** The file that has `db_key_base`. Its content is not kept here, because it opens every secret. */
  readonly secretsFile: string;
  readonly edition: GitlabEdition;
}

const url = z.string().transform(toDatabaseUrl);
const file = z.string().min(1);
export const gitlabSettings = z.strictObject({
  database_url: url.optional(),
  database_url_file: file.optional(),
  ci_database_url: url.optional(),
  ci_database_url_file: file.optional(),
  write_database_url: url.optional(),
  write_database_url_file: file.optional(),
  secrets_file: file.optional(),
  edition: z.enum(['ce', 'ee']).default('ce'),
  ...railsSettings,
});

type Given = z.output<typeof gitlabSettings>;

/** The settings of the section that a variable can hold. */
export const GITLAB_VARIABLES = [
  'database_url',
  'database_url_file',
  'ci_database_url',
  'ci_database_url_file',
  'write_database_url',
  'write_database_url_file',
  'secrets_file',
  'edition',
  'rails_url',
  'mode',
] as const;

const NEEDS_DATABASE = ['ci_database_url', 'write_database_url', 'secrets_file'] as const;

/** Settings of the section that are valid alone but not together, and an unusable secrets file. */
export function gitlabContradictions(given: Given, ownDatabaseUrl: string | undefined): ExplainedIssue[] {
  const at = (name: string, message: string): ExplainedIssue => ({ path: ['gitlab', name], message });
  if (given.database_url === undefined) {
    return NEEDS_DATABASE.filter((name) => given[name] !== undefined).map((name) =>
      at(name, 'needs CELLPASS_GITLAB_DATABASE_URL, the database of GitLab'),
    );
  }
  const problems: ExplainedIssue[] = [];
  if (isSame(given.database_url, ownDatabaseUrl)) problems.push(at('database_url', SAME_DATABASE));
  if (given.secrets_file === undefined) {
    problems.push(
      at(
        'secrets_file',
        "is missing: it must name GitLab's gitlab-secrets.json or secrets.yml, for db_key_base",
      ),
    );
    return problems;
  }
  try {
    readDbKeyBase(given.secrets_file);
  } catch (error) {
    problems.push(at('secrets_file', error instanceof Error ? error.message : String(error)));
  }
  return problems;
}

/** Why cellpass's own tables must not lie in GitLab's database. */
export const SAME_DATABASE =
  'is the database of CELLPASS_DATABASE_URL, too: cellpass needs a database of its own, beside that of GitLab';

/** Null: the directory is in cellpass's own tables. */
export function toGitlabSettings(given: Given): GitlabSettings | null {
  if (given.database_url === undefined) return null;
  if (given.secrets_file === undefined) throw new CellpassError('invalid', 'secrets_file is missing');
  return {
    databaseUrl: given.database_url,
    ciDatabaseUrl: given.ci_database_url ?? null,
    writeDatabaseUrl: given.write_database_url ?? null,
    secretsFile: given.secrets_file,
    edition: given.edition,
  };
}

/** Compares hosts and database; the same database behind two names is found when it is open. */
function isSame(one: string, other: string | undefined): boolean {
  if (other === undefined) return false;
  const labels = [one, other].map((text) => {
    const read = readDatabaseUrl(text);
    return 'label' in read ? read.label : text;
  });
  return labels[0] === labels[1];
}
