import assert from 'node:assert/strict';
import type { Project, RepositoryRule, TagRule } from '../../src/policy/project.ts';
import {
  findBlockingRule,
  matchesPattern,
  tagDenyPatterns,
  tagImmutablePatterns,
} from '../../src/policy/protection.ts';
import { type Action, MINIMUM_ROLES, type MinimumRole, ROLES } from '../../src/policy/role.ts';
import { findStanding, NO_STANDING, type Standing } from '../../src/policy/standing.ts';
import type { Subject } from '../../src/policy/subject.ts';
import {
  aDeployToken,
  aJob,
  aPerson,
  aProject,
  aUser,
  immutableTags,
  member,
  NOW,
  repositoryRule,
  tagRule,
} from '../support/policy/subjects.ts';

/** A user with this role; null: no role; `admin`: the flag. */
function standingAs(role: MinimumRole | null): Standing {
  const person = aPerson({ admin: role === 'admin' });
  const memberships = role === null || role === 'admin' ? [] : [member(role)];
  return findStanding(aProject({ memberships }), person, true, NOW);
}

describe('matchesPattern', () => {
  const rows: readonly (readonly [string, string, boolean])[] = [
    ['acme/app', 'acme/app', true],
    ['acme/app', 'acme/app/x', false],
    ['acme/app', 'acme/ap', false],
    ['Acme/APP', 'acme/app', true],
    ['acme/app*', 'acme/app', true],
    ['acme/app*', 'acme/app/x', true],
    ['acme/app*', 'acme/other', false],
    ['acme/app/prod*', 'acme/app/prod-1', true],
    ['acme/app/prod*', 'acme/app/dev', false],
    ['*', 'acme/app', true],
    ['*app', 'acme/app', true],
    ['*acme/*p', 'acme/app', true],
    ['*a*', 'a', true],
    ['*app', 'acme/apple', false],
    ['acme/*/prod', 'acme/app/prod', true],
    ['acme/*/prod', 'acme//prod', true],
    ['acme/*/prod', 'acme/prod', false],
    ['acme/*/prod', 'acme/app/production', false],
    ['acme/*a*', 'acme/bab', true],
    ['acme/*a*', 'acme/bbb', false],
    ['a*b*b', 'abb', true],
    ['a*b*b', 'ab', false],
    ['a*bc*c', 'abc', false],
    ['a*bc*c', 'abcc', true],
    ['a*b*c*d', 'axbxcxd', true],
    ['a*c*b*d', 'axbxcxd', false],
    ['a*b*b*c', 'abxc', false],
    ['a*b*b*c', 'abbc', true],
    ['aba*ba', 'aba', false],
    ['aba*aba', 'abaaba', true],
    ['a**b', 'ab', true],
    ['a**b', 'axb', true],
    ['acme/a.p', 'acme/app', false],
    ['acme/a.p', 'acme/a.p', true],
    ['acme/app+', 'acme/app', false],
    ['acme/app?', 'acme/app', false],
    ['acme/[a-z]pp*', 'acme/app', false],
    ['acme/(app|web)', 'acme/app', false],
    ['', 'acme/app', false],
  ];
  for (const [pattern, name, expected] of rows) {
    it(`${pattern || '(empty)'} ${expected ? 'matches' : 'does not match'} ${name}`, () =>
      assert.equal(matchesPattern(pattern, name), expected));
  }
});

describe('findBlockingRule', () => {
  function blocking(
    rules: readonly RepositoryRule[],
    subject: Subject,
    standing: Standing,
  ): string | undefined {
    return findBlockingRule(subject, standing, aProject({ protectedRepositories: rules }), 'acme/app')
      ?.pattern;
  }

  for (const minimum of MINIMUM_ROLES) {
    it(`minimum ${minimum} blocks every role below it, and those without a role`, () => {
      const rules = [repositoryRule('acme/app', minimum)];
      const blocked = ROLES.filter((role) => blocking(rules, aUser(), standingAs(role)) !== undefined);
      const below = MINIMUM_ROLES.slice(0, MINIMUM_ROLES.indexOf(minimum));
      assert.deepEqual(blocked, below);
      assert.equal(blocking(rules, aUser(), standingAs(null)), 'acme/app');
      assert.equal(blocking(rules, aUser(), standingAs('admin')), undefined);
    });
  }

  const rows: readonly (readonly [
    string,
    readonly RepositoryRule[],
    Subject,
    Standing,
    string | undefined,
  ])[] = [
    ['no rules', [], aUser(), standingAs(null), undefined],
    ['a rule for other names', [repositoryRule('acme/web', 'owner')], aUser(), standingAs(null), undefined],
    [
      'a rule without a push minimum, a user',
      [repositoryRule('acme/*', null)],
      aUser(),
      standingAs(null),
      undefined,
    ],
    [
      'a rule without a push minimum, a deploy token',
      [repositoryRule('acme/*', null)],
      aDeployToken(),
      NO_STANDING,
      'acme/*',
    ],
    [
      'the least minimum, a deploy token',
      [repositoryRule('acme/*', 'guest')],
      aDeployToken(),
      NO_STANDING,
      'acme/*',
    ],
    [
      'a rule for other names, a deploy token',
      [repositoryRule('x/*', 'owner')],
      aDeployToken(),
      NO_STANDING,
      undefined,
    ],
    ['a job by its user', [repositoryRule('acme/*', 'owner')], aJob(), standingAs('maintainer'), 'acme/*'],
    ['a job whose user may', [repositoryRule('acme/*', 'owner')], aJob(), standingAs('owner'), undefined],
    [
      'the first that blocks',
      [repositoryRule('acme/*', 'guest'), repositoryRule('acme/a*', 'admin'), repositoryRule('*', 'admin')],
      aUser(),
      standingAs('owner'),
      'acme/a*',
    ],
  ];
  for (const [what, rules, subject, standing, expected] of rows) {
    it(`${what}: ${expected ?? 'none'}`, () => assert.equal(blocking(rules, subject, standing), expected));
  }
});

