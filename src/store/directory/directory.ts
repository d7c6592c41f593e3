import { lowerCaseAscii } from '../../ascii.ts';
import { CellpassError, type Problem } from '../../errors.ts';
import { AT_LENGTH, type Database, type Sql } from '../database/drivers.ts';
import type { DirectoryChanges, DirectoryRows, DirectoryTables, IdSource, TableName } from './rows.ts';
import { TABLES } from './tables.ts';

/** Any number that nothing else here locks; the same in every cellpass. */
const DIRECTORY_LOCK = 7_021_004;
/** Rows a statement: one that is too long stalls the embedded database, and with it the event loop. */
const ROWS_PER_STATEMENT = 5000;

/**
 * One transaction at a time that reads the whole directory, and writes what follows from it. Whoever else makes, changes or
 * removes what a document may name should hold this lock, too.
 */
export function changeDirectory<T>(database: Database, work: (sql: Sql) => Promise<T>): Promise<T> {
  return database.transaction(async (sql) => {
    await sql.query('SELECT pg_advisory_xact_lock($1)', [DIRECTORY_LOCK]);
    return work(sql);
  }, AT_LENGTH);
}

/** CI puts and deletes job tokens without the lock above; this one makes it wait, for a document that has some. */
export async function lockJobTokens(sql: Sql): Promise<void> {
  await sql.query('LOCK TABLE job_tokens IN SHARE ROW EXCLUSIVE MODE');
}

/** Everything that is stored, secrets only as digests. 100,000 projects are about 100 MB. */
export async function readDirectory(sql: Sql): Promise<DirectoryRows> {
  return {
    settings: await readTable(sql, 'settings'),
    organizations: await readTable(sql, 'organizations'),
    users: await readTable(sql, 'users'),
    organization_users: await readTable(sql, 'organization_users'),
    namespaces: await readTable(sql, 'namespaces'),
    projects: await readTable(sql, 'projects'),
    members: await readTable(sql, 'members'),
    group_group_links: await readTable(sql, 'group_group_links'),
    project_group_links: await readTable(sql, 'project_group_links'),
    job_token_project_links: await readTable(sql, 'job_token_project_links'),
    job_token_group_links: await readTable(sql, 'job_token_group_links'),
    protected_repositories: await readTable(sql, 'protected_repositories'),
    protected_tags: await readTable(sql, 'protected_tags'),
    access_tokens: await readTable(sql, 'access_tokens'),
    deploy_tokens: (await readTable(sql, 'deploy_tokens')).map(inUtc),
    project_deploy_tokens: await readTable(sql, 'project_deploy_tokens'),
    job_tokens: (await readTable(sql, 'job_tokens')).map(inUtc),
    revoked_secrets: await readTable(sql, 'revoked_secrets'),
  };
}

/** Rows as JSON, which reads alike on both drivers: ids as numbers, dates and digests as text. */
export async function readTable<T extends TableName>(
  sql: Sql,
  table: T,
): Promise<readonly DirectoryTables[T][]> {
  const rows = await sql.query<{ readonly row: DirectoryTables[T] }>(
    `SELECT to_jsonb(t) AS row FROM ${table} AS t`,
  );
  return rows.map(({ row }) => row);
}

/** JSON has a timestamp in the session's zone. */
function inUtc<R extends { readonly expires_at: string | null }>(row: R): R {
  return row.expires_at === null ? row : { ...row, expires_at: new Date(row.expires_at).toISOString() };
}

/** Everything is set-based: a statement for thousands of rows. Rows go after those that they refer to, and leave before them. */
export async function writeDirectory(sql: Sql, changes: Partial<DirectoryChanges>): Promise<void> {
  for (const table of tableNames()) {
    for (const rows of chunks(changes[table]?.upsert ?? []))
      await sql.query(upsert(table), [JSON.stringify(rows)]);
  }
  for (const table of tableNames().reverse()) {
    for (const rows of chunks(changes[table]?.remove ?? []))
      await sql.query(remove(table), [JSON.stringify(rows)]);
  }
}

function tableNames(): TableName[] {
  const isTable = (name: string): name is TableName => name in TABLES;
  return Object.keys(TABLES).filter(isTable);
}

/** Names come from `TABLES` alone; the rows are one JSON parameter. */
function upsert(table: TableName): string {
  const key: readonly string[] = TABLES[table].key;
  const columns: readonly string[] = TABLES[table].columns;
  const list = columns.join(', ');
  const changing = columns.filter((column) => !key.includes(column));
  const sets = changing.map((column) => `${column} = excluded.${column}`).join(', ');
  return `
    INSERT INTO ${table} (${list}) SELECT ${list} FROM jsonb_populate_recordset(NULL::${table}, $1::jsonb)
    ON CONFLICT (${key.join(', ')}) DO ${sets === '' ? 'NOTHING' : `UPDATE SET ${sets}`}`;
}

function remove(table: TableName): string {
  const same = TABLES[table].key.map((column) => `stored.${column} = gone.${column}`).join(' AND ');
  return `DELETE FROM ${table} AS stored USING jsonb_populate_recordset(NULL::${table}, $1::jsonb) AS gone WHERE ${same}`;
}

function* chunks(rows: readonly object[]): Generator<readonly object[]> {
  for (let from = 0; from < rows.length; from += ROWS_PER_STATEMENT) {
    yield rows.slice(from, from + ROWS_PER_STATEMENT);
  }
}

