import assert from 'node:assert/strict';
import type { Project } from '../../src/policy/project.ts';
import type { Role } from '../../src/policy/role.ts';
import { type Case, RULES, type Verdict } from '../../src/policy/rules.ts';
import { NO_STANDING } from '../../src/policy/standing.ts';
import type { Person, Subject } from '../../src/policy/subject.ts';
import {
  aDeployToken,
  aJob,
  anonymous,
  aPerson,
  aProject,
  ask,
  aTokenUser,
  aUser,
  checkRules,
  circumstances,
  decide,
  decideOn,
  member,
  repositoryRule,
} from '../support/policy/subjects.ts';

const OTHER_PROJECT = 202;
const CHANGES = 'push delete *';

function as(role: Role, facts: Partial<Project> = {}): Partial<Project> {
  return { memberships: [member(role)], ...facts };
}

describe('rules: what the credential can do', () => {
  checkRules([
    [
      'a reading token of an owner',
      aTokenUser(['read_registry']),
      CHANGES,
      as('owner'),
      'refuse credential_ability',
    ],
    [
      'write_registry',
      aTokenUser(['write_registry']),
      'pull delete *',
      as('owner'),
      'refuse credential_ability',
    ],
    ['a job', aJob(), '*', as('owner'), 'refuse credential_ability'],
    ['a deploy token', aDeployToken(), 'delete *', { ownDeployToken: true }, 'refuse credential_ability'],
    ['anonymous', anonymous(), CHANGES, { visibility: 'public' }, 'refuse credential_ability'],
  ]);
});

describe('rules: users', () => {
  const internal: Partial<Project> = { visibility: 'internal' };
  checkRules([
    ['a public project', aUser(), 'pull', { visibility: 'public' }, 'grant open_to_everyone'],
    [
      'a public project for members',
      aUser(),
      'pull',
      { visibility: 'public', registryAccess: 'private' },
      'refuse role',
    ],
    ['an internal project', aUser(), 'pull', internal, 'grant open_to_users'],
    ['an internal project, external', aUser({ external: true }), 'pull', internal, 'refuse role'],
    ['an auditor', aUser({ auditor: true }), 'pull', {}, 'grant auditor'],
    ['an auditor pushes', aUser({ auditor: true }), CHANGES, {}, 'refuse role'],
    ['a reporter', aUser(), 'pull', as('reporter'), 'grant role'],
    ['a guest', aUser(), 'pull', as('guest'), 'refuse role'],
    ['a developer deletes', aUser(), 'delete *', as('developer'), 'refuse role'],
    ['a maintainer', aUser(), CHANGES, as('maintainer'), 'grant allowed'],
    ['no membership', aUser(), 'pull push delete *', {}, 'refuse role'],
  ]);
});

describe('rules: deploy tokens and anonymous', () => {
  checkRules([
    ['its own project, pull', aDeployToken(), 'pull', { ownDeployToken: true }, 'grant deploy_token_reach'],
    ['its own project, push', aDeployToken(), 'push', { ownDeployToken: true }, 'grant allowed'],
    ['a public project', aDeployToken(), 'pull', { visibility: 'public' }, 'grant deploy_token_reach'],
    [
      'push to a public project',
      aDeployToken(),
      'push',
      { visibility: 'public' },
      'refuse deploy_token_reach',
    ],
    ['an internal project', aDeployToken(), 'pull', { visibility: 'internal' }, 'refuse deploy_token_reach'],
    ['anonymous and public', anonymous(), 'pull', { visibility: 'public' }, 'grant open_to_everyone'],
    ['anonymous and internal', anonymous(), 'pull', { visibility: 'internal' }, 'refuse not_public'],
  ]);
});

describe('rules: jobs', () => {
  const elsewhere = aJob(aPerson(), OTHER_PROJECT);
  checkRules([
    ['its own project', aJob(null), 'pull delete', {}, 'grant job_own_project'],
    ["a developer's push", aJob(), 'push', as('developer'), 'grant allowed'],
    ["a reporter's push", aJob(), 'push', as('reporter'), 'forbid job_push'],
    ['a push without a user', aJob(null), 'push', as('developer'), 'forbid job_push'],
    ["an admin's push without a role", aJob(aPerson({ admin: true })), 'push', {}, 'forbid job_push'],
    [
      'a push elsewhere is no error',
      elsewhere,
      'push delete',
      as('owner', { jobAccess: 'listed' }),
      'refuse job_elsewhere',
    ],
    ['a pull elsewhere', elsewhere, 'pull', as('reporter', { jobAccess: 'listed' }), 'grant job_elsewhere'],
    ['not listed', elsewhere, 'pull', as('reporter'), 'refuse job_elsewhere'],
  ]);
});

