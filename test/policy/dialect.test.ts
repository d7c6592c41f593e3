import assert from 'node:assert/strict';
import { whyNoLogin } from '../../src/authn/account.ts';
import { DIFFERENCES, dialectOf } from '../../src/policy/dialect.ts';
import type { Project } from '../../src/policy/project.ts';
import { needOf, reasonOf } from '../../src/policy/reasons.ts';
import { askAllRules } from '../../src/policy/rules.ts';
import type { Subject } from '../../src/policy/subject.ts';
import {
  aDeployToken,
  aJob,
  anonymous,
  aPerson,
  aProject,
  ask,
  aTokenUser,
  aUser,
  circumstances,
  decide,
  member,
  outcome,
} from '../support/policy/subjects.ts';

const GITLAB = { ...circumstances(), instance: { ...circumstances().instance, dialect: 'gitlab' } as const };
const CLOSED = { ...GITLAB, instance: { ...GITLAB.instance, listIsClosed: true } as const };

function on(at: typeof GITLAB, subject: Subject, scope: string, facts: Partial<Project> = {}) {
  return decide({ subject, scopes: ask(scope), projects: [aProject(facts)], circumstances: at });
}

const APP = 'repository:acme/app';
const developer = { memberships: [member('developer', { via: 'project_authorization' })] };
const banned = { ...developer, bannedFrom: 'acme' };

