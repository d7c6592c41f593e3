import { CellpassError } from '../../errors.ts';
import type { KeyChange, KeyEvent, KeySet, KeyStore } from '../../keys/key-set.ts';
import type { Facts } from '../../policy/project.ts';
import type { Subject } from '../../policy/subject.ts';
import type { Database } from '../database/drivers.ts';
import { createKeyStore } from '../keys.ts';
import { findFacts } from './own/facts.ts';
import { type CacheUse, createInquiries, type Inquiries, type Inquiry } from './own/inquiries.ts';
import type { Store } from './store.ts';

/** The store on PostgreSQL, by either driver. Owns the database. */
export class PostgresStore implements Store {
  readonly #database: Database;
  readonly #keys: KeyStore;
  readonly #inquiries: Inquiries;

  /** @param cacheBytes how much may be remembered of what token requests asked; 0: nothing. */
  constructor(database: Database, { cacheBytes = 0 }: { readonly cacheBytes?: number } = {}) {
    this.#database = database;
    this.#inquiries = createInquiries(database, { maxBytes: cacheBytes });
    this.#keys = createKeyStore(database);
  }

  inquire(paths: readonly string[]): Inquiry {
    return this.#inquiries.inquire(paths);
  }

  cacheUse(): CacheUse {
    return this.#inquiries.use();
  }

  async findFacts(subject: Subject, paths: readonly string[]): Promise<Facts> {
    const { facts } = await findFacts(this.#database, subject, paths);
    return facts;
  }

  readKeySet(): Promise<KeySet> {
    return this.#keys.readKeySet();
  }

  updateKeySet(change: (current: KeySet) => KeyChange): Promise<KeySet> {
    return this.#keys.updateKeySet(change);
  }

  readKeyEvents(limit: number): Promise<readonly KeyEvent[]> {
    return this.#keys.readKeyEvents(limit);
  }

  async ping(): Promise<void> {
    // A table that every token is looked up in: it may be locked, or not there.
    await this.#database.query('SELECT 1 FROM settings');
  }

  async claimForCell(cell: number): Promise<void> {
    const [row] = await this.#database.query<{ cell_id: number }>(
      'UPDATE settings SET cell_id = coalesce(cell_id, $1) RETURNING cell_id',
      [cell],
    );
    if (row === undefined || row.cell_id === cell) return;
    throw new CellpassError(
      'conflict',
      `CELLPASS_CELL: this is cell ${cell}, but the database belongs to cell ${row.cell_id}: set CELLPASS_CELL=${row.cell_id}, or use this cell's own database`,
    );
  }

  close(): Promise<void> {
    return this.#database.close();
  }
}
