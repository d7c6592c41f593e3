import assert from 'node:assert/strict';
import {
  ACTIONS,
  CHANGES,
  isAbove,
  lesserRole,
  MINIMUM_ROLES,
  PULLS_INTERNAL_AS_EXTERNAL,
  PULLS_PRIVATE,
  REGISTRY_ACCESSES,
  ROLES,
  VISIBILITIES,
} from '../../src/policy/role.ts';

const LOWEST_FIRST = [
  'minimal_access',
  'guest',
  'planner',
  'reporter',
  'security_manager',
  'developer',
  'maintainer',
  'owner',
] as const;

describe('roles', () => {
  it('are the names that the directory and the CLI take', () => {
    assert.deepEqual(ROLES, LOWEST_FIRST);
    assert.deepEqual(MINIMUM_ROLES, [...LOWEST_FIRST, 'admin']);
    assert.deepEqual(VISIBILITIES, ['private', 'internal', 'public']);
    assert.deepEqual(REGISTRY_ACCESSES, ['enabled', 'private', 'disabled']);
    assert.deepEqual(ACTIONS, ['pull', 'push', 'delete', '*']);
  });

  // role, pulls private, pulls internal as external, push, delete, *
  const rows: readonly (readonly [(typeof ROLES)[number], ...boolean[]])[] = [
    ['minimal_access', false, false, false, false, false],
    ['guest', false, true, false, false, false],
    ['planner', false, true, false, false, false],
    ['reporter', true, true, false, false, false],
    ['security_manager', true, true, false, false, false],
    ['developer', true, true, true, false, false],
    ['maintainer', true, true, true, true, true],
    ['owner', true, true, true, true, true],
  ];
  for (const [role, ...expected] of rows) {
    it(`what ${role} may do`, () => {
      const { push, delete: remove, '*': all } = CHANGES[role];
      assert.deepEqual([PULLS_PRIVATE[role], PULLS_INTERNAL_AS_EXTERNAL[role], push, remove, all], expected);
    });
  }
});

describe('isAbove', () => {
  it('orders minimums as GitLab numbers them, and no minimum is above its own role', () => {
    for (const [place, minimum] of MINIMUM_ROLES.entries()) {
      for (const [height, role] of MINIMUM_ROLES.entries()) {
        assert.equal(isAbove(minimum, role), place > height, `${minimum} above ${role}`);
      }
    }
  });

  it('puts every minimum above no role', () => {
    for (const minimum of MINIMUM_ROLES) assert.equal(isAbove(minimum, null), true);
  });
});

describe('lesserRole', () => {
  it('is the lower of the two, whichever comes first', () => {
    for (const [place, role] of ROLES.entries()) {
      for (const higher of ROLES.slice(place)) {
        assert.equal(lesserRole(role, higher), role);
        assert.equal(lesserRole(higher, role), role);
      }
    }
  });
});
