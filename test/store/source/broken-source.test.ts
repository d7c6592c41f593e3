import assert from 'node:assert/strict';
import type { DirectorySource, SourceAnswer, SourceQuestion } from '../../../src/authn/source.ts';
import type { Facts, Project } from '../../../src/policy/project.ts';
import { ANONYMOUS } from '../../../src/policy/subject.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';
import { CHECKS, type Check, type SourceUnderTest } from './conformance.ts';
import { openOwnTables } from './own/company-writer.ts';

type Breaking = (source: DirectorySource) => DirectorySource;

const answering =
  (change: (answer: SourceAnswer, question: SourceQuestion | null) => SourceAnswer): Breaking =>
  (source) => ({
    ...source,
    ask: async (question, paths) => change(await source.ask(question, paths), question),
  });

const withProjects = (change: (project: Project) => Project): Breaking => {
  const changed = ({ instance, projects }: Facts): Facts => ({ instance, projects: projects.map(change) });
  return (source) => ({
    ...answering((answer) => ({ ...answer, facts: changed(answer.facts) }))(source),
    facts: async (subject, paths) => changed(await source.facts(subject, paths)),
  });
};

/** Answers the same question by its first answer for ever. */
const stale: Breaking = (source) => {
  const answers = new Map<string, Promise<SourceAnswer>>();
  return {
    ...source,
    ask: (question, paths) => {
      const key = JSON.stringify([question?.secret.reveal(), question?.username, paths]);
      const answer = answers.get(key) ?? source.ask(question, paths);
      answers.set(key, answer);
      return answer;
    },
  };
};

const without = (via: string): Breaking =>
  withProjects((project) => ({
    ...project,
    memberships: project.memberships.filter((membership) => membership.via !== via),
  }));

/** The checks that must fail, by their names; all others that are run must pass. */
type Fails = RegExp | readonly string[];

const BREAKAGES: readonly [what: string, breaking: Breaking, fails: Fails][] = [
  ['is not broken', (source) => source, []],
  [
    'takes revoked access tokens',
    answering((answer) => {
      const { accessToken } = answer.credentials;
      const credentials = {
        ...answer.credentials,
        accessToken: accessToken && { ...accessToken, revoked: false },
      };
      return { ...answer, credentials };
    }),
    ['credentials: a revoked access token: 401: token_revoked'],
  ],
  [
    'looks for nothing but jobs behind their user name',
    answering((answer, question) => {
      if (question?.kinds.includes('job') !== true) return answer;
      return { ...answer, credentials: { ...answer.credentials, accessToken: null, deployToken: null } };
    }),
    [
      'credentials: an access token behind the user name of jobs: pull,push',
      'credentials: an access token of an older form behind the user name of jobs: pull,push',
      'credentials: a deploy token behind the user name of jobs: 401: deploy_token_username',
    ],
  ],
  [
    'compares login names with regard to case',
    answering((answer, question) => {
      const { account } = answer.credentials;
      const isSame = account?.username === question?.username;
      return { ...answer, credentials: { ...answer.credentials, account: isSame ? account : null } };
    }),
    [
      'credentials: a password by user name: pull,push',
      'credentials: a password by user name in other case: pull,push',
      'credentials: a password by e-mail: pull,push',
      'credentials: a wrong password: 401: wrong_password',
    ],
  ],
  [
    'does not say whom its facts are about',
    answering((answer) => ({
      ...answer,
      about: { userId: null, deployTokenId: null, jobProjectId: null },
    })),
    /^(credentials: (?!.*401)|facts: (?!.*anonymous))/,
  ],
  [
    'asks for credentials and facts one after the other',
    (source) => ({
      ...source,
      ask: async (question, paths) => {
        const answer = await source.ask(question, []);
        return { ...answer, facts: (await source.ask(question, paths)).facts };
      },
    }),
    /^one round trip: /,
  ],
  [
    'forgets invitations to groups',
    without('group_invited_to_group'),
    ['facts: role by a group that is invited to a group: the lesser: pull'],
  ],
  [
    'forgets invitations to projects',
    without('group_invited_to_project'),
    ['facts: role by a group that is invited to the project: the lesser: pull,push'],
  ],
  [
    'forgets groups above',
    without('group'),
    [
      'credentials: a group access token: pull,push,delete',
      'facts: role by a group two levels above: pull,push,delete',
      'facts: a registry for members only, for a member: pull,push,delete',
    ],
  ],
  [
    'forgets IP allowlists',
    withProjects((project) => ({ ...project, ipAllowlists: [] })),
    ['facts: an IP allowlist, from outside: nothing'],
  ],
  [
    'lets every job in',
    withProjects((project) => ({ ...project, jobAccess: 'anyone' })),
    ['facts: a job that is not allowed: nothing'],
  ],
  [
    'forgets protected repositories and tags',
    withProjects((project) => ({ ...project, protectedRepositories: [], protectedTags: [] })),
    [
      'facts: a protected repository: refused: protected_repository',
      'has the rules of protected tags, in order',
    ],
  ],
  [
    'shows the project that it reads where there is none',
    (source) => ({
      ...source,
      ask: async (question, paths) => {
        const answer = await source.ask(question, paths);
        if (answer.facts.projects.length > 0) return answer;
        return { ...answer, facts: await source.facts(ANONYMOUS, ['acme/open']) };
      },
    }),
    [
      'one round trip: a project that does not exist',
      'has no records of an unknown secret, and no projects that were not asked for',
    ],
  ],
  [
    'finds no subject by name or id',
    (source) => ({
      ...source,
      find: async () => (await source.ask(null, [])).credentials,
    }),
    /^finds an? /,
  ],
  ['is away', (source) => ({ ...source, ping: () => Promise.reject(new Error('away')) }), ['answers a ping']],
];

const AT_ONCE = /^at once: /;

describe('the suite for directory sources finds a source that', function () {
  this.timeout(120_000);
  let under: SourceUnderTest;
  before(async () => {
    under = await openOwnTables(async () =>
      openPostgres(await (await sharedPostgres()).createMigratedDatabase()),
    );
  });
  after(() => under.close());

  const failedOf = async (breaking: Breaking, checks: readonly Check[]): Promise<readonly string[]> => {
    const broken = { ...under, source: breaking(under.source) };
    const failed: string[] = [];
    for (const check of checks) await check.run(broken).catch(() => failed.push(check.name));
    return failed;
  };
  const namesOf = (checks: readonly Check[], pattern: RegExp): readonly string[] =>
    checks.map(({ name }) => name).filter((name) => pattern.test(name));

  // The checks that change the directory take most of the time, and are for caches.
  const steady = CHECKS.filter(({ name }) => !AT_ONCE.test(name));
  for (const [what, breaking, fails] of BREAKAGES) {
    it(what, async () => {
      const expected = fails instanceof RegExp ? namesOf(steady, fails) : fails;
      assert.deepEqual(await failedOf(breaking, steady), expected);
    });
  }

  it('answers from a cache that it never checks', async () => {
    const failed = await failedOf(stale, CHECKS);
    assert.deepEqual(failed, namesOf(CHECKS, /^(at once|one round trip): /));
  });
});
