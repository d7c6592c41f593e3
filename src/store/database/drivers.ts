import type { PipelineStats } from './pipeline.ts';

/** The interface over a database. `postgres.ts` and `pglite.ts` implement it. */

/** A row of an answer: plain values, the same on both drivers. */
export type Row = Readonly<Record<string, unknown>>;

/** A statement with parameters. Its text is a constant and never contains input. */
export interface Statement {
  /**
   * PostgreSQL prepares the statement under this name, so a name must always have the same text.
   */
  readonly name: string;
  readonly text: string;
  /**
   * It is short and runs for each token request, so it uses its own connections; see `pipeline.ts`.
   */
  readonly isHot?: true;
}

export interface Sql {
  /**
   * Runs one statement. `int8` and `count` come as numbers, `date` as `yyyy-mm-dd` text,
   * `timestamptz` as Date, `bytea` as Uint8Array, `jsonb` parsed. Pass `jsonb` parameters as text:
   * pg would write a JavaScript array as a PostgreSQL array.
   */
  query<R extends Row>(statement: string | Statement, params?: readonly unknown[]): Promise<readonly R[]>;
  /** Runs one or more statements without parameters. */
  execute(text: string): Promise<void>;
}

export interface TransactionOptions {
  /**
   * How long one statement of the transaction may take, including the time that it waits for a
   * lock; default 10 s. PGlite has no timeouts.
   */
  readonly statementTimeoutMs?: number;
  /**
   * True: it leaves processors to token requests, because PostgreSQL neither splits a statement
   * among parallel workers nor compiles it; default: false.
   */
  readonly isModest?: boolean;
}

/** The longest statement that any work needs; PostgreSQL ends longer ones. */
export const LONGEST_STATEMENT_MS = 10 * 60 * 1000;

/** For statements whose time grows with the size of the directory. */
export const AT_LENGTH: TransactionOptions = { statementTimeoutMs: LONGEST_STATEMENT_MS };

/** A connected database. A query throws `unavailable` if the database can't be reached. */
export interface Database extends Sql {
  readonly kind: 'postgres' | 'pglite';
  /** Commits when `work` resolves, rolls back when it rejects. Transactions can't be nested. */
  transaction<T>(work: (sql: Sql) => Promise<T>, options?: TransactionOptions): Promise<T>;
  /**
   * Runs `work` while this process holds the advisory lock `lock`. Resolves to false, without
   * running `work`, if another process holds the lock. `work` may use the database.
   */
  tryExclusively(lock: number, work: () => Promise<void>): Promise<boolean>;
  /**
   * Calls `onNotice` after each NOTIFY on `channel`, and after each reconnect, because notices may
   * have been lost. It never throws: a caller must also poll, in case no notice ever comes.
   * Resolves to a function that stops listening.
   */
  listen(channel: string, onNotice: () => void): Promise<() => Promise<void>>;
  /** Null on PGlite, which has no pool. */
  poolStats(): PoolStats | null;
  /** Null on PGlite, which has no connections. */
  pipelineStats(): PipelineStats | null;
  close(): Promise<void>;
}

/** Connections of the pool that are open, idle, and allowed; queries that wait for a connection. */
export interface PoolStats {
  readonly total: number;
  readonly idle: number;
  readonly waiting: number;
  readonly max: number;
}

/** Types of columns whose values the drivers would parse differently (`pg_type.oid`). */
export const TYPE_OIDS = { int8: 20, date: 1082, timestamptz: 1184 } as const;
