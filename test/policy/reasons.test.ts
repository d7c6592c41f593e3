import assert from 'node:assert/strict';
import type { Membership, Project } from '../../src/policy/project.ts';
import { needOf, reasonOf } from '../../src/policy/reasons.ts';
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
  type CircumstancesFixture,
  circumstances,
  decide,
  invited,
  member,
  repositoryRule,
} from '../support/policy/subjects.ts';

const OTHER_PROJECT = 202;
const OFFICE = { group: 'acme', ranges: ['10.0.0.0/8', '192.168.0.0/16'] };
const VPN = { group: 'acme/inner', ranges: ['10.1.0.0/16'] };
const EXTERNAL = { external: true };

function as(role: Membership['role'], facts: Partial<Project> = {}): Partial<Project> {
  return { memberships: [member(role)], ...facts };
}

/** A job of the project acme/web. */
function jobElsewhere(person: Parameters<typeof aPerson>[0] | null = {}): Subject {
  return { ...aJob(person && aPerson(person), OTHER_PROJECT), projectPath: 'acme/web' };
}

/** What is asked: an action on `acme/app`, or a whole scope. */
type Row = readonly [
  subject: Subject,
  asked: string,
  facts: Partial<Project>,
  verdict: string,
  reason: string,
  need: string,
  at?: CircumstancesFixture,
];

/** One test for each row: which rule decides, and what it says. */
function checkWords(rows: readonly Row[]): void {
  for (const [subject, asked, facts, verdict, reason, need, at] of rows) {
    it(`${verdict}: ${reason}`, () => {
      const scopes = ask(asked.includes(':') ? asked : `repository:acme/app:${asked}`);
      const projects = [aProject(facts)];
      const [ruling] = decide({ subject, scopes, projects, circumstances: circumstances(at) }).rulings;
      assert.ok(ruling);
      assert.deepEqual(
        [`${ruling.verdict} ${ruling.rule}`, reasonOf(ruling), needOf(ruling)],
        [verdict, reason, need],
      );
    });
  }
}

describe('reasons: what is asked, and where', () => {
  const catalog = 'registry:catalog:*';
  const admins = "an admin's password, or an admin's token with the scope api, and * as the only action";
  checkWords([
    [
      aUser({ admin: true }),
      catalog,
      {},
      'grant registry_scope',
      'an admin asks for exactly * on catalog, with a credential that allows every action',
      admins,
    ],
    [
      aUser(),
      catalog,
      {},
      'refuse registry_scope',
      'registry:catalog is only for admins who ask for exactly *, with a password or a token with the scope api',
      admins,
    ],
    [
      aUser(),
      'repository:acme/gone:pull',
      {},
      'refuse project_unknown',
      'there is no project at acme/gone',
      'a project at acme/gone',
    ],
    [
      aUser(),
      'repository:acme/gone/a:pull',
      {},
      'refuse project_unknown',
      'there is no project at acme/gone/a or acme/gone',
      'a project at acme/gone/a or acme/gone',
    ],
    [
      aUser(),
      'repository:acme/gone/a/b:pull',
      {},
      'refuse project_unknown',
      'there is no project at acme/gone/a/b, acme/gone/a or acme/gone',
      'a project at acme/gone/a/b, acme/gone/a or acme/gone',
    ],
    [
      aUser(),
      'pull',
      { registryAccess: 'disabled' },
      'refuse registry_disabled',
      'the container registry of acme/app is disabled',
      'container_registry: enabled on acme/app',
    ],
  ]);
});