describe("GitLab's way", () => {
  const ROWS: readonly (readonly [
    what: string,
    subject: Subject,
    scope: string,
    facts: Partial<Project>,
    theirs: string,
    ours: string,
  ])[] = [
    [
      'registry scopes by the flag alone',
      aTokenUser(['read_api'], { admin: true }),
      'registry:catalog:*',
      {},
      'catalog:*',
      '-',
    ],
    ['registry scopes for others', aTokenUser(['api']), 'registry:catalog:*', {}, '-', '-'],
    ['registry scopes for jobs', aJob(aPerson({ admin: true })), 'registry:catalog:*', {}, '-', '-'],
    [
      'an internal project for a deploy token',
      aDeployToken(),
      `${APP}:pull`,
      { visibility: 'internal' },
      'acme/app:pull',
      '-',
    ],
    [
      'an internal registry for members for a deploy token',
      aDeployToken(),
      `${APP}:pull`,
      { visibility: 'internal', registryAccess: 'private' },
      '-',
      '-',
    ],
    [
      'a push to an internal project by a deploy token',
      aDeployToken(),
      `${APP}:push`,
      { visibility: 'internal' },
      '-',
      '-',
    ],
    ['a banned user', aUser(), `${APP}:pull`, banned, '-', 'acme/app:pull'],
    [
      'a banned user, on a public project',
      aUser(),
      `${APP}:pull`,
      { ...banned, visibility: 'public' },
      '-',
      'acme/app:pull',
    ],
    ['a banned admin', aUser({ admin: true }), `${APP}:pull`, banned, 'acme/app:pull', 'acme/app:pull'],
    ['a job of a banned user', aJob(), `${APP}:pull`, banned, '-', 'acme/app:pull'],
    [
      'anonymous clients, where a user is banned',
      anonymous(),
      `${APP}:pull`,
      { ...banned, visibility: 'public' },
      'acme/app:pull',
      'acme/app:pull',
    ],
  ];
  for (const [what, subject, scope, facts, theirs, ours] of ROWS) {
    it(`${what}: ${theirs}; ours: ${ours}`, () => {
      assert.equal(outcome(on(GITLAB, subject, scope, facts)), theirs);
      assert.equal(
        outcome(
          on({ ...GITLAB, instance: circumstances().instance } as typeof GITLAB, subject, scope, facts),
        ),
        ours,
      );
    });
  }

  const UNLISTED: readonly (readonly [
    what: string,
    subject: Subject,
    actions: string,
    listed: readonly string[] | undefined,
    result: string,
  ])[] = [
    ['a push to a listed repository', aUser(), 'push', ['acme/app'], 'acme/app:push'],
    ['a push to another one', aUser(), 'push', ['acme/app/other'], '403 unlisted_repository'],
    ['a pull of one that is not listed', aUser(), 'pull', [], 'acme/app:pull'],
    ['a push where the directory keeps no list', aUser(), 'push', undefined, 'acme/app:push'],
    ['a push by a job', aJob(), 'push', [], '403 unlisted_repository'],
  ];
  for (const [what, subject, actions, listed, result] of UNLISTED) {
    it(`${what}, without a role for writing: ${result}`, () => {
      const facts = { ...developer, ...(listed && { knownRepositories: listed }) };
      assert.equal(outcome(on(CLOSED, subject, `${APP}:${actions}`, facts)), result);
      assert.notEqual(outcome(on(GITLAB, subject, `${APP}:${actions}`, facts)), '403 unlisted_repository');
    });
  }

  it('has words for each of its own reasons', () => {
    const sentences = [
      on(GITLAB, aUser(), `${APP}:pull`, banned),
      on(CLOSED, aUser(), `${APP}:push`, { ...developer, knownRepositories: [] }),
      on(GITLAB, aTokenUser(['api']), 'registry:catalog:*'),
      on(GITLAB, aTokenUser(['read_api'], { admin: true }), 'registry:catalog:*'),
      on(GITLAB, aDeployToken(), `${APP}:pull`),
      on(GITLAB, aDeployToken(), `${APP}:pull`, { visibility: 'internal' }),
      on(GITLAB, aUser(), `${APP}:push`, developer),
    ].map(({ rulings: [ruling] }) => {
      assert.ok(ruling);
      return `${reasonOf(ruling)}; needs ${needOf(ruling)}`;
    });
    assert.deepEqual(sentences, [
      'group acme has banned alice; needs alice not banned from group acme',
      'GitLab does not list acme/app yet, and this server has no role that may add it; needs CELLPASS_GITLAB_WRITE_DATABASE_URL with a role that may list new repositories, or acme/app listed in GitLab',
      "registry:catalog is only for admins who ask for exactly *; needs an admin's credentials, and * as the only action",
      "an admin asks for exactly * on catalog; needs an admin's credentials, and * as the only action",
      'the deploy token belongs neither to acme/app nor to a group above it; elsewhere it can only pull from public and internal projects; needs a deploy token of acme/app or of a group above it',
      'the deploy token belongs neither to acme/app nor to a group above it, but acme/app is internal; needs a deploy token of acme/app or of a group above it',
      'alice is developer of acme/app in GitLab, who may push; needs nothing',
    ]);
  });

  it('has its own rules for its own facts alone', () => {
    const [ruling] = on(
      { ...GITLAB, instance: circumstances().instance } as typeof GITLAB,
      aUser(),
      `${APP}:push`,
      banned,
    ).rulings;
    assert.ok(ruling);
    const rules = askAllRules(ruling).map(({ rule }) => rule);
    assert.deepEqual(
      rules.filter((rule) => rule === 'namespace_ban' || rule === 'unlisted_repository'),
      [],
    );
  });

  it('lets deactivated users log in', () => {
    const account = {
      ...({
        id: 1,
        username: 'alice',
        kind: 'human',
        state: 'deactivated',
        admin: false,
        auditor: false,
      } as const),
      ...{ external: false, twoFactor: false, passwordExpired: false, passwordHash: null },
    };
    assert.equal(whyNoLogin(account, dialectOf({})), 'account_deactivated');
    assert.equal(whyNoLogin(account, dialectOf({ dialect: 'gitlab' })), null);
    assert.equal(
      whyNoLogin({ ...account, state: 'internal' }, dialectOf({ dialect: 'gitlab' })),
      'account_internal',
    );
  });

  it('is told apart in docs/policy.md, in words for each decision', () => {
    for (const { what, cellpass, gitlab } of DIFFERENCES) assert.notEqual(cellpass, gitlab, what);
  });
});
