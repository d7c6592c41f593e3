import assert from 'node:assert/strict';
import { expandStar } from '../../src/policy/grant.ts';
import type { Project } from '../../src/policy/project.ts';
import { ACTIONS, type RegistryAccess, ROLES, type Visibility } from '../../src/policy/role.ts';
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
  circumstances,
  decide,
  decideOn,
  immutableTags,
  member,
  outcome,
  repositoryRule,
  tagRule,
} from '../support/policy/subjects.ts';

const OTHER_PROJECT = 202;
const EXTERNAL: Partial<Person> = { external: true };
const AUDITOR: Partial<Person> = { auditor: true };
const ADMIN: Partial<Person> = { admin: true };
const LISTED: Partial<Project> = { jobAccess: 'listed' };

function as(...roles: readonly Parameters<typeof member>[0][]): Partial<Project> {
  return { memberships: roles.map((role) => member(role)) };
}

/** A job of another project, run by this user. */
function jobElsewhere(person: Partial<Person> = {}): Subject {
  return aJob(aPerson(person), OTHER_PROJECT);
}

const SETTINGS: readonly (readonly [Visibility, RegistryAccess])[] = [
  ['public', 'enabled'],
  ['internal', 'enabled'],
  ['private', 'enabled'],
  ['public', 'private'],
  ['internal', 'private'],
  ['private', 'private'],
];

const LETTER = { pull: 'p', push: 'w', delete: 'd', '*': '*' };

/**
 * The letters of the actions granted when each is asked alone; `!` after one: the request is 403.
 */
function cell(subject: Subject, project: Project): string {
  const letters = ACTIONS.map((action) => {
    const { access, denial } = decideOn(subject, action, project);
    if (denial?.reason === 'forbidden_push') return `${LETTER[action]}!`;
    return access.some(({ actions }) => actions.includes(action)) ? LETTER[action] : '';
  });
  return letters.join('') || '-';
}