describe('reasons: what the credential can do', () => {
  const refused = 'refuse credential_ability';
  const tokenNeeds = (scopes: string) => `a password, or an access token with the scope ${scopes}`;
  checkWords([
    [
      aTokenUser(['read_registry']),
      'push',
      {},
      refused,
      'token scopes read_registry; push needs write_registry or api',
      tokenNeeds('write_registry or api'),
    ],
    [
      aTokenUser(['write_registry', 'read_user']),
      'pull',
      {},
      refused,
      'token scopes write_registry, read_user; pull needs read_registry, read_api or api',
      tokenNeeds('read_registry, read_api or api'),
    ],
    [
      aTokenUser(['read_api']),
      'delete',
      {},
      refused,
      'token scopes read_api; delete needs api',
      tokenNeeds('api'),
    ],
    [aTokenUser(['read_api']), '*', {}, refused, 'token scopes read_api; * needs api', tokenNeeds('api')],
    [
      aDeployToken(['write_registry']),
      'pull',
      {},
      refused,
      'deploy token scopes write_registry; pull needs read_registry',
      'a deploy token with the scope read_registry',
    ],
    [
      aDeployToken([]),
      'push',
      {},
      refused,
      'deploy token scopes (none); push needs write_registry',
      'a deploy token with the scope write_registry',
    ],
    [
      aDeployToken(),
      'delete',
      {},
      refused,
      'deploy token scopes read_registry, write_registry; delete is never granted to deploy tokens',
      tokenNeeds('api'),
    ],
    [
      aDeployToken(['read_registry']),
      '*',
      {},
      refused,
      'deploy token scopes read_registry; * is never granted to deploy tokens',
      tokenNeeds('api'),
    ],
    [aJob(), '*', {}, refused, 'a CI job token; * is never granted to jobs', tokenNeeds('api')],
    [
      anonymous(),
      'push',
      {},
      refused,
      'no credentials; push needs credentials',
      tokenNeeds('write_registry or api'),
    ],
  ]);

  it('says so of a password, and of a token without scopes, too, should they ever lack one', () => {
    const scopes = ask('repository:acme/app:push');
    const projects = [aProject()];
    const reasonFor = (subject: Subject): string | undefined => {
      const bare = { ...subject, abilities: new Set<never>() };
      const [ruling] = decide({ subject: bare, scopes, projects, circumstances: circumstances() }).rulings;
      return ruling && reasonOf(ruling);
    };
    assert.equal(reasonFor(aUser()), 'a password; push needs write_registry or api');
    assert.equal(reasonFor(aTokenUser([])), 'token scopes (none); push needs write_registry or api');
  });
});

describe('reasons: where the client is, and the state of things', () => {
  checkWords([
    [
      aUser(),
      'pull',
      { ipAllowlists: [OFFICE] },
      'refuse ip_allowlist',
      '192.0.2.1 is outside the IP allowlist of group acme (10.0.0.0/8, 192.168.0.0/16)',
      'a client address inside the IP allowlist of group acme',
    ],
    [
      anonymous(),
      'pull',
      { ipAllowlists: [OFFICE, VPN] },
      'refuse ip_allowlist',
      '192.0.2.1 is outside the IP allowlist of group acme (10.0.0.0/8, 192.168.0.0/16) and group acme/inner (10.1.0.0/16)',
      'a client address inside the IP allowlist of group acme and group acme/inner',
    ],
    [
      aUser(),
      'pull',
      { ipAllowlists: [OFFICE, VPN] },
      'refuse ip_allowlist',
      '192.0.2.1 is outside the IP allowlist of group acme/inner (10.1.0.0/16)',
      'a client address inside the IP allowlist of group acme/inner',
      { inside: ['192.168.0.0/16'] },
    ],
    [
      aUser(),
      'push',
      as('owner'),
      'refuse maintenance',
      'maintenance of the instance allows only pull',
      'the end of the maintenance of the instance',
      { maintenanceMode: true },
    ],
    [
      aUser(),
      'delete',
      as('owner', { maintainedOrganization: 'default' }),
      'refuse maintenance',
      'maintenance of organization default allows only pull',
      'the end of the maintenance of organization default',
    ],
    [
      aDeployToken(),
      'push',
      { maintainedOrganization: 'default' },
      'refuse maintenance',
      'maintenance of the instance and organization default allows only pull',
      'the end of the maintenance of the instance and organization default',
      { maintenanceMode: true },
    ],
    [
      aUser(),
      'push',
      as('owner', { archivedBy: 'acme' }),
      'refuse project_state',
      'acme is archived, which allows only pull',
      'acme not archived',
    ],
    [
      aUser(),
      '*',
      as('owner', { deletionScheduled: true }),
      'refuse project_state',
      'acme/app is scheduled for deletion, which allows only pull',
      'acme/app not scheduled for deletion',
    ],
    [
      aDeployToken(),
      'push',
      { archivedBy: 'acme/app', deletionScheduled: true },
      'refuse project_state',
      'acme/app is archived and acme/app is scheduled for deletion, which allows only pull',
      'acme/app not archived and acme/app not scheduled for deletion',
    ],
    [
      aUser(),
      'push',
      as('owner', { overStorageLimit: 'acme' }),
      'forbid storage_limit',
      'root group acme is over its storage limit',
      'root group acme within its storage limit',
    ],
  ]);

  it('says so where the address of the client is not known', () => {
    const at = circumstances();
    const unknown = { ...at, clientAddress: { ...at.clientAddress, text: '' } };
    const scopes = ask('repository:acme/app:pull');
    const projects = [aProject({ ipAllowlists: [VPN] })];
    const [ruling] = decide({ subject: aUser(), scopes, projects, circumstances: unknown }).rulings;
    assert.ok(ruling);
    assert.equal(
      reasonOf(ruling),
      'an unknown address is outside the IP allowlist of group acme/inner (10.1.0.0/16)',
    );
  });
});

