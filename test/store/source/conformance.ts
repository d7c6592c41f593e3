import assert from 'node:assert/strict';
import { authenticate } from '../../../src/authn/authenticate.ts';
import type { Credentials } from '../../../src/authn/basic.ts';
import { unauthorized } from '../../../src/authn/basic.ts';
import { questionOf } from '../../../src/authn/credential-kinds.ts';
import { passwordHashing } from '../../../src/authn/password-schemes.ts';
import { type DirectorySource, isAbout, type SubjectQuestion } from '../../../src/authn/source.ts';
import { CellpassError } from '../../../src/errors.ts';
import { toClientAddress } from '../../../src/http/client-address.ts';
import { decide, pathsOf } from '../../../src/http/token/decide.ts';
import type { Facts } from '../../../src/policy/project.ts';
import { parseScopes } from '../../../src/policy/scope.ts';
import { ANONYMOUS, type Subject } from '../../../src/policy/subject.ts';
import { type Company, newSecret, SECRETS } from './company.ts';

/** A source with `COMPANY` in it. */
export interface SourceUnderTest {
  readonly source: DirectorySource;
  /** Adds these entries, or replaces those with the same name. */
  write(company: Company): Promise<void>;
  /** Questions sent to the source's database since it was opened. */
  roundTrips(): number;
  close(): Promise<void>;
}

/** One thing that every source must do. */
export interface Check {
  readonly name: string;
  run(under: SourceUnderTest): Promise<void>;
}

/**
 * Runs every check as a test.
 * @param inapplicable names of checks that mean nothing for this source.
 */
export function directorySourceConformance(
  name: string,
  open: () => Promise<SourceUnderTest>,
  inapplicable: readonly string[] = [],
): void {
  const known = new Set(CHECKS.map((check) => check.name));
  const stranger = inapplicable.find((check) => !known.has(check));
  if (stranger !== undefined) throw new Error(`there is no check "${stranger}"`);
  describe(`the directory source ${name}`, () => {
    let under: SourceUnderTest;
    before(async () => {
      under = await open();
    });
    after(() => under.close());

    for (const check of CHECKS.filter((one) => !inapplicable.includes(one.name))) {
      it(check.name, () => check.run(under));
    }
  });
}

type Login = readonly [username: string, password: string] | null;

/** Verifies passwords for real; counts no failures. */
const AUTHENTICATOR: Parameters<typeof authenticate>[0] = {
  passwords: {
    refuseIfFull: () => undefined,
    charge: () => undefined,
    inTurn: (_holder, work) =>
      work(async (hash, password) => hash !== null && passwordHashing.verify(hash, password)),
  },
  failedAttempts: {
    refuseKnown: () => undefined,
    admitPassword: async () => ({
      refuseIfLimited: () => undefined,
      failed: async (reason) => unauthorized(reason),
      succeeded: () => undefined,
    }),
    tokenFailed: async (_attempt, reason) => unauthorized(reason),
  },
};

const authenticateAs = (
  credentials: Credentials | null,
  records: Parameters<typeof authenticate>[2],
): Promise<Subject> =>
  authenticate(AUTHENTICATOR, credentials, records, {
    now: new Date(),
    network: '192.0.2.1',
    clientGone: () => new AbortController().signal,
  });

const toCredentials = (login: Login): Credentials | null =>
  login && { username: login[0], password: login[1] };

interface Asked {
  readonly name: string;
  readonly actions: string;
  readonly ip: string;
}

/** The actions that a decision grants of the asked ones, or why the request is refused. */
function outcomeOf(subject: Subject, facts: Facts, { name, actions, ip }: Asked): string {
  const asked = parseScopes([`repository:${name}:${actions}`]);
  const { decision, refusal } = decide({
    subject,
    asked,
    facts,
    now: new Date(),
    clientAddress: toClientAddress(ip),
  });
  if (refusal !== null) return `refused: ${refusal.reason}`;
  return decision.access.flatMap((entry) => entry.actions).join() || 'nothing';
}

