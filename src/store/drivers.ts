/** What a query answers: plain rows. Dates and 64-bit numbers read alike on both drivers; see `parseTimestamp` and friends. */
export type Row = Readonly<Record<string, unknown>>;

/** A statement with parameters, never built from input. A `name` makes it a prepared statement where the driver has them. */
export interface Statement {
  readonly text: string;
  readonly name?: string;
}

/** The one small interface over a database that both drivers satisfy. */
export interface Sql {
  /** `int8` and `count` are numbers, `date` is `yyyy-mm-dd` text, `timestamptz` a Date, `bytea` a Uint8Array, `jsonb` parsed. */
  query<R extends Row>(statement: string | Statement, params?: readonly unknown[]): Promise<readonly R[]>;
  /** Several statements without parameters, for migrations. */
  execute(text: string): Promise<void>;
}

/** A connected database. */
export interface Database extends Sql {
  readonly kind: 'postgres' | 'pglite';
  /** Commits when `work` resolves, rolls back when it throws. Not nested. */
  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}