describe('reasons: what is open, and to whom', () => {
  const internal: Partial<Project> = { visibility: 'internal' };
  const userNeed = 'credentials of a user who is reporter or more on acme/app';
  const needsPublic = `${userNeed}, or acme/app public with its registry enabled`;
  checkWords([
    [
      anonymous(),
      'pull',
      { visibility: 'public' },
      'grant open_to_everyone',
      'acme/app is public',
      'nothing',
    ],
    [
      aUser(),
      'pull',
      internal,
      'grant open_to_users',
      "acme/app is internal, and alice isn't an external user",
      'nothing',
    ],
    [
      aUser(EXTERNAL),
      'pull',
      as('guest', internal),
      'grant open_to_users',
      'acme/app is internal; alice is guest as a member of acme/app',
      'nothing',
    ],
    [aUser({ auditor: true }), 'pull', {}, 'grant auditor', 'alice is an auditor', 'nothing'],
    [
      anonymous(),
      'pull',
      {},
      'refuse not_public',
      'acme/app is private; anonymous clients can only pull from public projects',
      needsPublic,
    ],
    [
      anonymous(),
      'pull',
      internal,
      'refuse not_public',
      'acme/app is internal; anonymous clients can only pull from public projects',
      needsPublic,
    ],
    [
      anonymous(),
      'pull',
      { visibility: 'private', registryAccess: 'private' },
      'refuse not_public',
      'acme/app is private; anonymous clients can only pull from public projects',
      needsPublic,
    ],
    [
      anonymous(),
      'pull',
      { visibility: 'public', registryAccess: 'private' },
      'refuse not_public',
      'the registry of acme/app is for members only; anonymous clients can only pull from public projects',
      needsPublic,
    ],
  ]);
});

describe('reasons: deploy tokens', () => {
  const own: Partial<Project> = { ownDeployToken: true };
  const need = 'a deploy token of acme/app or of a group above it';
  const other = 'the deploy token belongs neither to acme/app nor to a group above it';
  const rule = (minimum: 'maintainer' | null) => ({
    ...own,
    protectedRepositories: [repositoryRule('acme/*', minimum)],
  });
  checkWords([
    [
      aDeployToken(),
      'pull',
      own,
      'grant deploy_token_reach',
      'the deploy token belongs to acme/app or a group above it',
      need,
    ],
    [
      aDeployToken(),
      'pull',
      { visibility: 'public' },
      'grant deploy_token_reach',
      `${other}, but acme/app is public`,
      need,
    ],
    [
      aDeployToken(),
      'push',
      { visibility: 'public' },
      'refuse deploy_token_reach',
      `${other}; elsewhere it can only pull from public projects`,
      need,
    ],
    [
      aDeployToken(),
      'push',
      own,
      'grant allowed',
      'deploy token scopes read_registry, write_registry, which may push',
      'nothing',
    ],
    [
      aDeployToken(),
      'push',
      rule('maintainer'),
      'forbid protected_repository',
      'the repository is protected by pattern acme/*, so no deploy token can push',
      'a user who is maintainer or more instead of a deploy token, or another rule on acme/app',
    ],
    [
      aDeployToken(),
      'push',
      rule(null),
      'forbid protected_repository',
      'the repository is protected by pattern acme/*, so no deploy token can push',
      'a user who is developer or more instead of a deploy token, or another rule on acme/app',
    ],
  ]);
});

