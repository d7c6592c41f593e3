import { CellpassError } from '../../errors.ts';
import type { Sql } from './drivers.ts';

/**
 * Records that the database belongs to this cell, at the first start.
 * @throws {CellpassError} `conflict` when it belongs to another cell.
 */
export async function claimForCell(sql: Sql, cell: number): Promise<void> {
  // A start that has nothing to write must not wait for a synchronous standby that is away.
  const [stored] = await sql.query<{ cell_id: number | null }>('SELECT cell_id FROM settings');
  if (stored?.cell_id === cell) return;
  const [row] = await sql.query<{ cell_id: number }>(
    'UPDATE settings SET cell_id = coalesce(cell_id, $1) RETURNING cell_id',
    [cell],
  );
  if (row === undefined || row.cell_id === cell) return;
  throw new CellpassError(
    'conflict',
    `CELLPASS_CELL: this is cell ${cell}, but the database belongs to cell ${row.cell_id}: set CELLPASS_CELL=${row.cell_id}, or use this cell's own database`,
  );
}
