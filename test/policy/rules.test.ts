import assert from 'node:assert/strict';
import type { Project } from '../../src/policy/project.ts';
import { RULES } from '../../src/policy/rules.ts';
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
  type CircumstancesFixture,
  circumstances,
  decide,
  decideOn,
  member,
  outcome,
  repositoryRule,
} from '../support/policy.ts';

const OTHER_PROJECT = 202;
const OFFICE = { group: 'acme', ranges: ['10.0.0.0/8', '192.168.0.0/16'] };
const VPN = { group: 'acme/inner', ranges: ['10.1.0.0/16'] };
const CHANGES = 'push delete *';

function as(role: Parameters<typeof member>[0], facts: Partial<Project> = {}): Partial<Project> {
  return { memberships: [member(role)], ...facts };
}

/** `verdict rule` for each action asked alone. */
function verdicts(subject: Subject, actions: string, facts: Partial<Project>, at?: CircumstancesFixture): string {
  const each = actions.split(' ').map((action) => decideOn(subject, action, aProject(facts), at).rulings[0]);
  return [...new Set(each.map((ruling) => `${ruling?.verdict} ${ruling?.rule}`))].join(', ');
}

type Row = readonly [
  what: string,
  subject: Subject,
  actions: string,
  facts: Partial<Project>,
  expected: string,
  at?: CircumstancesFixture,
];

function checkRows(rows: readonly Row[]): void {
  for (const [what, subject, actions, facts, expected, at] of rows) {
    it(`${what}: ${actions} → ${expected}`, () => {
      assert.equal(verdicts(subject, actions, facts, at), expected);
    });
  }
}

describe('rules: a disabled registry', () => {
  const off: Partial<Project> = { visibility: 'public', registryAccess: 'disabled' };
  const deployTokens = { ...off, ownDeployToken: true };
  checkRows([
    ['an owner', aUser(), 'pull push delete *', as('owner', off), 'refuse registry_disabled'],
    ['an admin', aUser({ admin: true }), 'pull push delete *', off, 'refuse registry_disabled'],
    ['an auditor', aUser({ auditor: true }), 'pull', off, 'refuse registry_disabled'],
    ['anonymous', anonymous(), 'pull', off, 'refuse registry_disabled'],
    ['a deploy token of its own', aDeployToken(), 'pull push', deployTokens, 'refuse registry_disabled'],
    ['a job of its own', aJob(), 'pull push delete', as('owner', off), 'refuse registry_disabled'],
    ['looked at before the credential', aTokenUser(['read_api']), 'push', off, 'refuse registry_disabled'],
  ]);
});

describe('rules: what the credential can do', () => {
  checkRows([
    ['a reading token of an owner', aTokenUser(['read_registry']), CHANGES, as('owner'), 'refuse credential_ability'],
    ['write_registry', aTokenUser(['write_registry']), 'pull delete *', as('owner'), 'refuse credential_ability'],
    ['a job', aJob(), '*', as('owner'), 'refuse credential_ability'],
    ['a deploy token', aDeployToken(), 'delete *', { ownDeployToken: true }, 'refuse credential_ability'],
    ['anonymous', anonymous(), CHANGES, { visibility: 'public' }, 'refuse credential_ability'],
  ]);
});