/** A whole request, as the token endpoint asks. */
async function request(
  { source }: SourceUnderTest,
  login: Login,
  name: string,
  { actions = 'pull,push,delete', ip = '192.0.2.1' } = {},
): Promise<string> {
  const credentials = toCredentials(login);
  const question = questionOf(credentials);
  const paths = pathsOf(parseScopes([`repository:${name}:${actions}`]));
  const answer = await source.ask(question, paths);
  try {
    const subject = await authenticateAs(credentials, answer.credentials);
    assert.ok(isAbout(answer, subject), 'the facts are about the subject whose secret it is');
    const outcome = outcomeOf(subject, answer.facts, { name, actions, ip });
    const facts = await source.facts(subject, paths);
    assert.equal(outcomeOf(subject, facts, { name, actions, ip }), outcome, 'facts() agrees with ask()');
    source.keep?.(question, paths, answer);
    return outcome;
  } catch (error) {
    if (error instanceof CellpassError && error.code === 'unauthorized') return `401: ${error.reason}`;
    throw error;
  }
}

const JOB = 'gitlab-ci-token';
const ALL = 'pull,push,delete';
const WRITE = 'pull,push';
const anonymous = null;
const alice: Login = ['alice', SECRETS.alice];
const bob: Login = ['x', SECRETS.bob];
const carol: Login = ['x', SECRETS.carol];
const auditor: Login = ['x', SECRETS.auditor];
const external: Login = ['x', SECRETS.external];
const root: Login = ['x', SECRETS.root];

/**
 * Credentials of `acme/app`, where alice is a developer: what is granted, or why the credentials
 * are refused.
 */
const CREDENTIALS: readonly [what: string, login: Login, outcome: string][] = [
  ['an access token, whatever the user name', ['anything', SECRETS.alice], WRITE],
  ['an access token of an older form', ['x', SECRETS.aliceOld], WRITE],
  ['an access token behind the user name of jobs', [JOB, SECRETS.alice], WRITE],
  ['an access token of an older form behind the user name of jobs', [JOB, SECRETS.aliceOld], WRITE],
  ['a token with read_registry', ['x', SECRETS.aliceRead], 'pull'],
  ['a token with write_registry', ['x', SECRETS.aliceWrite], 'push'],
  ['a token without a registry scope', ['x', SECRETS.aliceNoRegistry], 'refused: no_registry_ability'],
  ['a revoked access token', ['x', SECRETS.aliceRevoked], '401: token_revoked'],
  ['an expired access token', ['x', SECRETS.aliceExpired], '401: token_expired'],
  ['an unknown access token', ['x', newSecret('glpat-')], '401: unknown'],
  ['a token of a blocked user', ['x', SECRETS.blocked], '401: account_blocked'],
  ['a token of a locked user', ['x', SECRETS.locked], '401: account_locked'],
  ['a token of an unconfirmed user', ['x', SECRETS.unconfirmed], '401: account_unconfirmed'],
  ['a token of a user with an expired password', ['x', SECRETS.outdated], '401: password_expired'],
  ['a project access token', ['x', SECRETS.projectBot], WRITE],
  ['a group access token', ['x', SECRETS.groupBot], ALL],
  ['a deploy token with its user name', ['Puller', SECRETS.puller], WRITE],
  ['a deploy token of a group above', ['group-puller', SECRETS.groupPuller], 'pull'],
  [
    'a deploy token with its user name in other case',
    ['puller', SECRETS.puller],
    '401: deploy_token_username',
  ],
  ['a deploy token behind the user name of jobs', [JOB, SECRETS.puller], '401: deploy_token_username'],
  ['a revoked deploy token', ['revoked-puller', SECRETS.pullerRevoked], '401: token_revoked'],
  ['an expired deploy token', ['expired-puller', SECRETS.pullerExpired], '401: token_expired'],
  ['a running job on its own project', [JOB, SECRETS.job], ALL],
  ['a job under another user name', ['alice', SECRETS.job], '401: unknown'],
  ['a job that has ended', [JOB, SECRETS.jobStopped], '401: job_not_running'],
  ['a job without a user', [JOB, SECRETS.jobWithoutUser], 'refused: job_push'],
  ['a job of a blocked user', [JOB, SECRETS.jobOfBlocked], '401: account_blocked'],
  ['a job of a project with CI off', [JOB, SECRETS.jobWithoutCi], '401: ci_disabled'],
  [
    'a job of a project that is to be deleted',
    [JOB, SECRETS.jobOfDeleted],
    '401: project_deletion_scheduled',
  ],
  ['an unknown job', [JOB, newSecret('glcbt-')], '401: unknown'],
  ['a password by user name', ['alice', SECRETS.password], WRITE],
  ['a password by user name in other case', ['ALICE', SECRETS.password], WRITE],
  ['a password by e-mail', ['alice@example.COM', SECRETS.password], WRITE],
  ['a wrong password', ['alice', 'wrong'], '401: wrong_password'],
  ['a password of an account that has none', ['bob', SECRETS.password], '401: wrong_password'],
  ['a password of an unknown user', ['nobody', SECRETS.password], '401: unknown'],
  ['a password behind the user name of jobs', [JOB, SECRETS.password], '401: unknown'],
  ['a password with two-factor on', ['careful', SECRETS.password], '401: two_factor'],
  ['an expired password', ['outdated', SECRETS.password], '401: password_expired'],
  ['a password of a blocked user', ['blocked', SECRETS.password], '401: account_blocked'],
  ['a password of a locked user', ['locked', SECRETS.password], '401: account_locked'],
  ['a user name that is a pattern', ['a%', SECRETS.password], '401: unknown'],
  ['a user name that only looks like another', ['acb', SECRETS.password], '401: unknown'],
  ['a user name with SQL in it', ["' OR true --", SECRETS.password], '401: unknown'],
];

