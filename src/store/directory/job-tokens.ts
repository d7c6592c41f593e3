import { lowerCaseAscii } from '../../ascii.ts';
import { CellpassError, type Problem, printProblems } from '../../errors.ts';
import type { Database, Sql } from '../database/drivers.ts';

export interface JobToken {
  /** The id that the CI system gave to the job. */
  readonly id: number;
  /** The path of the project. */
  readonly project: string;
  /** The user name; null for a job without a user. */
  readonly user: string | null;
  readonly running: boolean;
  readonly expiresAt: Date | null;
  /** SHA-256 of the secret. */
  readonly digest: Uint8Array;
}

interface ReferencesRow {
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
 * Adds the token of a job, or changes it. A secret that was revoked in a token of any kind is
 * stored as not running.
 * @throws {CellpassError} `invalid`: there is no such project or user; `conflict`: another token
 *   has the secret.
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

interface JobReferences {
  readonly projectId: number;
  readonly userId: number | null;
  readonly revoked: boolean;
}

async function findReferences(sql: Sql, { id, project, user, digest }: JobToken): Promise<JobReferences> {
  const keys = [lowerCaseAscii(project), user === null ? null : lowerCaseAscii(user)];
  const [row] = await sql.query<ReferencesRow>(FIND_REFERENCES, [...keys, digest, id]);
  const projectId = row?.project_id ?? null;
  const userId = row?.user_id ?? null;
  const problems: Problem[] = [];
  if (projectId === null) problems.push({ path: 'project', message: `there is no project "${project}"` });
  if (user !== null && userId === null)
    problems.push({ path: 'user', message: `there is no user "${user}"` });
  if (projectId === null || problems.length > 0) {
    throw new CellpassError('invalid', `the job token can't be stored: ${printProblems(problems)}`, {
      problems,
    });
  }
  if (row?.taken === true)
    throw new CellpassError(
      'conflict',
      'another token has this secret already: generate a new secret for the job',
    );
  return { projectId, userId, revoked: row?.revoked === true };
}

/** False when there was no such token. */
export async function deleteJobToken(sql: Sql, id: number): Promise<boolean> {
  const rows = await sql.query('DELETE FROM job_tokens WHERE id = $1 RETURNING id', [id]);
  return rows.length > 0;
}