describe('reasons: protected repositories', () => {
  const rules = (...minimums: readonly ('maintainer' | 'owner' | 'admin')[]): Partial<Project> => ({
    protectedRepositories: [
      repositoryRule('acme/other*', 'admin'),
      ...minimums.map((minimum, index) => repositoryRule(`acme/a${'*'.repeat(index + 1)}`, minimum)),
    ],
  });
  const alice = 'alice is developer as a member of acme/app';
  checkWords([
    [
      aUser(),
      'push',
      as('developer', rules('maintainer')),
      'forbid protected_repository',
      `the repository is protected by pattern acme/a*, push needs maintainer or more; ${alice}`,
      'maintainer or more, or another rule on acme/app',
    ],
    [
      aJob(),
      'push',
      as('developer', rules('owner')),
      'forbid protected_repository',
      `the repository is protected by pattern acme/a*, push needs owner; ${alice}`,
      'owner, or another rule on acme/app',
    ],
    [
      aUser(),
      '*',
      as('maintainer', rules('admin')),
      'forbid protected_repository',
      'the repository is protected by pattern acme/a*, push needs an admin; alice is maintainer as a member of acme/app',
      'an admin, or another rule on acme/app',
    ],
    [
      aUser(),
      'push',
      as('developer', rules('maintainer', 'owner', 'maintainer')),
      'forbid protected_repository',
      `the repository is protected by patterns acme/a*, acme/a** and acme/a***, push needs owner; ${alice}`,
      'owner, or another rule on acme/app',
    ],
    [
      aUser(),
      'push',
      as('developer', rules('maintainer', 'owner')),
      'forbid protected_repository',
      `the repository is protected by patterns acme/a* and acme/a**, push needs owner; ${alice}`,
      'owner, or another rule on acme/app',
    ],
    [
      aUser(),
      'push',
      as('maintainer', rules('maintainer', 'owner')),
      'forbid protected_repository',
      'the repository is protected by pattern acme/a**, push needs owner; alice is maintainer as a member of acme/app',
      'owner, or another rule on acme/app',
    ],
  ]);
});