describe('rules: IP allowlists', () => {
  const open: Partial<Project> = { visibility: 'public', ipAllowlists: [OFFICE], jobAccess: 'anyone' };
  const office = { inside: ['192.168.0.0/16'] };
  const vpn = { inside: ['10.0.0.0/8', '10.1.0.0/16'] };
  const both = { ...open, ipAllowlists: [OFFICE, VPN] };
  const refused = 'refuse ip_allowlist';
  checkRows([
    ['anonymous outside', anonymous(), 'pull', open, refused],
    ['a user outside', aUser(), 'pull push delete *', as('owner', open), refused],
    ['a deploy token outside', aDeployToken(), 'pull push', { ...open, ownDeployToken: true }, refused],
    ['a job of another project outside', aJob(aPerson(), OTHER_PROJECT), 'pull', as('owner', open), refused],
    [
      "an admin's job elsewhere",
      aJob(aPerson({ admin: true }), OTHER_PROJECT),
      'pull',
      as('owner', open),
      refused,
    ],
    ["an auditor's job elsewhere", aJob(aPerson({ auditor: true }), OTHER_PROJECT), 'pull', open, refused],
    ['a job on its own project', aJob(), 'pull', open, 'grant job_own_project'],
    ['an admin', aUser({ admin: true }), CHANGES, { ipAllowlists: [OFFICE] }, 'grant allowed'],
    ['an auditor', aUser({ auditor: true }), 'pull', { ipAllowlists: [OFFICE] }, 'grant auditor'],
    ['inside any range of the list', anonymous(), 'pull', open, 'grant open_to_everyone', office],
    ['inside one list of two', anonymous(), 'pull', both, refused, office],
    ['inside both lists', anonymous(), 'pull', both, 'grant open_to_everyone', vpn],
    ['a list without ranges lets nobody in', anonymous(), 'pull', { ...open, ipAllowlists: [{ group: 'a', ranges: [] }] }, refused, vpn],
  ]);

  it('is no error for who else gets something', () => {
    const projects = [aProject({ ...open, path: 'acme/app' }), aProject({ id: 2, path: 'b/c', visibility: 'public' })];
    const scopes = ask('repository:acme/app:pull repository:b/c:pull');
    const decision = decide({ subject: anonymous(), scopes, projects, circumstances: circumstances() });
    assert.equal(outcome(decision), 'b/c:pull');
  });
});

describe('rules: maintenance', () => {
  const now = { maintenanceMode: true };
  const organization: Partial<Project> = { maintainedOrganization: 'default' };
  const own: Partial<Project> = { ownDeployToken: true };
  checkRows([
    ['of the instance, an owner', aUser(), CHANGES, as('owner'), 'refuse maintenance', now],
    ['of the instance, an admin', aUser({ admin: true }), CHANGES, {}, 'refuse maintenance', now],
    ['of the instance, a deploy token', aDeployToken(), 'push', own, 'refuse maintenance', now],
    ['of the instance, a job', aJob(), 'push delete', as('owner'), 'refuse maintenance', now],
    ['of the organization, an owner', aUser(), CHANGES, as('owner', organization), 'refuse maintenance'],
    ['of the organization, a deploy token', aDeployToken(), 'push', { ...own, ...organization }, 'refuse maintenance'],
    ['of the organization, a job', aJob(), 'push delete', as('owner', organization), 'refuse maintenance'],
    ['pull stays', aUser(), 'pull', as('reporter', organization), 'grant role', now],
    ['pull stays for deploy tokens', aDeployToken(), 'pull', { ...own, ...organization }, 'grant deploy_token_reach', now],
    ['pull stays for jobs', aJob(), 'pull', organization, 'grant job_own_project', now],
    ['pull stays for anonymous', anonymous(), 'pull', { visibility: 'public', ...organization }, 'grant open_to_everyone', now],
    ['none of either', aUser(), CHANGES, as('owner'), 'grant allowed'],
  ]);
});

describe('rules: archived or scheduled for deletion', () => {
  const archived: Partial<Project> = { archivedBy: 'acme' };
  const doomed: Partial<Project> = { deletionScheduled: true };
  const own: Partial<Project> = { ownDeployToken: true };
  checkRows([
    ['archived, an owner', aUser(), CHANGES, as('owner', archived), 'refuse project_state'],
    ['archived, an admin', aUser({ admin: true }), CHANGES, archived, 'refuse project_state'],
    ['archived, pull', aUser(), 'pull', as('reporter', archived), 'grant role'],
    ['doomed, an owner', aUser(), CHANGES, as('owner', doomed), 'refuse project_state'],
    ['doomed, pull', aUser(), 'pull', as('reporter', doomed), 'grant role'],
    ['archived, a deploy token', aDeployToken(), 'push', { ...own, ...archived }, 'refuse project_state'],
    ['doomed, a deploy token', aDeployToken(), 'push', { ...own, ...doomed }, 'refuse project_state'],
    ['archived, pull of a deploy token', aDeployToken(), 'pull', { ...own, ...archived }, 'grant deploy_token_reach'],
    ['archived, the push of a job', aJob(), 'push', as('owner', archived), 'forbid job_push'],
    ['archived, delete and pull of a job', aJob(), 'delete pull', archived, 'grant job_own_project'],
  ]);
});

