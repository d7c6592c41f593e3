import type { DeployTokenRecord } from '../../../authn/account.ts';
import type { Database, Row, Sql, TransactionOptions } from '../../database/drivers.ts';
import type { DirectoryQuestions } from '../questions.ts';
import { FIND_DEPLOY_TOKENS, findHolders, findJobEntries } from './candidates.ts';
import { type CredentialRow, findSubject, toDeployToken } from './credentials.ts';
import { findFactsAside, findFactsOfEach } from './facts.ts';
import { findReachable } from './reachable.ts';
import { findTokensNear } from './tokens-near.ts';

/** Longer than for token requests, whose clients wait. */
const PATIENT: TransactionOptions = { statementTimeoutMs: 5000, isModest: true };

/** cellpass's own tables, asked by administrators, on either driver. */
export function createOwnQuestions(database: Pick<Database, 'transaction'>): DirectoryQuestions {
  const patiently = <T>(work: (sql: Sql) => Promise<T>): Promise<T> => database.transaction(work, PATIENT);
  return {
    find: (question) => patiently((sql) => findSubject(sql, question)),
    facts: (subject, paths) => patiently((sql) => findFactsAside(sql, subject, paths)),
    factsOfEach: (subjects, paths) => patiently((sql) => findFactsOfEach(sql, subjects, paths)),
    findGroup: (path) =>
      patiently(async (sql) => {
        const [row] = await sql.query<{ id: number }>('SELECT id FROM namespaces WHERE path_key = $1', [
          path,
        ]);
        return row?.id ?? null;
      }),
    findHolders: (asked) => patiently((sql) => findHolders(sql, asked)),
    findDeployTokens: (projectId, after, limit) =>
      patiently(async (sql) => {
        const rows = await sql.query<Row & CredentialRow>(FIND_DEPLOY_TOKENS, [projectId, after, limit]);
        return rows.map(toDeployToken).filter((one): one is DeployTokenRecord => one !== null);
      }),
    findJobEntries: (projectId, after, limit) =>
      patiently((sql) => findJobEntries(sql, projectId, after, limit)),
    findReachable: (asked) => patiently((sql) => findReachable(sql, asked)),
    findTokensNear: (asked) => patiently((sql) => findTokensNear(sql, asked)),
  };
}
