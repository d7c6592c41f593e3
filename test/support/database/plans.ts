import pg from 'pg';
import type { Database, Row, Sql, Statement } from '../../../src/store/database/drivers.ts';

/** A statement and its parameters, as the store sent them. */
export interface SentStatement {
  readonly statement: Statement;
  readonly params: readonly unknown[];
}

/** Runs `ask`, and returns the one statement that it sends. */
export async function sentBy(
  database: Database,
  ask: (sql: Sql) => Promise<unknown>,
): Promise<SentStatement> {
  const sent: SentStatement[] = [];
  const sql: Sql = {
    query: <R extends Row>(statement: string | Statement, params: readonly unknown[] = []) => {
      if (typeof statement === 'string') throw new Error('a statement of the hot path has no name');
      sent.push({ statement, params });
      return database.query<R>(statement, params);
    },
    execute: () => Promise.reject(new Error('a request executes nothing')),
  };
  await ask(sql);
  const [first, ...others] = sent;
  if (first === undefined || others.length > 0) throw new Error(`${sent.length} statements in place of one`);
  return first;
}

export interface PlanOptions {
  /**
   * `generic` plans for any parameters, `custom` for the given ones, as PostgreSQL does for
   * prepared statements.
   */
  readonly mode: 'generic' | 'custom';
  /** Runs the statement, and measures it. */
  readonly analyze?: boolean;
}

/** The plan that PostgreSQL makes for a prepared statement, line by line. */
export async function planOf(
  database: Database,
  { statement, params }: SentStatement,
  { mode, analyze = false }: PlanOptions,
): Promise<readonly string[]> {
  return database.transaction(async (sql) => {
    await sql.execute(
      `SET LOCAL plan_cache_mode = force_${mode}_plan; PREPARE explained AS ${statement.text}`,
    );
    try {
      const options = analyze ? 'ANALYZE, BUFFERS, SETTINGS' : 'COSTS OFF';
      const rows = await sql.query(
        `EXPLAIN (${options}) EXECUTE explained (${params.map(literal).join(', ')})`,
      );
      return rows.map((row) => String(row['QUERY PLAN']));
    } finally {
      await sql.execute('DEALLOCATE explained');
    }
  });
}

/** EXECUTE takes no bound parameters, so the values become literals. */
function literal(value: unknown): string {
  if (value === null) return 'NULL';
  if (value instanceof Uint8Array) return `'\\x${Buffer.from(value).toString('hex')}'`;
  // In quotes, an array has the type that the statement expects.
  if (Array.isArray(value))
    return pg.escapeLiteral(`{${value.map((item) => JSON.stringify(String(item))).join(',')}}`);
  return pg.escapeLiteral(String(value));
}
