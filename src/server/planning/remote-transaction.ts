import type { Database, Sql, TransactionOptions } from '../../store/database/drivers.ts';

/** A transaction whose statements come one by one from another process. */
export interface RemoteTransaction {
  readonly sql: Sql;
  commit(): Promise<void>;
  /** Never rejects. */
  rollback(): Promise<void>;
}

export function beginTransaction(
  database: Pick<Database, 'transaction'>,
  options: TransactionOptions,
): Promise<RemoteTransaction> {
  return new Promise((resolve, reject) => {
    const ended = database.transaction(
      (sql) =>
        new Promise<void>((commit, cancel) => {
          resolve({
            sql,
            commit: () => {
              commit();
              return ended;
            },
            rollback: () => {
              cancel(new Error('rolled back'));
              return ended.catch(() => undefined);
            },
          });
        }),
      options,
    );
    ended.catch(reject);
  });
}
