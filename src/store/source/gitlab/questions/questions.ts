import type { DirectorySource } from '../../../../authn/source.ts';
import type { ConfiguredIdentity } from '../../../../config/federation.ts';
import type { Facts } from '../../../../policy/project.ts';
import { oneAfterAnother } from '../../../../shares/one-after-another.ts';
import type { Database, Row, Sql, TransactionOptions } from '../../../database/drivers.ts';
import { readRevocations } from '../../../federation/revocations.ts';
import type { DirectoryQuestions } from '../../questions.ts';
import type { GitlabSource } from '../source.ts';
import type { GitlabState } from '../state.ts';
import { findDeployTokens } from './deploy-tokens.ts';
import { findHolders } from './holders.ts';
import { findJobEntries } from './job-entries.ts';
import { findReachable } from './reachable.ts';
import { findTokensNear } from './tokens-near.ts';

/** Longer than for token requests, whose clients wait. */
const PATIENT: TransactionOptions = { statementTimeoutMs: 5000, isModest: true };

interface GitlabQuestionsOptions {
  readonly gitlab: Pick<GitlabSource, 'withState' | 'aside'>;
  readonly main: Pick<Database, 'transaction'>;
  /** Finds one subject; knows the identities of the settings, too. */
  readonly source: Pick<DirectorySource, 'find'>;
  readonly identities: readonly ConfiguredIdentity[];
  /** cellpass's own database, which has the deny lists. */
  readonly own: Sql;
}

/**
 * GitLab's database, asked by administrators. It needs no column that token requests don't need.
 * One statement runs at a time, because few connections are open beside those of token requests.
 */
export function createGitlabQuestions(options: GitlabQuestionsOptions): DirectoryQuestions {
  const { gitlab, main, source, identities, own } = options;
  const { aside } = gitlab;
  const inTurn = oneAfterAnother();
  const patiently = <T>(work: (sql: Sql, known: GitlabState) => Promise<T>): Promise<T> =>
    inTurn(() => gitlab.withState((known) => main.transaction((sql) => work(sql, known), PATIENT)));
  return {
    find: (question) => source.find(question),
    facts: async (subject, paths) =>
      withOpenList(await patiently((sql, known) => aside.factsOfOne(known, sql, subject, paths))),
    factsOfEach: async (subjects, paths) =>
      (await patiently((sql, known) => aside.factsOfEach(known, sql, subjects, paths))).map(withOpenList),
    findGroup: (path) => patiently((sql) => findGroup(sql, path)),
    findHolders: (asked) =>
      patiently((sql, { shape }) => {
        const readRevoked = async (names: readonly string[]) =>
          (await readRevocations(own, names, null)).identities;
        return findHolders(sql, { shape, aside, identities, readRevoked }, asked);
      }),
    findDeployTokens: (projectId, after, limit) =>
      patiently((sql) => findDeployTokens(sql, projectId, after, limit)),
    findJobEntries: (projectId, after, limit) =>
      patiently(async (sql, known) => {
        const links = await aside.findJobLinks(known, sql, projectId);
        return findJobEntries(sql, { shape: known.shape, links }, { projectId, after, limit });
      }),
    findReachable: (asked) => patiently((sql, { shape }) => findReachable(sql, shape, asked)),
    findTokensNear: (asked) =>
      patiently((sql, { shape }) => findTokensNear(sql, { shape, isEnterprise: aside.isEnterprise }, asked)),
  };
}

/** Questions are about rights. Who lists a new image depends on this server's settings. */
function withOpenList({ instance, projects }: Facts): Facts {
  const { listIsClosed: _listIsClosed, ...others } = instance;
  return { instance: others, projects };
}

async function findGroup(sql: Sql, path: string): Promise<number | null> {
  const [row] = await sql.query<Row & { readonly id: number }>(
    `SELECT source_id AS id FROM routes WHERE source_type = 'Namespace' AND lower(path) = $1 ORDER BY source_id LIMIT 1`,
    [path],
  );
  return row?.id ?? null;
}
