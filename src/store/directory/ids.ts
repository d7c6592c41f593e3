import type { Sql } from '../database/drivers.ts';
import { FIRST_UNNAMED_ID } from './rows.ts';
import type { IdSource } from './tables.ts';

export interface IdRequest {
  /** The highest id that a document gives; new ids are above it. 0: the document gives none. */
  readonly above: number;
  readonly count: number;
}

/** After so many statements that gave too few ids, the stored ids are no small gap. */
const ROUNDS_BEFORE_JUMP = 3;

/**
 * New ids, in ascending order, from a sequence that only goes up, so that the id of a removed row
 * is never used again. Skips ids that stored rows have, because documents or CI systems gave these
 * explicitly. If there are many, new ids continue after the highest stored id, so that a few
 * statements are enough.
 */
export async function allocateIds(
  sql: Sql,
  source: IdSource,
  { above, count }: IdRequest,
): Promise<readonly number[]> {
  const sequence = source === 'unnamed' ? 'unnamed_ids' : `${source}_id_seq`;
  await sql.query(
    `SELECT setval('${sequence}', $1::bigint) FROM ${sequence} WHERE $1::bigint >= last_value`,
    [above],
  );
  const unused =
    source === 'unnamed' ? 'true' : `NOT EXISTS (SELECT FROM ${source} AS t WHERE t.id = fresh.id)`;
  const ids: number[] = [];
  for (let round = 0; ids.length < count; round++) {
    if (round === ROUNDS_BEFORE_JUMP && source !== 'unnamed') await jump(sql, source);
    const rows = await sql.query<{ readonly id: number }>(
      `SELECT id FROM (SELECT nextval('${sequence}') AS id FROM generate_series(1, $1::int) OFFSET 0) AS fresh WHERE ${unused}`,
      [count - ids.length],
    );
    ids.push(...rows.map(({ id }) => id));
  }
  return ids.sort((a, b) => a - b);
}

/** Sets a sequence to the highest stored id. Bots and personal namespaces have ids far above. */
async function jump(sql: Sql, source: Exclude<IdSource, 'unnamed'>): Promise<void> {
  await sql.query(
    `SELECT setval('${source}_id_seq', highest) FROM ${source}_id_seq,
       (SELECT max(id) AS highest FROM ${source} WHERE id < $1) AS stored WHERE highest >= last_value`,
    [FIRST_UNNAMED_ID],
  );
}