describe('grantAccess: the access matrix', () => {
  // columns: public, internal, private with the registry enabled; the same with the registry for members only
  const rows: readonly (readonly [string, Subject, Partial<Project>, string])[] = [
    ['anonymous', anonymous(), {}, 'p - - - - -'],

    ['user without a role', aUser(), {}, 'p p - - - -'],
    ['minimal_access', aUser(), as('minimal_access'), 'p p - - - -'],
    ['guest', aUser(), as('guest'), 'p p - - - -'],
    ['planner', aUser(), as('planner'), 'p p - - - -'],
    ['reporter', aUser(), as('reporter'), 'p p p p p p'],
    ['security_manager', aUser(), as('security_manager'), 'p p p p p p'],
    ['developer', aUser(), as('developer'), 'pw pw pw pw pw pw'],
    ['maintainer', aUser(), as('maintainer'), 'pwd* pwd* pwd* pwd* pwd* pwd*'],
    ['owner', aUser(), as('owner'), 'pwd* pwd* pwd* pwd* pwd* pwd*'],
    ['admin', aUser(ADMIN), {}, 'pwd* pwd* pwd* pwd* pwd* pwd*'],
    ['auditor', aUser(AUDITOR), {}, 'p p p p p p'],
    ['auditor who is a guest', aUser(AUDITOR), as('guest'), 'p p p p p p'],
    ['auditor who is a developer', aUser(AUDITOR), as('developer'), 'pw pw pw pw pw pw'],
    ['guest and developer', aUser(), as('guest', 'developer'), 'pw pw pw pw pw pw'],

    ['external user without a role', aUser(EXTERNAL), {}, 'p - - - - -'],
    ['external minimal_access', aUser(EXTERNAL), as('minimal_access'), 'p - - - - -'],
    ['external guest', aUser(EXTERNAL), as('guest'), 'p p - - - -'],
    ['external planner', aUser(EXTERNAL), as('planner'), 'p p - - - -'],
    ['external reporter', aUser(EXTERNAL), as('reporter'), 'p p p p p p'],
    ['external security_manager', aUser(EXTERNAL), as('security_manager'), 'p p p p p p'],
    ['external developer', aUser(EXTERNAL), as('developer'), 'pw pw pw pw pw pw'],
    ['external maintainer', aUser(EXTERNAL), as('maintainer'), 'pwd* pwd* pwd* pwd* pwd* pwd*'],
    ['external owner', aUser(EXTERNAL), as('owner'), 'pwd* pwd* pwd* pwd* pwd* pwd*'],

    ['owner with api', aTokenUser(['api']), as('owner'), 'pwd* pwd* pwd* pwd* pwd* pwd*'],
    ['owner with a token of no scopes', aTokenUser([]), as('owner'), 'pwd* pwd* pwd* pwd* pwd* pwd*'],
    ['owner with read_api', aTokenUser(['read_api']), as('owner'), 'p p p p p p'],
    ['owner with read_registry', aTokenUser(['read_registry']), as('owner'), 'p p p p p p'],
    ['owner with write_registry', aTokenUser(['write_registry']), as('owner'), 'w w w w w w'],
    ['reporter with write_registry', aTokenUser(['write_registry']), as('reporter'), '- - - - - -'],
    ['admin with read_registry', aTokenUser(['read_registry'], ADMIN), {}, 'p p p p p p'],
    ['auditor with write_registry', aTokenUser(['write_registry'], AUDITOR), {}, '- - - - - -'],

    ['deploy token of the project', aDeployToken(), { ownDeployToken: true }, 'pw pw pw pw pw pw'],
    ['the same, read_registry', aDeployToken(['read_registry']), { ownDeployToken: true }, 'p p p p p p'],
    ['the same, write_registry', aDeployToken(['write_registry']), { ownDeployToken: true }, 'w w w w w w'],
    ['deploy token of another project', aDeployToken(), {}, 'p - - - - -'],
    ['the same, write_registry', aDeployToken(['write_registry']), {}, '- - - - - -'],

    ['own job, no user', aJob(null), {}, 'pw!d pw!d pw!d pw!d pw!d pw!d'],
    ['own job, no role', aJob(), {}, 'pw!d pw!d pw!d pw!d pw!d pw!d'],
    ['own job, minimal_access', aJob(), as('minimal_access'), 'pw!d pw!d pw!d pw!d pw!d pw!d'],
    ['own job, guest', aJob(), as('guest'), 'pw!d pw!d pw!d pw!d pw!d pw!d'],
    ['own job, planner', aJob(), as('planner'), 'pw!d pw!d pw!d pw!d pw!d pw!d'],
    ['own job, reporter', aJob(), as('reporter'), 'pw!d pw!d pw!d pw!d pw!d pw!d'],
    ['own job, security_manager', aJob(), as('security_manager'), 'pw!d pw!d pw!d pw!d pw!d pw!d'],
    ['own job, developer', aJob(), as('developer'), 'pwd pwd pwd pwd pwd pwd'],
    ['own job, maintainer', aJob(), as('maintainer'), 'pwd pwd pwd pwd pwd pwd'],
    ['own job, owner', aJob(), as('owner'), 'pwd pwd pwd pwd pwd pwd'],
    ['own job, external developer', aJob(aPerson(EXTERNAL)), as('developer'), 'pwd pwd pwd pwd pwd pwd'],
    ["own job, an admin's", aJob(aPerson(ADMIN)), {}, 'pw!d pw!d pw!d pw!d pw!d pw!d'],

    ['listed job, no user', aJob(null, OTHER_PROJECT), LISTED, '- - - - - -'],
    ['listed job, no role', jobElsewhere(), LISTED, 'p p - - - -'],
    ['listed job, guest', jobElsewhere(), { ...LISTED, ...as('guest') }, 'p p - - - -'],
    ['listed job, planner', jobElsewhere(), { ...LISTED, ...as('planner') }, 'p p - - - -'],
    ['listed job, reporter', jobElsewhere(), { ...LISTED, ...as('reporter') }, 'p p p p p p'],
    ['listed job, owner', jobElsewhere(), { ...LISTED, ...as('owner') }, 'p p p p p p'],
    ["listed job, an external's", jobElsewhere(EXTERNAL), LISTED, 'p - - - - -'],
    ["listed job, an external guest's", jobElsewhere(EXTERNAL), { ...LISTED, ...as('guest') }, 'p p - - - -'],
    ["listed job, an auditor's", jobElsewhere(AUDITOR), LISTED, 'p p p p p p'],
    ["listed job, an admin's", jobElsewhere(ADMIN), LISTED, 'p p - - - -'],
    [
      'job where anyone is let in, reporter',
      jobElsewhere(),
      { jobAccess: 'anyone', ...as('reporter') },
      'p p p p p p',
    ],
    ['the same, no role', jobElsewhere(), { jobAccess: 'anyone' }, 'p p - - - -'],
    ['the same, no user', aJob(null, OTHER_PROJECT), { jobAccess: 'anyone' }, '- - - - - -'],
    ['unlisted job, no user', aJob(null, OTHER_PROJECT), {}, '- - - - - -'],
    ['unlisted job, no role', jobElsewhere(), {}, 'p p - - - -'],
    ['unlisted job, owner', jobElsewhere(), as('owner'), 'p p - - - -'],
    ["unlisted job, an external owner's", jobElsewhere(EXTERNAL), as('owner'), 'p - - - - -'],
    ["unlisted job, an auditor's", jobElsewhere(AUDITOR), {}, 'p p - - - -'],
    ["unlisted job, an admin's", jobElsewhere(ADMIN), {}, 'p p - - - -'],
  ];

  for (const [who, subject, facts, expected] of rows) {
    it(`${who}: ${expected}`, () => {
      const cells = SETTINGS.map(([visibility, registryAccess]) =>
        cell(subject, aProject({ visibility, registryAccess, ...facts })),
      );
      assert.equal(cells.join(' '), expected);
    });

    it(`${who}: nothing where the registry is disabled`, () => {
      for (const visibility of ['public', 'internal', 'private'] as const) {
        assert.equal(cell(subject, aProject({ visibility, registryAccess: 'disabled', ...facts })), '-');
      }
    });
  }

  it('names every role for users, external users and own jobs', () => {
    const named = new Set(rows.map(([who]) => who));
    for (const role of ROLES) {
      for (const who of [role, `external ${role}`, `own job, ${role}`]) assert.ok(named.has(who), who);
    }
  });
});

