import { CellpassError, type Problem } from '../errors.ts';
import { lowerCaseAscii } from '../policy/scope.ts';
import type { Database, Sql } from './drivers.ts';

export interface JobToken {
  /** The job's id, which its CI system gives. */
  readonly id: number;
  readonly projectPath: string;
  /** Null for a job without a user. */
  readonly username: string | null;
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

async function findReferences(sql: Sql, { id, projectPath, username, digest }: JobToken): Promise<Found> {
  const keys = [lowerCaseAscii(projectPath), username === null ? null : lowerCaseAscii(username)];
  const [row] = await sql.query<References>(FIND_REFERENCES, [...keys, digest, id]);
  const projectId = row?.project_id ?? null;
  const userId = row?.user_id ?? null;
  const problems: Problem[] = [];
  if (projectId === null) problems.push({ path: 'project', message: `unknown project "${projectPath}"` });
  if (username !== null && userId === null)
    problems.push({ path: 'user', message: `unknown user "${username}"` });
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
