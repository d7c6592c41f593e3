import fc from 'fast-check';
import type {
  IpAllowlist,
  Membership,
  Project,
  RepositoryRule,
  TagRule,
} from '../../../src/policy/project.ts';
import {
  ACTIONS,
  MINIMUM_ROLES,
  type MinimumRole,
  REGISTRY_ACCESSES,
  ROLES,
  VISIBILITIES,
} from '../../../src/policy/role.ts';
import type { ResourceScope } from '../../../src/policy/scope.ts';
import type { DeployTokenSubject, Person, Subject, UserSubject } from '../../../src/policy/subject.ts';
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
  member,
  type Situation,
} from './subjects.ts';

/**
 * The pools are small, so that subjects, projects, rules and scopes match often. One project's path
 * lies inside another's image paths.
 */
const PROJECTS = [
  { id: 1, path: 'acme/app' },
  { id: 2, path: 'acme/app/web' },
] as const;
const NAMES = [
  'acme/app',
  'acme/app',
  'acme/app/web',
  'acme/app/web/x',
  'acme/app/api',
  'ACME/app',
  'acme/gone',
];
const PATTERNS = ['acme/app*', 'acme/app/web', '*/x', 'acme/*web*', 'acme/other*'];
const RANGES = ['10.0.0.0/8', '10.1.0.0/16', '192.168.0.0/16'];
const DATES = ['2026-11-23', '2026-11-24', '2026-11-25', '2027-01-31'];
const TOKEN_SCOPES = ['api', 'read_api', 'read_registry', 'write_registry', 'read_repository'];
const REGISTRY_SCOPES = ['registry:catalog:*', 'registry:statistics:*', 'registry:catalog:pull'];
const DEPLOY_TOKEN_SCOPES = ['read_registry', 'write_registry', 'read_repository'];
const JUNK = [
  '',
  'repository:app:pull',
  'x',
  'image:acme/app:pull',
  'repository:acme/app',
  'repository:acme/app:foo',
];

function oneOf<T>(values: readonly T[]): fc.Arbitrary<T> {
  return fc.constantFrom(...values);
}

/** True once in `times`, so that few projects refuse for this reason. */
function once(times: number): fc.Arbitrary<boolean> {
  return fc.nat({ max: times - 1 }).map((n) => n === 1);
}

function sometimes<T>(value: T, times: number): fc.Arbitrary<T | null> {
  return once(times).map((is) => (is ? value : null));
}

const date = fc.option(oneOf(DATES), { freq: 1 });
const minimumRole: fc.Arbitrary<MinimumRole | null> = fc.option(oneOf(MINIMUM_ROLES), { freq: 5 });

const invitation = fc.record({ group: fc.constant('friends'), role: oneOf(ROLES), expiresOn: date });

export const membership: fc.Arbitrary<Membership> = fc
  .record({
    via: oneOf(['project', 'group', 'personal_namespace', 'organization'] as const),
    role: oneOf(ROLES),
    expiresOn: date,
    invitation: fc.option(invitation, { freq: 1 }),
    toProject: fc.boolean(),
  })
  .map(({ via, role, toProject, ...ends }) => {
    const invitedTo = toProject ? 'group_invited_to_project' : 'group_invited_to_group';
    return member(role, { ...ends, via: ends.invitation === null ? via : invitedTo });
  });

const repositoryRule: fc.Arbitrary<RepositoryRule> = fc.record({
  pattern: oneOf(PATTERNS),
  minimumRoleForPush: minimumRole,
  minimumRoleForDelete: minimumRole,
});

const tagRule: fc.Arbitrary<TagRule> = fc.record({
  pattern: oneOf(['v1', 'v2.*', 'latest']),
  minimumRoleForPush: minimumRole,
  minimumRoleForDelete: minimumRole,
  immutable: once(3),
});

const ipAllowlist: fc.Arbitrary<IpAllowlist> = fc.record({
  group: fc.constant('acme'),
  ranges: fc.subarray(RANGES),
});

