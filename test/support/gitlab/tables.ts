import { readFileSync } from 'node:fs';
import type { Sql } from '../../../src/store/database/drivers.ts';

/** Versions of GitLab that differ in what cellpass reads. */
export const GITLAB_VERSIONS = ['17.4', '18.2', '19.5'] as const;
export type GitlabVersion = (typeof GITLAB_VERSIONS)[number];
export const NEWEST: GitlabVersion = '19.5';

const TEXT = readFileSync(new URL('tables.sql', import.meta.url), 'utf8');

/** The statements that make the tables of this version. */
export function gitlabTables(version: GitlabVersion): string {
  const hasCome = (text: string): boolean => {
    const since = /-- since (\d+\.\d+)/.exec(text)?.[1];
    return since === undefined || Number(version) >= Number(since);
  };
  return TEXT.split(/\n\n/)
    .filter((statement) => !statement.startsWith('-- since') || hasCome(statement.split('\n')[0] ?? ''))
    .map((statement) => statement.split('\n').filter(hasCome).join('\n'))
    .join('\n\n');
}

const CI_TABLES = ['p_ci_builds', 'ci_job_token_project_scope_links', 'ci_job_token_group_scope_links'];
const REFUSE_WRITES = `
  CREATE FUNCTION gitlab_schema_prevent_write() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN RAISE EXCEPTION ''Table: "%" is write protected within this GitLab database.'', TG_TABLE_NAME; END'`;

/** As GitLab does with CI's tables in the main database, where CI has a database of its own. */
export async function moveCiAway(sql: Sql): Promise<void> {
  await sql.execute(REFUSE_WRITES);
  for (const table of CI_TABLES) {
    await sql.execute(
      `CREATE TRIGGER gitlab_schema_write_trigger_for_${table} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ${table}
         FOR EACH STATEMENT EXECUTE FUNCTION gitlab_schema_prevent_write()`,
    );
  }
}
