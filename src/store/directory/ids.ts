import type { Sql } from '../database/drivers.ts';
import type { IdSource } from './tables.ts';

export interface IdRequest {
  /** The highest id that a document gives; new ids are above it. 0: the document gives none. */
  readonly above: number;
  readonly count: number;
}

/**
 * New ids from a sequence that only goes up, so that the id of a removed row is never used again.
 */
export async function allocateIds(
  sql: Sql,
  source: IdSource,
  request: IdRequest,
): Promise<readonly number[]> {
  const sequence = source === 'unnamed' ? 'unnamed_ids' : `${source}_id_seq`;
  await sql.query(
    `SELECT setval('${sequence}', $1::bigint) FROM ${sequence} WHERE $1::bigint >= last_value`,
    [request.above],
  );
  // Skip ids that documents gave explicitly before.
  const unused =
    source === 'unnamed' ? 'true' : `NOT EXISTS (SELECT FROM ${source} AS t WHERE t.id = fresh.id)`;
  const ids: number[] = [];
  while (ids.length < request.count) {
    const rows = await sql.query<{ readonly id: number }>(
      `SELECT id FROM (SELECT nextval('${sequence}') AS id FROM generate_series(1, $1::int) OFFSET 0) AS fresh WHERE ${unused}`,
      [request.count - ids.length],
    );
    ids.push(...rows.map(({ id }) => id));
  }
  return ids.sort((a, b) => a - b);
}