describe('reasons: jobs', () => {
  const noUser = 'the job has no user; a job can push only if its user can';
  const developers = 'a job whose user is developer or more on acme/app';
  const list = "acme/app doesn't list acme/web in its job token allowlist";
  const listed: Partial<Project> = { jobAccess: 'listed' };
  const listNeed = 'acme/web, or a group above it, in the job token allowlist of acme/app';
  const reporters = 'a job whose user is reporter or more on acme/app';
  checkWords([
    [aJob(), 'delete', {}, 'grant job_own_project', 'the job runs in acme/app', 'nothing'],
    [
      aJob(),
      'push',
      as('developer'),
      'grant allowed',
      'alice is developer as a member of acme/app, who may push',
      'nothing',
    ],
    [aJob(null), 'push', {}, 'forbid job_push', noUser, developers],
    [
      aJob(),
      'push',
      as('reporter'),
      'forbid job_push',
      'alice is reporter as a member of acme/app; a job can push only if its user can',
      developers,
    ],
    [
      aJob(),
      'push',
      as('developer', { archivedBy: 'acme' }),
      'forbid job_push',
      'acme is archived, so no job can push',
      'acme not archived',
    ],
    [
      aJob(null),
      'push',
      { archivedBy: 'acme' },
      'forbid job_push',
      `acme is archived, so no job can push; ${noUser}`,
      `acme not archived and ${developers}`,
    ],
    [
      jobElsewhere(),
      'push',
      as('owner', listed),
      'refuse job_elsewhere',
      'a job of acme/web can only pull from other projects',
      'a job of acme/app itself, whose user is developer or more',
    ],
    [
      jobElsewhere(),
      'delete',
      {},
      'refuse job_elsewhere',
      'a job of acme/web can only pull from other projects',
      'a job of acme/app itself',
    ],
    [
      jobElsewhere(null),
      'pull',
      { visibility: 'public' },
      'refuse job_elsewhere',
      'a job without a user has no access to other projects',
      'a job with a user',
    ],
    [
      jobElsewhere(),
      'pull',
      as('reporter', listed),
      'grant job_elsewhere',
      'acme/app lists acme/web in its job token allowlist, and its user may pull',
      '',
    ],
    [
      jobElsewhere(),
      'pull',
      as('guest', listed),
      'refuse job_elsewhere',
      'acme/app lists acme/web in its job token allowlist, but its user may not pull: alice is guest as a member of acme/app',
      reporters,
    ],
    [
      jobElsewhere(),
      'pull',
      { jobAccess: 'anyone' },
      'refuse job_elsewhere',
      'acme/app allows jobs of every project, but its user may not pull: alice has no role on acme/app',
      reporters,
    ],
    [
      jobElsewhere(),
      'pull',
      as('reporter', { jobAccess: 'anyone' }),
      'grant job_elsewhere',
      'acme/app allows jobs of every project, and its user may pull',
      '',
    ],
    [
      jobElsewhere(),
      'pull',
      { visibility: 'internal' },
      'grant job_elsewhere',
      `${list}, but is internal`,
      listNeed,
    ],
    [
      jobElsewhere(),
      'pull',
      as('reporter'),
      'refuse job_elsewhere',
      `${list}, and acme/app is private`,
      listNeed,
    ],
    [
      jobElsewhere(),
      'pull',
      {},
      'refuse job_elsewhere',
      `${list}, and acme/app is private`,
      `${listNeed} and ${reporters}`,
    ],
    [
      jobElsewhere(),
      'pull',
      { visibility: 'internal', registryAccess: 'private' },
      'refuse job_elsewhere',
      `${list}, and the registry of acme/app is for members only`,
      `${listNeed} and ${reporters}`,
    ],
    [
      jobElsewhere(EXTERNAL),
      'pull',
      { visibility: 'internal' },
      'refuse job_elsewhere',
      `${list}, and acme/app is internal (its user is external)`,
      `${listNeed} and a job whose user is guest or more on acme/app`,
    ],
  ]);
});

describe('reasons: a rule that is not for this subject', () => {
  it('has words that name nothing', () => {
    const scopes = ask('repository:acme/app:push');
    const projects = [aProject()];
    const [ruling] = decide({ subject: aUser(), scopes, projects, circumstances: circumstances() }).rulings;
    assert.ok(ruling);
    const reason = reasonOf({ ...ruling, rule: 'job_elsewhere' });
    assert.equal(reason, 'a job of  can only pull from other projects');
  });
});