const RULES: readonly TagRule[] = [
  tagRule('v1.*', 'maintainer', 'maintainer'),
  tagRule('latest', 'owner', 'maintainer'),
  tagRule('admin-only', 'admin', 'owner'),
  tagRule('push-free', null, 'owner'),
  tagRule('delete-free', 'owner', null),
  immutableTags('r-.*'),
];
const ALL_PUSH = ['v1.*', 'latest', 'admin-only', 'delete-free'];
const ALL_DELETE = ['v1.*', 'latest', 'admin-only', 'push-free'];

function protectedBy(rules: readonly TagRule[]): Project {
  return aProject({ protectedTags: rules });
}

describe('tagDenyPatterns', () => {
  const rows: readonly (readonly [MinimumRole | null, readonly Action[], object])[] = [
    ['developer', ['pull'], {}],
    ['developer', [], {}],
    ['developer', ['push'], { push: ALL_PUSH }],
    ['developer', ['pull', 'push'], { push: ALL_PUSH }],
    ['maintainer', ['push'], { push: ['latest', 'admin-only', 'delete-free'] }],
    ['maintainer', ['delete'], { delete: ['admin-only', 'push-free'] }],
    [
      'maintainer',
      ['push', 'delete'],
      { push: ['latest', 'admin-only', 'delete-free'], delete: ['admin-only', 'push-free'] },
    ],
    ['owner', ['push'], { push: ['admin-only'] }],
    ['owner', ['delete'], { delete: [] }],
    ['owner', ['*'], { push: ['admin-only'], delete: [] }],
    ['admin', ['*'], { push: [], delete: [] }],
    ['admin', ['pull'], {}],
    [null, ['delete'], { delete: ALL_DELETE }],
    ['guest', ['*'], { push: ALL_PUSH, delete: ALL_DELETE }],
  ];
  for (const [role, granted, expected] of rows) {
    it(`${role ?? 'no role'}, granted ${granted.join(',') || 'nothing'}: ${JSON.stringify(expected)}`, () =>
      assert.deepEqual(tagDenyPatterns(standingAs(role), protectedBy(RULES), granted), expected));
  }

  it('is absent without a user, and without a rule that is not immutable', () => {
    assert.equal(tagDenyPatterns(NO_STANDING, protectedBy(RULES), ['push']), undefined);
    assert.equal(tagDenyPatterns(standingAs('owner'), protectedBy([]), ['push']), undefined);
    assert.equal(
      tagDenyPatterns(standingAs('owner'), protectedBy([immutableTags('x')]), ['push']),
      undefined,
    );
  });

  it('leaves immutable rules out even where they carry a minimum', () => {
    const rules = [{ ...tagRule('x', 'admin', 'admin'), immutable: true }, tagRule('y', 'admin', 'admin')];
    assert.deepEqual(tagDenyPatterns(standingAs('owner'), protectedBy(rules), ['*']), {
      push: ['y'],
      delete: ['y'],
    });
  });
});

describe('tagImmutablePatterns', () => {
  const rows: readonly (readonly [readonly Action[], readonly string[] | undefined])[] = [
    [[], undefined],
    [['pull'], undefined],
    [['push'], ['r-.*']],
    [['delete'], ['r-.*']],
    [['*'], ['r-.*']],
    [['pull', 'delete'], ['r-.*']],
  ];
  for (const [granted, expected] of rows) {
    it(`granted ${granted.join(',') || 'nothing'}: ${expected?.join(' ') ?? 'absent'}`, () =>
      assert.deepEqual(tagImmutablePatterns(protectedBy(RULES), granted), expected));
  }

  it('is absent without an immutable rule', () => {
    assert.equal(tagImmutablePatterns(protectedBy([tagRule('x', 'owner', 'owner')]), ['push']), undefined);
  });
});