/** What is granted on other projects, by what the facts say. */
const FACTS: readonly [what: string, login: Login, name: string, outcome: string, ip?: string][] = [
  ['role by the project', alice, 'acme/app', WRITE],
  ['role by a group two levels above', bob, 'acme/sub/api', ALL],
  ['role by the personal namespace', alice, 'alice/dotfiles', ALL],
  ['role by a group that is invited to a group: the lesser', carol, 'team/tool', 'pull'],
  ['role by a group that is invited to the project: the lesser', carol, 'solo/kit', WRITE],
  ['role by an invitation where sharing is locked: none', carol, 'sealed/box', 'nothing'],
  ['role of an admin', root, 'acme/sub/api', ALL],
  ['role where there is none', carol, 'acme/app', 'nothing'],
  ['an image below its project', alice, 'acme/app/image/layer', WRITE],
  ['an auditor', auditor, 'acme/app', 'pull'],
  ['a public project, for anonymous clients', anonymous, 'acme/open', 'pull'],
  ['a private project, for anonymous clients', anonymous, 'acme/app', 'refused: nothing_for_anonymous'],
  ['an internal project, for anonymous clients', anonymous, 'acme/inside', 'refused: nothing_for_anonymous'],
  ['an internal project, for a user', carol, 'acme/inside', 'pull'],
  ['an internal project, for an external user', external, 'acme/inside', 'nothing'],
  ['a registry for members only, for others', carol, 'acme/members', 'nothing'],
  ['a registry for members only, for a member', bob, 'acme/members', ALL],
  ['a disabled registry', bob, 'acme/off', 'nothing'],
  ['an archived project', alice, 'acme/archived', 'pull'],
  ['an archived group above', alice, 'old/app', 'pull'],
  ['a project that is to be deleted', alice, 'acme/deleted', 'pull'],
  ['a root group over its storage limit', alice, 'full/app', 'refused: storage_limit'],
  ['an IP allowlist, from outside', alice, 'office/app', 'nothing'],
  ['an IP allowlist, from inside', alice, 'office/app', WRITE, '10.1.2.3'],
  ['a protected repository', alice, 'acme/guarded/prod-1', 'refused: protected_repository'],
  ['a repository beside the protected one', alice, 'acme/guarded/test', WRITE],
  ['a deploy token beyond its projects', ['Puller', SECRETS.puller], 'acme/sub/api', 'nothing'],
  ['a deploy token of a group, below it', ['group-puller', SECRETS.groupPuller], 'acme/sub/api', 'pull'],
  ['a deploy token of a group, beside it', ['group-puller', SECRETS.groupPuller], 'solo/kit', 'nothing'],
  ['a job whose project is allowed', [JOB, SECRETS.job], 'acme/listing', 'pull'],
  ['a job whose group is allowed', [JOB, SECRETS.job], 'acme/listing-group', 'pull'],
  ['a job where every job is allowed', [JOB, SECRETS.jobOfAnotherProject], 'acme/listing-anyone', 'pull'],
  ['a job that is not allowed', [JOB, SECRETS.jobOfAnotherProject], 'acme/listing', 'nothing'],
  ['a project that does not exist', alice, 'acme/none', 'nothing'],
];

