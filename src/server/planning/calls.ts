import type { ApplyDependencies } from '../../directory/apply.ts';
import type { PlanningCall } from './channel.ts';
import { beginTransaction, type RemoteTransaction } from './remote-transaction.ts';

/** Answers the calls of one job of the planning process. */
export interface JobCalls {
  /** @throws the error of the database or of the hashing. */
  answer(call: PlanningCall): Promise<unknown>;
  /** Rolls back what the job has not committed. */
  end(): Promise<void>;
}

export function answerCalls({
  database,
  passwords,
}: Pick<ApplyDependencies, 'database' | 'passwords'>): JobCalls {
  let open: RemoteTransaction | undefined;
  const transaction = (): RemoteTransaction => {
    if (open === undefined) throw new Error('the job has no open transaction');
    return open;
  };
  const end = async (): Promise<void> => {
    const last = open;
    open = undefined;
    await last?.rollback();
  };
  return {
    end,
    answer: async (call) => {
      switch (call.name) {
        case 'begin':
          open = await beginTransaction(database, call.options);
          return null;
        case 'query':
          return transaction().sql.query(call.text, call.params);
        case 'commit':
          await transaction().commit();
          open = undefined;
          return null;
        case 'rollback':
          await end();
          return null;
        case 'hash':
          return passwords.hash(call.password);
        case 'verify':
          return passwords.verify(call.hash, call.password);
      }
    },
  };
}