describe('rules: users', () => {
  const internal: Partial<Project> = { visibility: 'internal' };
  checkRows([
    ['a public project', aUser(), 'pull', { visibility: 'public' }, 'grant open_to_everyone'],
    ['a public project for members', aUser(), 'pull', { visibility: 'public', registryAccess: 'private' }, 'refuse role'],
    ['an internal project', aUser(), 'pull', internal, 'grant open_to_users'],
    ['an internal project, external', aUser({ external: true }), 'pull', internal, 'refuse role'],
    ['an auditor', aUser({ auditor: true }), 'pull', {}, 'grant auditor'],
    ['an auditor pushes', aUser({ auditor: true }), CHANGES, {}, 'refuse role'],
    ['a reporter', aUser(), 'pull', as('reporter'), 'grant role'],
    ['a guest', aUser(), 'pull', as('guest'), 'refuse role'],
    ['a developer deletes', aUser(), 'delete *', as('developer'), 'refuse role'],
    ['a maintainer', aUser(), CHANGES, as('maintainer'), 'grant allowed'],
    ['nobody', aUser(), 'pull push delete *', {}, 'refuse role'],
  ]);
});

describe('rules: deploy tokens and anonymous', () => {
  checkRows([
    ['its own project, pull', aDeployToken(), 'pull', { ownDeployToken: true }, 'grant deploy_token_reach'],
    ['its own project, push', aDeployToken(), 'push', { ownDeployToken: true }, 'grant allowed'],
    ['a public project', aDeployToken(), 'pull', { visibility: 'public' }, 'grant deploy_token_reach'],
    ['push to a public project', aDeployToken(), 'push', { visibility: 'public' }, 'refuse deploy_token_reach'],
    ['an internal project', aDeployToken(), 'pull', { visibility: 'internal' }, 'refuse deploy_token_reach'],
    ['anonymous and public', anonymous(), 'pull', { visibility: 'public' }, 'grant open_to_everyone'],
    ['anonymous and internal', anonymous(), 'pull', { visibility: 'internal' }, 'refuse not_public'],
  ]);
});

describe('rules: jobs', () => {
  const elsewhere = aJob(aPerson(), OTHER_PROJECT);
  checkRows([
    ['its own project', aJob(null), 'pull delete', {}, 'grant job_own_project'],
    ["a developer's push", aJob(), 'push', as('developer'), 'grant allowed'],
    ["a reporter's push", aJob(), 'push', as('reporter'), 'forbid job_push'],
    ['a push without a user', aJob(null), 'push', as('developer'), 'forbid job_push'],
    ["an admin's push without a role", aJob(aPerson({ admin: true })), 'push', {}, 'forbid job_push'],
    ['a push elsewhere is no error', elsewhere, 'push delete', as('owner', { jobAccess: 'listed' }), 'refuse job_elsewhere'],
    ['a pull elsewhere', elsewhere, 'pull', as('reporter', { jobAccess: 'listed' }), 'grant job_elsewhere'],
    ['not listed', elsewhere, 'pull', as('reporter'), 'refuse job_elsewhere'],
  ]);
});

describe('rules: protected repositories and storage limits', () => {
  const rule: Partial<Project> = { protectedRepositories: [repositoryRule('acme/*', 'admin')] };
  const full: Partial<Project> = { overStorageLimit: 'acme' };
  const own: Partial<Project> = { ownDeployToken: true };
  checkRows([
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
    ['a rule and the limit', aUser(), 'push', as('owner', { ...rule, ...full }), 'forbid protected_repository'],
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
      const verdict = [...new Set(decide(situation).rulings.map((ruling) => `${ruling.verdict} ${ruling.rule}`))];
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

  it('looks at a disabled registry and at the credential first, whoever asks', () => {
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
});