interface Change {
  readonly what: string;
  readonly login: Login;
  readonly name: string;
  readonly before: Company;
  readonly after: Company;
  readonly outcomes: readonly [before: string, after: string];
}

/** Each has entries of its own, because a revoked secret stays revoked. */
function changes(): readonly Change[] {
  const id = newSecret('c');
  const token = { secret: newSecret('glpat-'), owner: { user: id }, scopes: ['api'] };
  const deployToken = {
    secret: newSecret('gldt-'),
    username: id,
    reach: { projects: ['acme/app'] },
    scopes: ['read_registry'],
  };
  const job = { secret: newSecret('glcbt-'), project: 'acme/app', user: 'alice' };
  const user = { username: id };
  const project = { path: `solo/${id}`, members: { [id]: 'developer' } } as const;
  const base: Company = { users: [user], projects: [project], accessTokens: [token] };
  const byToken = { login: ['x', token.secret], name: project.path, before: base } as const;
  return [
    {
      ...byToken,
      what: 'the visibility of a project',
      after: { projects: [{ ...project, visibility: 'public' }] },
      login: null,
      outcomes: ['refused: nothing_for_anonymous', 'pull'],
    },
    {
      ...byToken,
      what: 'a role that ends',
      after: { projects: [{ path: project.path }] },
      outcomes: [WRITE, 'nothing'],
    },
    {
      ...byToken,
      what: 'a project that is archived',
      after: { projects: [{ ...project, archived: true }] },
      outcomes: [WRITE, 'pull'],
    },
    {
      ...byToken,
      what: 'a user who is blocked',
      after: { users: [{ ...user, state: 'blocked' }] },
      outcomes: [WRITE, '401: account_blocked'],
    },
    {
      ...byToken,
      what: 'an access token that is revoked',
      after: { accessTokens: [{ ...token, revoked: true }] },
      outcomes: [WRITE, '401: token_revoked'],
    },
    {
      what: 'a deploy token that is revoked',
      login: [id, deployToken.secret],
      name: 'acme/app',
      before: { deployTokens: [deployToken] },
      after: { deployTokens: [{ ...deployToken, revoked: true }] },
      outcomes: ['pull', '401: token_revoked'],
    },
    {
      what: 'a job that ends',
      login: [JOB, job.secret],
      name: 'acme/app',
      before: { jobs: [job] },
      after: { jobs: [{ ...job, running: false }] },
      outcomes: [ALL, '401: job_not_running'],
    },
    {
      what: 'maintenance of the instance',
      login: alice,
      name: 'acme/app',
      before: { settings: {} },
      after: { settings: { maintenanceMode: true } },
      outcomes: [WRITE, 'pull'],
    },
    {
      what: 'a registry that is switched off',
      login: alice,
      name: 'acme/app',
      before: { settings: {} },
      after: { settings: { registryEnabled: false } },
      outcomes: [WRITE, 'refused: registry_off'],
    },
    {
      what: 'password authentication that is switched off',
      login: ['alice', SECRETS.password],
      name: 'acme/app',
      before: { settings: {} },
      after: { settings: { passwordAuthentication: false } },
      outcomes: [WRITE, '401: password_authentication_off'],
    },
  ];
}