describe('reasons: how a user stands to a project', () => {
  const inner = (facts: Partial<Project>): Partial<Project> => ({ path: 'acme/platform/app', ...facts });
  const group = (path: string, role: Membership['role'] = 'developer') =>
    member(role, { via: 'group', path });
  const expired = { expiresOn: '2026-11-24' };
  const rows: readonly (readonly [memberships: readonly Membership[], text: string, Partial<Project>?])[] = [
    [[member('developer', { path: 'acme/platform/app' })], 'is developer as a member of acme/platform/app'],
    [[group('acme/platform')], 'is developer through group acme/platform'],
    [[group('acme')], 'is developer through group acme/platform, inherited from acme'],
    [
      [member('owner', { via: 'personal_namespace', path: 'alice' })],
      'is owner of the personal namespace alice',
    ],
    [[member('owner', { via: 'organization', path: 'default' })], 'is owner of organization default'],
    [
      [invited('owner', { role: 'developer' }, { path: 'acme/platform/app' })],
      'is developer through group friends (owner there), invited to acme/platform/app as developer',
    ],
    [
      [invited('developer', { role: 'owner' }, { path: 'acme', via: 'group_invited_to_group' })],
      'is developer through group friends (developer there), invited to acme as owner',
    ],
    [[], 'has no role on acme/platform/app'],
    [
      [{ ...group('acme/platform'), ...expired }],
      'has no role on acme/platform/app (not counted: developer through group acme/platform, expired)',
    ],
    [
      [{ ...group('acme', 'maintainer'), ...expired }, group('acme/platform', 'guest')],
      'is guest through group acme/platform (not counted: maintainer through group acme/platform, inherited from acme, expired)',
    ],
    [
      [{ ...group('acme', 'guest'), ...expired }, group('acme/platform', 'guest')],
      'is guest through group acme/platform',
    ],
    [
      [
        invited('owner', { role: 'developer' }, { path: 'acme/platform/app' }),
        { ...group('acme/platform'), ...expired },
      ],
      'has no role on acme/platform/app (not counted: developer through group friends (owner there), invited to acme/platform/app as developer, but acme forbids invited groups; developer through group acme/platform, expired)',
      { shareLockedBy: 'acme' },
    ],
  ];
  for (const [memberships, text, facts] of rows) {
    it(`alice ${text}`, () => {
      const projects = [aProject(inner({ memberships, ...facts }))];
      const scopes = ask('repository:acme/platform/app:pull');
      const [ruling] = decide({ subject: aUser(), scopes, projects, circumstances: circumstances() }).rulings;
      assert.ok(ruling);
      assert.equal(reasonOf(ruling), `alice ${text}; pull needs reporter or more`);
      assert.equal(needOf(ruling), 'the role reporter or more on acme/platform/app');
    });
  }

  checkWords([
    [
      aUser({ admin: true }),
      'push',
      as('guest'),
      'grant allowed',
      'alice is owner as an admin, who may push',
      'nothing',
    ],
    [
      aUser(),
      'push',
      as('reporter'),
      'refuse role',
      'alice is reporter as a member of acme/app; push needs developer or more',
      'the role developer or more on acme/app',
    ],
    [
      aUser(),
      'delete',
      {},
      'refuse role',
      'alice has no role on acme/app; delete needs maintainer or more',
      'the role maintainer or more on acme/app',
    ],
    [
      aUser(EXTERNAL),
      'pull',
      { visibility: 'internal' },
      'refuse role',
      'alice has no role on acme/app; pull needs guest or more',
      'the role guest or more on acme/app',
    ],
    [
      aUser(EXTERNAL),
      'push',
      { visibility: 'internal' },
      'refuse role',
      'alice has no role on acme/app; push needs developer or more',
      'the role developer or more on acme/app',
    ],
    [
      aUser(EXTERNAL),
      'pull',
      {},
      'refuse role',
      'alice has no role on acme/app; pull needs reporter or more',
      'the role reporter or more on acme/app',
    ],
    [
      aUser(EXTERNAL),
      'pull',
      { visibility: 'internal', registryAccess: 'private' },
      'refuse role',
      'alice has no role on acme/app; pull needs reporter or more',
      'the role reporter or more on acme/app',
    ],
    [
      aUser(),
      'pull',
      { visibility: 'internal', registryAccess: 'private' },
      'refuse role',
      'alice has no role on acme/app; pull needs reporter or more',
      'the role reporter or more on acme/app',
    ],
  ]);
});

describe('reasons: what can not be told', () => {
  it('is a rule about a project where there is none', () => {
    const [ruling] = decide({
      subject: aUser(),
      scopes: ask('repository:no/where:pull'),
      projects: [],
      circumstances: circumstances({}),
    }).rulings;
    assert.throws(() => reasonOf({ ...ruling!, rule: 'role' }), /the rule role needs a project/);
  });
});

describe('reasons: what lies behind a first refusal', () => {
  it('of an anonymous push says nothing of how open the project is', () => {
    const { scopes, projects } = { scopes: ask('repository:acme/app:push'), projects: [aProject()] };
    const [ruling] = decide({
      subject: anonymous(),
      scopes,
      projects,
      circumstances: circumstances({}),
    }).rulings;
    const behind = { ...ruling!, rule: 'not_public' } as const;
    assert.equal(reasonOf(behind), 'anonymous clients can only pull from public projects');
    assert.equal(needOf(behind), 'credentials of a user who is developer or more on acme/app');
  });
});