export interface IdRequest {
  /** The highest id that was given explicitly; later ids are above it. 0: none. */
  readonly above: number;
  readonly count: number;
}

const SEQUENCES: Record<IdSource, { readonly sequence: string; readonly table: TableName | null }> = {
  organizations: { sequence: 'organizations_id_seq', table: 'organizations' },
  users: { sequence: 'users_id_seq', table: 'users' },
  namespaces: { sequence: 'namespaces_id_seq', table: 'namespaces' },
  projects: { sequence: 'projects_id_seq', table: 'projects' },
  access_tokens: { sequence: 'access_tokens_id_seq', table: 'access_tokens' },
  deploy_tokens: { sequence: 'deploy_tokens_id_seq', table: 'deploy_tokens' },
  job_tokens: { sequence: 'job_tokens_id_seq', table: 'job_tokens' },
  unnamed: { sequence: 'unnamed_ids', table: null },
};

/** New ids from a sequence that never goes back, so that the id of a removed entry is not given again. */
export async function allocateIds(
  sql: Sql,
  source: IdSource,
  request: IdRequest,
): Promise<readonly number[]> {
  const { sequence, table } = SEQUENCES[source];
  await sql.query(
    `SELECT setval('${sequence}', $1::bigint) FROM ${sequence} WHERE $1::bigint >= last_value`,
    [request.above],
  );
  const ids: number[] = [];
  while (ids.length < request.count) {
    // An id that was given explicitly elsewhere is passed over.
    const unused = table === null ? 'true' : `NOT EXISTS (SELECT FROM ${table} AS t WHERE t.id = fresh.id)`;
    const rows = await sql.query<{ readonly id: number }>(
      `SELECT id FROM (SELECT nextval('${sequence}') AS id FROM generate_series(1, $1::int) OFFSET 0) AS fresh WHERE ${unused}`,
      [request.count - ids.length],
    );
    ids.push(...rows.map(({ id }) => id));
  }
  return ids.sort((a, b) => a - b);
}

export interface JobToken {
  /** The job's id, which its CI system gives. */
  readonly id: number;
  /** Path. */
  readonly project: string;
  /** User name; null for a job without a user. */
  readonly user: string | null;
  readonly running: boolean;
  readonly expiresAt: Date | null;
  /** SHA-256 of the secret. */
  readonly digest: Uint8Array;
}

interface References {
  readonly project_id: number | null;
  readonly user_id: number | null;
  readonly taken: boolean;
  readonly revoked: boolean;
  readonly [column: string]: unknown;
}

const FIND_REFERENCES = `
  SELECT
    (SELECT id FROM projects WHERE path_key = $1) AS project_id,
    (SELECT id FROM users WHERE username_key = $2) AS user_id,
    EXISTS (SELECT FROM job_tokens WHERE token_digest = $3 AND id <> $4)
      OR EXISTS (SELECT FROM access_tokens WHERE token_digest = $3)
      OR EXISTS (SELECT FROM deploy_tokens WHERE token_digest = $3) AS taken,
    EXISTS (SELECT FROM revoked_secrets WHERE token_digest = $3) AS revoked`;

/**
 * Makes a job's token known, or changes it. A secret that was revoked once, in whatever kind of token, never runs.
 * @throws {CellpassError} `invalid`: the project or the user is unknown; `conflict`: the secret belongs to another token.
 */
export async function putJobToken(database: Database, token: JobToken): Promise<void> {
  await database.transaction(async (sql) => {
    const found = await findReferences(sql, token);
    await sql.query(
      `INSERT INTO job_tokens (id, project_id, user_id, running, expires_at, token_digest) VALUES ($1, $2, $3, $4, $5, $6)
       ON CONFLICT (id) DO UPDATE SET project_id = excluded.project_id, user_id = excluded.user_id,
         running = excluded.running, expires_at = excluded.expires_at, token_digest = excluded.token_digest`,
      [
        token.id,
        found.projectId,
        found.userId,
        token.running && !found.revoked,
        token.expiresAt,
        token.digest,
      ],
    );
  });
}

interface Found {
  readonly projectId: number;
  readonly userId: number | null;
  readonly revoked: boolean;
}

async function findReferences(sql: Sql, { id, project, user, digest }: JobToken): Promise<Found> {
  const keys = [lowerCaseAscii(project), user === null ? null : lowerCaseAscii(user)];
  const [row] = await sql.query<References>(FIND_REFERENCES, [...keys, digest, id]);
  const projectId = row?.project_id ?? null;
  const userId = row?.user_id ?? null;
  const problems: Problem[] = [];
  if (projectId === null) problems.push({ path: 'project', message: `unknown project "${project}"` });
  if (user !== null && userId === null) problems.push({ path: 'user', message: `unknown user "${user}"` });
  if (projectId === null || problems.length > 0) {
    throw new CellpassError('invalid', 'the job token names what is not there', { problems });
  }
  if (row?.taken === true) throw new CellpassError('conflict', 'this secret belongs to another token');
  return { projectId, userId, revoked: row?.revoked === true };
}

/** False when there was none. */
export async function deleteJobToken(sql: Sql, id: number): Promise<boolean> {
  const rows = await sql.query('DELETE FROM job_tokens WHERE id = $1 RETURNING id', [id]);
  return rows.length > 0;
}