describe('grantAccess: one request', () => {
  it('grants what is asked, in the order asked, and leaves out the rest', () => {
    const project = aProject(as('developer'));
    assert.equal(outcome(decideOn(aUser(), 'delete,push,pull', project)), 'acme/app:push,pull');
  });

  it('grants * as * and brings nothing else along', () => {
    assert.equal(outcome(decideOn(aUser(), '*', aProject(as('owner')))), 'acme/app:*');
  });

  const expanded: [asked: string, granted: string][] = [
    ['*', '*,pull,push,delete'],
    ['pull,*', 'pull,*,push,delete'],
    ['delete,*,pull', 'delete,*,pull,push'],
    ['pull,push', 'pull,push'],
    ['delete', 'delete'],
  ];
  for (const [asked, granted] of expanded) {
    it(`expand_star: ${asked} becomes ${granted}, with the same meta`, () => {
      const project = aProject({
        ...as('maintainer'),
        protectedTags: [tagRule('v.*', 'owner', 'owner'), immutableTags('release-.*')],
      });
      const { access } = decideOn(aUser(), asked, project);
      const [entry] = expandStar(access);
      assert.equal(entry?.actions.join(','), granted);
      assert.deepEqual(entry?.meta, access[0]?.meta);
      if (!asked.includes('*')) return;
      const [all] = decideOn(aUser(), '*,pull,push,delete', project).access;
      assert.deepEqual(entry?.meta, all?.meta);
    });
  }

  it('expand_star: nothing comes with * where * is not granted, or on the registry itself', () => {
    const { access } = decideOn(aUser(), '*,pull,push', aProject(as('developer')));
    assert.deepEqual(expandStar(access)[0]?.actions, ['pull', 'push']);
    const catalog = [{ type: 'registry', name: 'catalog', actions: ['*'] }] as const;
    assert.deepEqual(expandStar(catalog), catalog);
  });

  it('names each resource once, in the order asked, and leaves out those with nothing granted', () => {
    const projects = [
      aProject({ id: 1, path: 'acme/one', visibility: 'public' }),
      aProject({ id: 2, path: 'acme/two' }),
      aProject({ id: 3, path: 'acme/three', visibility: 'internal', ...as('developer') }),
    ];
    const scopes = ask(
      'repository:acme/three/web:push,pull repository:acme/two:pull repository:acme/one:pull',
    );
    const decision = decide({ subject: aUser(), scopes, projects, circumstances: circumstances() });
    assert.equal(outcome(decision), 'acme/three/web:push,pull acme/one:pull');
    assert.deepEqual(
      decision.rulings.map(({ scope, action, verdict }) => `${scope.name} ${action} ${verdict}`),
      [
        'acme/three/web push grant',
        'acme/three/web pull grant',
        'acme/two pull refuse',
        'acme/one pull grant',
      ],
    );
  });

  it('shows the project and the standing that each ruling rests on', () => {
    const project = aProject(as('developer'));
    const [ruling] = decideOn(aUser(), 'push', project).rulings;
    assert.equal(ruling?.project, project);
    assert.deepEqual([ruling?.standing.role, ruling?.standing.person], ['developer', aPerson()]);
  });

  it('gives a credential without any registry ability 403 before anything else', () => {
    const decision = decideOn(aTokenUser(['read_repository']), 'pull', aProject({ visibility: 'public' }));
    assert.deepEqual(decision.denial, { reason: 'no_registry_ability' });
    assert.deepEqual(decision.access, []);
    assert.equal(decision.validUntil, null);
  });

  const denials: readonly (readonly [string, Subject, string, string])[] = [
    ['anonymous without a scope', anonymous(), '', '403 nothing_for_anonymous'],
    ['anonymous with a scope of unknown type', anonymous(), 'invalid:aa:bb', '403 nothing_for_anonymous'],
    ['anonymous and a private project', anonymous(), 'repository:acme/app:pull', '403 nothing_for_anonymous'],
    [
      'anonymous and an unknown project',
      anonymous(),
      'repository:acme/gone:pull',
      '403 nothing_for_anonymous',
    ],
    [
      'anonymous, one of two',
      anonymous(),
      'repository:acme/app:pull repository:acme/open:pull',
      'acme/open:pull',
    ],
    ['a user without a scope', aUser(), '', '-'],
    ['a deploy token without a scope', aDeployToken(['read_registry']), '', '-'],
    ['a job without a scope', aJob(null), '', '-'],
    ['a user and an unknown project', aUser(), 'repository:acme/gone:pull,push', '-'],
    [
      'a job that may not push, and another scope that is fine',
      aJob(null),
      'repository:acme/open:pull repository:acme/app:push,pull',
      '403 job_push',
    ],
  ];
  for (const [what, subject, scopes, expected] of denials) {
    it(`answers ${what} with ${expected}`, () => {
      const projects = [aProject(), aProject({ id: 303, path: 'acme/open', visibility: 'public' })];
      const decision = decide({ subject, scopes: ask(scopes), projects, circumstances: circumstances() });
      assert.equal(outcome(decision), expected);
    });
  }

  it('refuses the whole request for one forbidden push, and still tells every ruling', () => {
    const projects = [
      aProject({ ...as('developer'), protectedRepositories: [repositoryRule('acme/app', 'owner')] }),
      aProject({ id: 303, path: 'acme/open', visibility: 'public' }),
    ];
    const scopes = ask('repository:acme/open:pull repository:acme/app:pull,push');
    const decision = decide({ subject: aUser(), scopes, projects, circumstances: circumstances() });
    assert.equal(outcome(decision), '403 protected_repository');
    assert.deepEqual([decision.access, decision.validUntil], [[], null]);
    assert.deepEqual(
      decision.rulings.map(({ verdict }) => verdict),
      ['grant', 'grant', 'forbid'],
    );
    assert.equal(decision.denial?.reason === 'forbidden_push' && decision.denial.ruling, decision.rulings[2]);
  });

  it('names the first of several forbidden pushes', () => {
    const full = { ...as('developer'), overStorageLimit: 'acme' };
    const projects = [
      aProject({ id: 1, path: 'acme/one', ...full }),
      aProject({ id: 2, path: 'acme/two', ...full }),
    ];
    const scopes = ask('repository:acme/two:push repository:acme/one:push');
    const { denial } = decide({ subject: aUser(), scopes, projects, circumstances: circumstances() });
    assert.equal(denial?.reason === 'forbidden_push' && denial.ruling.scope.name, 'acme/two');
  });

  it('lets the longest path that exists decide, even where a shorter one would grant', () => {
    const projects = [
      aProject({ id: 1, path: 'acme/app', visibility: 'public' }),
      aProject({ id: 2, path: 'acme/app/web' }),
    ];
    const at = { projects, circumstances: circumstances(), subject: aUser() };
    assert.equal(outcome(decide({ ...at, scopes: ask('repository:acme/app/web/x:pull') })), '-');
    assert.equal(
      outcome(decide({ ...at, scopes: ask('repository:acme/app/api/x:pull') })),
      'acme/app/api/x:pull',
    );
  });

  it('reaches two levels below the project and not three', () => {
    const situation = {
      subject: aUser(),
      projects: [aProject(as('owner'))],
      circumstances: circumstances(),
    };
    assert.equal(
      outcome(decide({ ...situation, scopes: ask('repository:acme/app/a/b:pull') })),
      'acme/app/a/b:pull',
    );
    assert.equal(outcome(decide({ ...situation, scopes: ask('repository:acme/app/a/b/c:pull') })), '-');
  });
});
