import type { Sql } from '../database/drivers.ts';

const COUNT = `
WITH examples AS (SELECT decode(digest, 'hex') AS digest FROM jsonb_array_elements_text(($1::text)::jsonb) AS digest)
SELECT ((SELECT count(*) FROM access_tokens WHERE token_digest IN (SELECT digest FROM examples))
  + (SELECT count(*) FROM deploy_tokens WHERE token_digest IN (SELECT digest FROM examples))
  + (SELECT count(*) FROM job_tokens WHERE token_digest IN (SELECT digest FROM examples)))::int AS count`;

/** How many stored tokens have one of these SHA-256 digests, in hex. */
export async function countTokens(sql: Sql, digests: Iterable<string>): Promise<number> {
  const [row] = await sql.query<{ count: number }>(COUNT, [JSON.stringify([...digests])]);
  return row?.count ?? 0;
}
