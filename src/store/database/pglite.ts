import { PGlite, type Transaction } from '@electric-sql/pglite';
import { type Database, type Row, type Sql, type Statement, TYPE_OIDS } from './drivers.ts';
import { unavailableIfTemporary } from './failures.ts';

/**
 * Opens PostgreSQL in WebAssembly, in this process; without `dataDir` in memory. PGlite doesn't
 * lock its directory, and a second process would destroy the data: the caller must hold a lock.
 */
export async function openPglite(dataDir?: string): Promise<Database> {
  const pglite = await PGlite.create({
    ...(dataDir !== undefined && { dataDir }),
    parsers: {
      [TYPE_OIDS.int8]: Number,
      [TYPE_OIDS.date]: String,
      [TYPE_OIDS.timestamptz]: (text: string) => new Date(text),
    },
  });
  // Dates are UTC everywhere, and Date can parse the offset of UTC timestamps.
  await pglite.exec("SET TIME ZONE 'UTC'");
  return {
    kind: 'pglite',
    ...pgliteSql(pglite),
    transaction: (work) => translateErrors(pglite.transaction((transaction) => work(pgliteSql(transaction)))),
    // PGlite is one session in one process, so no other process can hold the lock.
    tryExclusively: async (_lock, work) => {
      await work();
      return true;
    },
    listen: async (channel, onNotice) => pglite.listen(channel, onNotice),
    poolStats: () => null,
    pipelineStats: () => null,
    close: () => pglite.close(),
  };
}

function pgliteSql(pglite: Pick<PGlite | Transaction, 'query' | 'exec'>): Sql {
  return {
    async query<R extends Row>(statement: string | Statement, params: readonly unknown[] = []) {
      const text = typeof statement === 'string' ? statement : statement.text;
      const result = await translateErrors(pglite.query<R>(text, [...params]));
      return result.rows;
    },
    async execute(text) {
      await translateErrors(pglite.exec(text));
    },
  };
}

/**
 * Throws `unavailable` for temporary failures, such as a full disk. An error without a SQLSTATE
 * stays as it is.
 */
async function translateErrors<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const hasState = error instanceof Error && 'code' in error && typeof error.code === 'string';
    throw hasState ? unavailableIfTemporary(error, String(error.code)) : error;
  }
}