const CHANGES = changes().map(({ what }) => what);

/**
 * Asked twice before the change, so that a source that caches answers has the chance to keep one.
 */
async function seesAtOnce(under: SourceUnderTest, what: string): Promise<void> {
  const change = changes().find((one) => one.what === what);
  assert.ok(change);
  const { login, name, outcomes } = change;
  await under.write(change.before);
  try {
    for (let n = 0; n < 2; n++) assert.equal(await request(under, login, name), outcomes[0]);
    await under.write(change.after);
    assert.equal(await request(under, login, name), outcomes[1]);
  } finally {
    await under.write({ settings: {} });
  }
}

/**
 * Secrets and projects, known and unknown: the number of questions must not tell one from the
 * other.
 */
const COSTS: readonly [what: string, login: Login, name: string][] = [
  ['an access token', alice, 'acme/app'],
  ['an unknown access token', ['alice', newSecret('glpat-')], 'acme/app'],
  ['a project that does not exist', alice, 'acme/none'],
  ['a deploy token', ['Puller', SECRETS.puller], 'acme/app'],
  ['a job', [JOB, SECRETS.job], 'acme/app'],
  ['an unknown job', [JOB, newSecret('glcbt-')], 'acme/app'],
  ['an access token behind the user name of jobs', [JOB, SECRETS.alice], 'acme/app'],
  ['a password', ['alice', SECRETS.password], 'acme/app'],
  ['a password behind the user name of jobs', [JOB, SECRETS.password], 'acme/app'],
  ['a password of an unknown user', ['nobody', SECRETS.password], 'acme/app'],
  ['an anonymous request', null, 'acme/open'],
];

async function costsOneRoundTrip(under: SourceUnderTest, login: Login, name: string): Promise<void> {
  const question = questionOf(toCredentials(login));
  const paths = pathsOf(parseScopes([`repository:${name}:pull`]));
  // A cached answer of an older state costs one more, once.
  const first = await under.source.ask(question, paths);
  under.source.keep?.(question, paths, first);
  const before = under.roundTrips();
  await under.source.ask(question, paths);
  assert.equal(under.roundTrips() - before, 1);
}

async function subjectOf(under: SourceUnderTest, login: Login): Promise<Subject> {
  const credentials = toCredentials(login);
  const answer = await under.source.ask(questionOf(credentials), []);
  return authenticateAs(credentials, answer.credentials);
}

const NO_RECORDS = { job: null, accessToken: null, deployToken: null, account: null };
const ABSENT: readonly SubjectQuestion[] = [
  { kind: 'user', name: 'nobody' },
  { kind: 'user', name: 'a%' },
  { kind: 'deploy_token', name: 'puller' },
  { kind: 'token', id: 999_999_999 },
  { kind: 'job', id: 999_999_999 },
];