describe('rules: protected repositories and storage limits', () => {
  const rule: Partial<Project> = { protectedRepositories: [repositoryRule('acme/*', 'admin')] };
  const full: Partial<Project> = { overStorageLimit: 'acme' };
  const own: Partial<Project> = { ownDeployToken: true };
  checkRules([
    ['a rule above an owner', aUser(), 'push *', as('owner', rule), 'forbid protected_repository'],
    ['a rule, pull', aUser(), 'pull', as('owner', rule), 'grant role'],
    ['a rule, delete', aUser(), 'delete', as('owner', rule), 'grant allowed'],
    ['a push that would not be granted', aUser(), 'push *', as('reporter', rule), 'refuse role'],
    ['an admin', aUser({ admin: true }), 'push *', rule, 'grant allowed'],
    ['a deploy token', aDeployToken(), 'push', { ...own, ...rule }, 'forbid protected_repository'],
    ['a job', aJob(), 'push', as('owner', rule), 'forbid protected_repository'],
    ['over the limit, push', aUser(), 'push', as('owner', full), 'forbid storage_limit'],
    ['over the limit, an admin', aUser({ admin: true }), 'push', full, 'forbid storage_limit'],
    ['over the limit, the rest', aUser(), 'delete *', as('owner', full), 'grant allowed'],
    ['over the limit, pull', aUser(), 'pull', as('owner', full), 'grant role'],
    ['over the limit, no role', aUser(), 'push', as('reporter', full), 'refuse role'],
    ['over the limit, a deploy token', aDeployToken(), 'push', { ...own, ...full }, 'forbid storage_limit'],
    ['over the limit, a job', aJob(), 'push', as('developer', full), 'forbid storage_limit'],
    [
      'a rule and the limit',
      aUser(),
      'push',
      as('owner', { ...rule, ...full }),
      'forbid protected_repository',
    ],
  ]);
});

describe('rules: scopes of the registry itself', () => {
  const catalog = 'registry:catalog:*';
  const admin: Partial<Person> = { admin: true };
  const rows: readonly (readonly [string, Subject, string, string])[] = [
    ['an admin', aUser(admin), catalog, 'grant'],
    ['an admin', aUser(admin), 'registry:statistics:*', 'grant'],
    ['an admin', aUser(admin), 'registry:background-migrations:*', 'grant'],
    ['an admin with api', aTokenUser(['api'], admin), catalog, 'grant'],
    ['an admin with less', aTokenUser(['read_api', 'write_registry'], admin), catalog, 'refuse'],
    ['an admin who asks something else', aUser(admin), 'registry:catalog:pull', 'refuse'],
    ['an admin who asks more', aUser(admin), 'registry:catalog:*,pull', 'refuse'],
    ['a user', aUser(), catalog, 'refuse'],
    ['an auditor', aUser({ auditor: true }), catalog, 'refuse'],
    ['a deploy token', aDeployToken(), catalog, 'refuse'],
    ["an admin's job", aJob(aPerson(admin)), catalog, 'refuse'],
    ['anonymous', anonymous(), catalog, 'refuse'],
  ];
  for (const [who, subject, scope, expected] of rows) {
    it(`${who}, ${scope} → ${expected}`, () => {
      const situation = { subject, scopes: ask(scope), projects: [], circumstances: circumstances() };
      const verdict = [
        ...new Set(decide(situation).rulings.map((ruling) => `${ruling.verdict} ${ruling.rule}`)),
      ];
      assert.deepEqual(verdict, [`${expected} registry_scope`]);
    });
  }
});

describe('rules: the lists', () => {
  it('refuses what belongs to no project', () => {
    const situation = { subject: aUser(), projects: [], circumstances: circumstances() };
    const [ruling] = decide({ ...situation, scopes: ask('repository:acme/gone:pull') }).rulings;
    assert.deepEqual([ruling?.verdict, ruling?.rule], ['refuse', 'project_unknown']);
  });

  it('checks a disabled registry and the credential first, for every subject', () => {
    for (const list of Object.values(RULES)) {
      assert.deepEqual(
        list.slice(0, 3).map(({ id }) => id),
        ['registry_disabled', 'credential_ability', 'ip_allowlist'],
      );
    }
  });

  it('takes a list without a last word for an error, never for a grant', () => {
    const list = RULES.anonymous as (typeof RULES.anonymous)[number][];
    const last = list.pop();
    assert.ok(last);
    try {
      assert.throws(() => decideOn(anonymous(), 'pull'), /the last rule of each list decides/);
    } finally {
      list.push(last);
    }
  });

  it('leaves the projects of others to job_elsewhere, whatever the order of the list', () => {
    const decideAlone = (id: string, action: 'pull' | 'push'): Verdict | undefined => {
      const rule = RULES.job.find((candidate) => candidate.id === id);
      assert.ok(rule);
      const scopes = ask('repository:acme/app:pull');
      assert.ok(scopes[0]);
      const asked: Case = {
        subject: aJob(null, OTHER_PROJECT),
        scope: scopes[0],
        action,
        project: null,
        standing: NO_STANDING,
        circumstances: circumstances(),
        blockingRule: null,
      };
      return rule.decide({ ...asked, project: aProject() });
    };
    assert.equal(decideAlone('job_push', 'push'), undefined);
    assert.equal(decideAlone('job_own_project', 'pull'), undefined);
  });
});