function project(identity: { readonly id: number; readonly path: string }): fc.Arbitrary<Project> {
  return fc
    .record({
      visibility: oneOf(VISIBILITIES),
      registryAccess: oneOf([...REGISTRY_ACCESSES, 'enabled', 'enabled', 'private'] as const),
      archivedBy: sometimes('acme', 8),
      deletionScheduled: once(8),
      maintainedOrganization: sometimes('default', 8),
      overStorageLimit: sometimes('acme', 6),
      shareLockedBy: sometimes('acme', 3),
      ipAllowlists: once(4).chain((are) => fc.array(ipAllowlist, { maxLength: are ? 2 : 0 })),
      protectedRepositories: fc.array(repositoryRule, { maxLength: 2 }),
      protectedTags: fc.array(tagRule, { maxLength: 2 }),
      memberships: fc.array(membership, { maxLength: 3 }),
      ownDeployToken: fc.boolean(),
      jobAccess: oneOf(['listed', 'anyone', 'not_listed'] as const),
    })
    .map((facts) => aProject({ ...identity, ...facts }));
}

const person: fc.Arbitrary<Person> = fc
  .record({ admin: once(8), auditor: once(8), external: once(3) })
  .map((flags) => aPerson(flags));

export const tokenUser: fc.Arbitrary<UserSubject> = fc
  .tuple(fc.subarray(TOKEN_SCOPES), person)
  .map(([scopes, owner]) => aTokenUser(scopes, owner));

export const deployToken: fc.Arbitrary<DeployTokenSubject> = fc
  .subarray(DEPLOY_TOKEN_SCOPES)
  .map((scopes) => aDeployToken(scopes));

export const subject: fc.Arbitrary<Subject> = fc.oneof(
  fc.constant(anonymous()),
  person.map((user) => aUser(user)),
  tokenUser,
  deployToken,
  fc.tuple(fc.option(person, { freq: 4 }), oneOf([1, 2, 3])).map(([user, id]) => aJob(user, id)),
);

/** Scopes as text without white space; some don't parse, and some name the same resource. */
export const scopeTexts: fc.Arbitrary<readonly string[]> = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: repositoryScope() },
    { weight: 2, arbitrary: oneOf(REGISTRY_SCOPES) },
    { weight: 1, arbitrary: oneOf(JUNK) },
  ),
  { maxLength: 4 },
);

function repositoryScope(): fc.Arbitrary<string> {
  const actions = fc.shuffledSubarray([...ACTIONS, 'foo'], { minLength: 1 });
  return fc.tuple(oneOf(NAMES), actions).map(([name, asked]) => `repository:${name}:${asked.join(',')}`);
}

/** A whole request by a subject of this kind. */
export function situation<S extends Subject>(of: fc.Arbitrary<S>): fc.Arbitrary<Situation & { subject: S }> {
  return fc
    .record({
      subject: of,
      texts: scopeTexts,
      projects: fc.tuple(project(PROJECTS[0]), project(PROJECTS[1])),
      inside: fc.subarray(RANGES),
      maintenanceMode: once(8),
    })
    .map(({ texts, inside, maintenanceMode, ...rest }) => ({
      ...rest,
      scopes: ask(...texts),
      circumstances: circumstances({ inside, maintenanceMode }),
    }));
}

/** The same items in any order. */
export function shuffled<T>(items: readonly T[]): fc.Arbitrary<T[]> {
  return fc.shuffledSubarray([...items], { minLength: items.length });
}

export function withShuffledActions(scope: ResourceScope): fc.Arbitrary<ResourceScope> {
  return shuffled(scope.actions).map((actions) => ({ ...scope, actions }));
}

export function shuffledFacts(project: Project): fc.Arbitrary<Project> {
  return fc
    .record({
      memberships: shuffled(project.memberships),
      protectedRepositories: shuffled(project.protectedRepositories),
      protectedTags: shuffled(project.protectedTags),
      ipAllowlists: shuffled(project.ipAllowlists),
    })
    .map((facts) => ({ ...project, ...facts }));
}