const FIND: readonly Check[] = [
  {
    name: 'finds a user by name',
    run: async ({ source }) => {
      const { account } = await source.find({ kind: 'user', name: 'alice' });
      assert.deepEqual([account?.username, account?.state], ['Alice', 'active']);
    },
  },
  {
    name: 'finds an access token by id',
    run: async (under) => {
      const subject = await subjectOf(under, alice);
      assert.ok(subject.kind === 'user' && subject.accessTokenId !== undefined);
      const { accessToken } = await under.source.find({ kind: 'token', id: subject.accessTokenId });
      assert.deepEqual([accessToken?.owner.username, accessToken?.scopes], ['Alice', ['api']]);
    },
  },
  {
    name: 'finds a job by id',
    run: async (under) => {
      const subject = await subjectOf(under, [JOB, SECRETS.job]);
      assert.ok(subject.kind === 'job');
      const { job } = await under.source.find({ kind: 'job', id: subject.jobId });
      assert.deepEqual([job?.projectPath, job?.user?.username], ['acme/app', 'Alice']);
    },
  },
  {
    name: 'finds a deploy token by its user name',
    run: async ({ source }) => {
      const { deployToken } = await source.find({ kind: 'deploy_token', name: 'Puller' });
      assert.deepEqual(deployToken?.scopes, ['read_registry', 'write_registry']);
    },
  },
  ...ABSENT.map((question) => ({
    name: `finds no ${question.kind} that is not there: ${'id' in question ? question.id : question.name}`,
    run: async ({ source }: SourceUnderTest) => {
      const { passwordAuthentication: _, dialect: __, ...records } = await source.find(question);
      assert.deepEqual(records, NO_RECORDS);
    },
  })),
];

const OTHERS: readonly Check[] = [
  {
    name: 'finds projects by their whole path in lower case alone',
    run: async ({ source }) => {
      const near = ['acme/ap', 'acme/_pp', 'acme/%', 'acme/app/', 'acme\\app', 'Acme/App', 'аcme/app'];
      assert.deepEqual((await source.facts(ANONYMOUS, near)).projects, []);
    },
  },
  {
    name: 'answers for several projects at once, and for none',
    run: async ({ source }) => {
      const { projects } = await source.facts(ANONYMOUS, ['acme/app', 'solo/kit', 'none/none']);
      assert.deepEqual(projects.map(({ path }) => path).sort(), ['acme/app', 'solo/kit']);
      const { instance } = await source.facts(ANONYMOUS, []);
      assert.deepEqual([instance.registryEnabled, instance.maintenanceMode], [true, false]);
    },
  },
  {
    name: 'has the rules of protected tags, in order',
    run: async ({ source }) => {
      const { projects } = await source.facts(ANONYMOUS, ['acme/guarded']);
      const rules = projects[0]?.protectedTags.map((rule) => [
        rule.pattern,
        rule.minimumRoleForPush,
        rule.immutable,
      ]);
      assert.deepEqual(rules, [
        ['v.*', 'maintainer', false],
        ['release-.*', null, true],
      ]);
    },
  },
  {
    name: 'has no records of an unknown secret, and no projects that were not asked for',
    run: async ({ source }) => {
      const question = questionOf({ username: 'nobody', password: newSecret('glpat-') });
      const { credentials, facts } = await source.ask(question, ['acme/none']);
      const { passwordAuthentication: _, dialect: __, ...records } = credentials;
      assert.deepEqual([records, facts.projects], [NO_RECORDS, []]);
    },
  },
  {
    name: 'answers a ping',
    run: ({ source }) => source.ping(),
  },
];

export const CHECKS: readonly Check[] = [
  ...CREDENTIALS.map(([what, login, outcome]) => ({
    name: `credentials: ${what}: ${outcome}`,
    run: async (under: SourceUnderTest) => assert.equal(await request(under, login, 'acme/app'), outcome),
  })),
  ...FACTS.map(([what, login, name, outcome, ip]) => ({
    name: `facts: ${what}: ${outcome}`,
    run: async (under: SourceUnderTest) =>
      assert.equal(await request(under, login, name, ip === undefined ? {} : { ip }), outcome),
  })),
  ...CHANGES.map((what) => ({
    name: `at once: ${what}`,
    run: (under: SourceUnderTest) => seesAtOnce(under, what),
  })),
  ...COSTS.map(([what, login, name]) => ({
    name: `one round trip: ${what}`,
    run: (under: SourceUnderTest) => costsOneRoundTrip(under, login, name),
  })),
  ...FIND,
  ...OTHERS,
];
