import type { Sql } from '../../store/database/drivers.ts';
import { findRows } from '../../store/directory/read-rows.ts';
import type { NewRow } from '../../store/history/history.ts';

/** Tables whose rows have columns that say who added them; see `writeDirectory`. */
const WITH_ORIGIN = ['access_tokens', 'deploy_tokens'] as const;

/**
 * The rows of an undo, in which the tokens that it removes are as they are stored: undoing the undo
 * then brings back who created them.
 */
export async function withOrigins(sql: Sql, rows: readonly NewRow[]): Promise<readonly NewRow[]> {
  const stored = new Map<string, object>();
  for (const table of WITH_ORIGIN) {
    const removed = rows.filter((row) => row.table === table && row.after === null);
    const found = await findRows(sql, table, { id: removed.flatMap(({ before }) => idOf(before)) });
    for (const row of found) stored.set(`${table}:${row.id}`, row);
  }
  return rows.map((row) => {
    const [id] = row.after === null ? idOf(row.before) : [];
    const before = stored.get(`${row.table}:${id}`);
    return before === undefined ? row : { ...row, before };
  });
}

function idOf(row: object | null): readonly number[] {
  return row !== null && 'id' in row ? [Number(row.id)] : [];
}
