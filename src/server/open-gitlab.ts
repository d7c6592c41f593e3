import { type DatabaseUrl, readDatabaseUrl } from '../config/database-url.ts';
import { type GitlabSettings, SAME_DATABASE } from '../config/gitlab.ts';
import { CellpassError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Database, Sql } from '../store/database/drivers.ts';
import { hasTransactionPooler } from '../store/database/pooler.ts';
import { openPostgres } from '../store/database/postgres.ts';
import { unreachable } from './open-database.ts';

/** GitLab's databases, open. */
export interface OpenGitlab {
  readonly settings: GitlabSettings;
  readonly main: Database;
  /** Null: CI's tables are in the main database, or nobody has said where. */
  readonly ci: Database | null;
  /** Null: cellpass writes nothing there. */
  readonly write: Database | null;
  close(): Promise<void>;
}

/**
 * Each process has so many connections to a database of GitLab, because GitLab needs the others.
 * Two carry the questions of token requests; the pool looks at the database now and then.
 */
const READING = { maxConnections: 2, pipelinedConnections: 2 } as const;
const WRITING = { maxConnections: 2, pipelinedConnections: 0 } as const;

/**
 * Opens GitLab's databases. Behind a pooler in transaction mode nothing is prepared, which is
 * slower.
 * @throws {CellpassError} `unavailable` when the main one does not answer.
 */
export async function openGitlab(settings: GitlabSettings, log: Log): Promise<OpenGitlab> {
  const opened: Database[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(opened.map((database) => database.close()));
  };
  const open = async (url: string | null, use: Use): Promise<Database | null> => {
    if (url === null) return null;
    const database = await openOne(url, use, log);
    opened.push(database);
    return database;
  };
  try {
    const main = await open(settings.databaseUrl, MAIN);
    if (main === null) throw new CellpassError('invalid', `${MAIN.variable} is missing`);
    const ci = await open(settings.ciDatabaseUrl, CI);
    const write = await open(settings.writeDatabaseUrl, WRITE);
    return { settings, main, ci, write, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What a database is for. */
interface Use {
  readonly variable: string;
  readonly onlyReads: boolean;
  /** What fails while it is away; null: everything, so that nothing starts without it. */
  readonly missed: string | null;
}

const MAIN: Use = { variable: 'CELLPASS_GITLAB_DATABASE_URL', onlyReads: true, missed: null };
const CI: Use = { variable: 'CELLPASS_GITLAB_CI_DATABASE_URL', onlyReads: true, missed: 'job tokens' };
const WRITE: Use = {
  variable: 'CELLPASS_GITLAB_WRITE_DATABASE_URL',
  onlyReads: false,
  missed: 'first pushes to repositories that GitLab does not list',
};

async function openOne(url: string, use: Use, log: Log): Promise<Database> {
  const { variable, onlyReads } = use;
  const read = readDatabaseUrl(url);
  if ('problem' in read) throw new CellpassError('invalid', `${variable}: ${read.problem}`);
  const pooler = await lookForPooler(read, use, log);
  if (pooler) {
    log.warn(
      {},
      `${variable}: a pooler in transaction mode answers, so no statement is prepared, which takes longer`,
    );
  }
  return openPostgres(url, {
    ...(onlyReads ? READING : WRITING),
    onIdleError: (error) => log.warn({ err: error }, "a connection to GitLab's database broke"),
    // Without an answer a pooler may be there, and without prepared statements both work.
    preparedStatements: pooler === false,
    onlyReads,
  });
}

/** Undefined: it does not answer, and is not needed by all. */
async function lookForPooler(
  read: DatabaseUrl,
  { variable, onlyReads, missed }: Use,
  log: Log,
): Promise<boolean | undefined> {
  try {
    return await hasTransactionPooler(read, { onlyReads });
  } catch (error) {
    if (error instanceof CellpassError && error.code !== 'unavailable') throw error;
    const problem = unreachable(read, error, variable);
    if (missed === null) throw problem;
    log.error({ err: problem }, `${variable}: until it answers, ${missed} are answered with 503`);
    return undefined;
  }
}

/** Two tables of GitLab's whose names nobody else has together. */
const IS_GITLAB = `
  SELECT to_regclass('public.project_authorizations') IS NOT NULL
    AND to_regclass('public.personal_access_tokens') IS NOT NULL AS is_gitlab`;

/**
 * Must be asked before anything is written.
 * @throws {CellpassError} `conflict` when cellpass's own database is GitLab's.
 */
export async function refuseGitlabAsOwn(own: Sql): Promise<void> {
  const [row] = await own.query<{ is_gitlab: boolean }>(IS_GITLAB);
  if (row?.is_gitlab === true)
    throw new CellpassError('conflict', `CELLPASS_GITLAB_DATABASE_URL: ${SAME_DATABASE}`);
}
