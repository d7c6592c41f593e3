import type { DirectorySource } from '../../../src/authn/source.ts';
import type { ConfiguredIdentity } from '../../../src/config/federation.ts';
import type { Database } from '../../../src/store/database/drivers.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { withConfiguredIdentities } from '../../../src/store/source/configured-identities.ts';
import { deriveKeys } from '../../../src/store/source/gitlab/keys.ts';
import { createGitlabQuestions } from '../../../src/store/source/gitlab/questions/questions.ts';
import { createGitlabSource } from '../../../src/store/source/gitlab/source.ts';
import type { DirectoryQuestions } from '../../../src/store/source/questions.ts';
import { sharedPostgres } from '../database/postgres.ts';
import { contentOf, createGitlab, type FixtureOptions, type GitlabFixture, KnownSecrets } from './company.ts';
import { openByRoles } from './roles.ts';
import { fill } from './server.ts';

/** Administrators' questions on a GitLab, by a role that has the rights of `gitlab grants`. */
export interface GitlabQuestionsFixture {
  readonly gitlab: GitlabFixture;
  /** cellpass's own tables, from which GitLab's rows are made. */
  readonly world: Database;
  apply(document: object): Promise<void>;
  answers(
    identities?: readonly ConfiguredIdentity[],
    isEnterprise?: boolean,
    mayWrite?: boolean,
  ): { readonly source: DirectorySource; readonly questions: DirectoryQuestions };
  /** How many transactions of questions have run at the same time, at most. */
  mostAtOnce(): number;
  /** What is in GitLab's tables. */
  content(): Promise<object>;
  close(): Promise<void>;
}

export async function openGitlabQuestions({
  hasOwnCi = false,
  ...fixture
}: Omit<FixtureOptions, 'ciUrl'> & { readonly hasOwnCi?: boolean } = {}): Promise<GitlabQuestionsFixture> {
  const postgres = await sharedPostgres();
  const ciUrl = hasOwnCi ? await postgres.createDatabase() : null;
  const gitlab = await createGitlab(await postgres.createDatabase(), { ...fixture, ciUrl });
  const world = openPostgres(await postgres.createMigratedDatabase());
  const roles = await openByRoles(gitlab);
  const secrets = new KnownSecrets();
  let [running, most] = [0, 0];
  const counted: Pick<Database, 'transaction'> = {
    transaction: async (work, options) => {
      running += 1;
      most = Math.max(most, running);
      return roles.main.transaction(work, options).finally(() => {
        running -= 1;
      });
    },
  };
  return {
    gitlab,
    world,
    apply: (document) => fill({ world, gitlab, secrets }, JSON.stringify({ version: 1, ...document }), false),
    answers: (identities = [], isEnterprise = true, mayWrite = true) => {
      const theirs = createGitlabSource({
        ...{ main: roles.main, ci: roles.ci, write: mayWrite ? roles.write : null, isEnterprise },
        ...{ keys: deriveKeys([gitlab.dbKeyBase]), log: { warn: () => undefined } },
        now: () => new Date(),
        monotonicMs: () => performance.now(),
      });
      const source = withConfiguredIdentities(theirs, world, identities);
      const questions = createGitlabQuestions({
        ...{ gitlab: theirs, main: counted, source, identities, own: world },
      });
      return { source, questions };
    },
    mostAtOnce: () => most,
    content: async () => ({
      main: await contentOf(gitlab.main),
      ci: gitlab.ci && (await contentOf(gitlab.ci)),
    }),
    close: async () => {
      await roles.close();
      await gitlab.close();
      await world.close();
    },
  };
}
