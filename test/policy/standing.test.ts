import assert from 'node:assert/strict';
import type { Membership, Project } from '../../src/policy/project.ts';
import { ROLES } from '../../src/policy/role.ts';
import { findStanding, NO_STANDING, roleOf, whyNotCounted } from '../../src/policy/standing.ts';
import { aPerson, aProject, invited, member, NOW } from '../support/policy/subjects.ts';

function standing(memberships: readonly Membership[], facts: Partial<Project> = {}, now = NOW) {
  return findStanding(aProject({ memberships, ...facts }), aPerson(), true, now);
}

describe('findStanding', () => {
  const locked: Partial<Project> = { shareLockedBy: 'acme' };
  const toProject = (role: Membership['role'], invitation: Membership['role']) =>
    invited(role, { role: invitation });
  const toGroup = (role: Membership['role'], invitation: Membership['role']) =>
    invited(role, { role: invitation }, { via: 'group_invited_to_group' });

  const rows: readonly (readonly [string, readonly Membership[], string | null, Partial<Project>?])[] = [
    ['nothing', [], null],
    ['a direct membership', [member('developer')], 'developer'],
    ['the higher of two', [member('guest'), member('developer', { via: 'group' })], 'developer'],
    [
      'the higher of two, the other way',
      [member('developer', { via: 'group' }), member('guest')],
      'developer',
    ],
    ['the personal namespace', [member('owner', { via: 'personal_namespace' })], 'owner'],
    ['the organization', [member('guest'), member('owner', { via: 'organization' })], 'owner'],
    ['an invited group: the lesser, here of the invitation', [toProject('owner', 'reporter')], 'reporter'],
    ['an invited group: the lesser, here of the member', [toProject('guest', 'owner')], 'guest'],
    ['a group invited to a group: the lesser', [toGroup('maintainer', 'developer')], 'developer'],
    ['direct over invited', [toProject('owner', 'developer'), member('reporter')], 'developer'],
    ['a share lock stops groups invited to the project', [toProject('owner', 'owner')], null, locked],
    ['a share lock leaves groups invited to a group', [toGroup('owner', 'owner')], 'owner', locked],
    ['a share lock leaves members', [member('guest'), toProject('owner', 'owner')], 'guest', locked],
    ['minimal access', [member('minimal_access')], 'minimal_access'],
    ['an expired membership', [member('owner', { expiresOn: '2026-11-24' }), member('guest')], 'guest'],
    ['an expired invitation', [invited('owner', { role: 'owner', expiresOn: '2026-11-24' })], null],
    [
      'a lasting invitation of an expired member',
      [invited('owner', { role: 'owner' }, { expiresOn: '2026-11-24' })],
      null,
    ],
  ];
  for (const [what, memberships, role, facts] of rows) {
    it(`${what}: ${role ?? 'no role'}`, () => {
      const found = standing(memberships, facts);
      assert.equal(found.role, role);
      assert.equal(found.membership === null, role === null);
      assert.deepEqual([found.person, found.admin], [aPerson(), false]);
    });
  }

  it('is none without a user', () => {
    const project = aProject({ memberships: [member('owner')] });
    assert.deepEqual(findStanding(project, null, true, NOW), NO_STANDING);
    assert.deepEqual(NO_STANDING, { person: null, role: null, admin: false, membership: null, until: null });
  });

  it('makes an admin owner everywhere, by the flag alone', () => {
    const admin = aPerson({ admin: true });
    const project = aProject({ memberships: [member('guest', { expiresOn: '2026-12-24' })] });
    assert.deepEqual(findStanding(project, admin, true, NOW), {
      person: admin,
      role: 'owner',
      admin: true,
      membership: null,
      until: null,
    });
  });

  it('leaves an admin with the memberships where the flag does not count', () => {
    const found = findStanding(
      aProject({ memberships: [member('guest')] }),
      aPerson({ admin: true }),
      false,
      NOW,
    );
    assert.deepEqual([found.role, found.admin], ['guest', false]);
  });

  const lasting = member('developer', { path: 'lasting' });
  const long = member('developer', { path: 'long', expiresOn: '2027-01-31' });
  const short = member('developer', { path: 'short', expiresOn: '2026-11-25' });
  const shortOwner = member('owner', { path: 'owner', expiresOn: '2026-11-25' });
  const ends: readonly (readonly [string, readonly Membership[], string, string | null])[] = [
    ['never, before a date', [lasting, long], 'lasting', null],
    ['never, after a date', [long, lasting], 'lasting', null],
    ['the later date first', [long, short], 'long', '2027-01-31T00:00:00.000Z'],
    ['the later date last', [short, long], 'long', '2027-01-31T00:00:00.000Z'],
    ['the first of two alike', [long, { ...long, path: 'twin' }], 'long', '2027-01-31T00:00:00.000Z'],
    ['the higher role, though it ends sooner', [lasting, shortOwner], 'owner', '2026-11-25T00:00:00.000Z'],
    [
      'the higher role first, though it ends sooner',
      [shortOwner, lasting],
      'owner',
      '2026-11-25T00:00:00.000Z',
    ],
    [
      'an invitation that ends before the member',
      [invited('owner', { role: 'owner', expiresOn: '2026-11-30' }, { expiresOn: '2026-12-24' })],
      'acme/app',
      '2026-11-30T00:00:00.000Z',
    ],
    [
      'a member who ends before the invitation',
      [invited('owner', { role: 'owner', expiresOn: '2026-12-24' }, { expiresOn: '2026-11-30' })],
      'acme/app',
      '2026-11-30T00:00:00.000Z',
    ],
  ];
  for (const [what, memberships, path, until] of ends) {
    it(`among equals the one that lasts longest: ${what}`, () => {
      const found = standing(memberships);
      assert.deepEqual([found.membership?.path, found.until?.toISOString() ?? null], [path, until]);
    });
  }
});

describe('an end date', () => {
  const rows: readonly (readonly [string, boolean])[] = [
    ['2026-11-23T23:59:59.999Z', true],
    ['2026-11-24T00:00:00.000Z', false],
    ['2026-11-24T00:00:00.001Z', false],
  ];
  for (const [now, counts] of rows) {
    it(`2026-11-24 at ${now}: the membership ${counts ? 'counts' : 'is over'}`, () => {
      const membership = member('owner', { expiresOn: '2026-11-24' });
      assert.equal(whyNotCounted(membership, aProject(), new Date(now)), counts ? null : 'expired');
    });
  }
});

describe('whyNotCounted', () => {
  const locked = aProject({ shareLockedBy: 'acme' });
  it('names the share lock, and the end before it', () => {
    const shared = invited('owner', { role: 'owner' });
    assert.equal(whyNotCounted(shared, aProject(), NOW), null);
    assert.equal(whyNotCounted(shared, locked, NOW), 'share_lock');
    assert.equal(whyNotCounted({ ...shared, expiresOn: '2020-01-01' }, locked, NOW), 'expired');
    assert.equal(whyNotCounted(member('owner'), locked, NOW), null);
  });
});

describe('roleOf', () => {
  it('is the lesser of the role and the invitation, for every pair', () => {
    for (const [place, lower] of ROLES.entries()) {
      assert.equal(roleOf(member(lower)), lower);
      for (const higher of ROLES.slice(place)) {
        assert.equal(roleOf(invited(lower, { role: higher })), lower);
        assert.equal(roleOf(invited(higher, { role: lower })), lower);
      }
    }
  });
});
