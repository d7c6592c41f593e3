import assert from 'node:assert/strict';
import type { Project } from '../../src/policy/project.ts';
import type { Role } from '../../src/policy/role.ts';
import type { Person, Subject } from '../../src/policy/subject.ts';
import {
  aDeployToken,
  aJob,
  anonymous,
  aPerson,
  aProject,
  ask,
  aUser,
  circumstances,
  decide,
  decideOn,
  immutableTags,
  invited,
  member,
  tagRule,
} from '../support/policy/subjects.ts';

const ADMIN: Partial<Person> = { admin: true };

function as(role: Role): Partial<Project> {
  return { memberships: [member(role)] };
}

describe('grantAccess: what a grant says of its project', () => {
  const facts = { id: 42, path: 'acme/app', rootNamespaceId: 8, organizationId: 3 };
  const identity = { project_path: 'acme/app', project_id: 42, root_namespace_id: 8, organization_id: 3 };
  const tags = [tagRule('v1', 'maintainer', 'owner'), immutableTags('r-.*')];

  const rows: readonly (readonly [string, Subject, Partial<Project>, string, object])[] = [
    ['no tag rules', aUser(), as('owner'), 'push', {}],
    [
      'pull alone',
      aUser(),
      { ...as('owner'), protectedTags: tags },
      'pull',
      { tag_deny_access_patterns: {} },
    ],
    [
      'push and delete',
      aUser(),
      { ...as('maintainer'), protectedTags: tags },
      'push,delete',
      { tag_deny_access_patterns: { push: [], delete: ['v1'] }, tag_immutable_patterns: ['r-.*'] },
    ],
    [
      'push without delete, which is not granted',
      aUser(),
      { ...as('developer'), protectedTags: tags },
      'push,delete',
      { tag_deny_access_patterns: { push: ['v1'] }, tag_immutable_patterns: ['r-.*'] },
    ],
    [
      'a deploy token',
      aDeployToken(),
      { ownDeployToken: true, protectedTags: tags },
      'push',
      { tag_immutable_patterns: ['r-.*'] },
    ],
    [
      'a job without a user',
      aJob(null, 42),
      { protectedTags: tags },
      'delete',
      { tag_immutable_patterns: ['r-.*'] },
    ],
    [
      'a job with a user who is no member',
      aJob(aPerson(), 42),
      { protectedTags: tags },
      'delete',
      { tag_deny_access_patterns: { delete: ['v1'] }, tag_immutable_patterns: ['r-.*'] },
    ],
    ['anonymous', anonymous(), { visibility: 'public', protectedTags: tags }, 'pull', {}],
  ];
  for (const [what, subject, more, actions, claims] of rows) {
    it(`meta for ${what}`, () => {
      const { access } = decideOn(subject, actions, aProject({ ...facts, ...more }));
      assert.deepEqual(
        access.map(({ meta }) => meta),
        [{ ...identity, ...claims }],
      );
    });
  }

  it('says nothing of a project for a registry scope', () => {
    const scopes = ask('registry:catalog:*');
    const decision = decide({
      subject: aUser(ADMIN),
      scopes,
      projects: [],
      circumstances: circumstances(),
    });
    assert.deepEqual(decision.access, [{ type: 'registry', name: 'catalog', actions: ['*'] }]);
    assert.deepEqual(
      decision.rulings.map(({ project, standing }) => [project, standing.person]),
      [[null, null]],
    );
  });
});

describe('grantAccess: how long a grant may last', () => {
  const ends = { expiresOn: '2026-11-25' };
  const end = '2026-11-25T00:00:00.000Z';
  const rows: readonly (readonly [string, Subject, Partial<Project>, string, string | null])[] = [
    ['a role without an end', aUser(), as('owner'), 'pull', null],
    ['a role with an end, pull', aUser(), { memberships: [member('reporter', ends)] }, 'pull', end],
    ['a role with an end, push', aUser(), { memberships: [member('owner', ends)] }, 'push', end],
    [
      'an open project',
      aUser(),
      { visibility: 'public', memberships: [member('guest', ends)] },
      'pull',
      null,
    ],
    [
      'an external guest of an internal project',
      aUser({ external: true }),
      { visibility: 'internal', memberships: [member('guest', ends)] },
      'pull',
      end,
    ],
    ['an auditor', aUser({ auditor: true }), { memberships: [member('reporter', ends)] }, 'pull', null],
    ['an admin', aUser(ADMIN), { memberships: [member('reporter', ends)] }, 'push', null],
    [
      "a job's pull of its own project, for its tag patterns",
      aJob(),
      { memberships: [member('owner', ends)] },
      'pull',
      end,
    ],
    ["a job's push", aJob(), { memberships: [member('developer', ends)] }, 'push', end],
    [
      "a job's pull elsewhere",
      aJob(aPerson(), 202),
      { jobAccess: 'listed', memberships: [member('reporter', ends)] },
      'pull',
      end,
    ],
    ['nothing granted', aUser(), { memberships: [member('guest', ends)] }, 'pull', null],
  ];
  for (const [what, subject, facts, actions, expected] of rows) {
    it(`${what}: ${expected ?? 'no end'}`, () => {
      const { validUntil } = decideOn(subject, actions, aProject(facts));
      assert.equal(validUntil?.toISOString() ?? null, expected);
    });
  }

  it('ends with the first of several memberships', () => {
    const projects = [
      aProject({ id: 1, path: 'acme/one', memberships: [member('owner', { expiresOn: '2026-12-24' })] }),
      aProject({ id: 2, path: 'acme/two', memberships: [member('owner')] }),
      aProject({
        id: 3,
        path: 'acme/three',
        memberships: [invited('owner', { role: 'owner', expiresOn: '2026-11-30' })],
      }),
    ];
    const scopes = ask('repository:acme/one:pull repository:acme/two:pull repository:acme/three:pull');
    const { validUntil } = decide({ subject: aUser(), scopes, projects, circumstances: circumstances() });
    assert.equal(validUntil?.toISOString(), '2026-11-30T00:00:00.000Z');
  });
});
