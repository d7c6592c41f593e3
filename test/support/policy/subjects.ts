import assert from 'node:assert/strict';
import {
  ANONYMOUS_ABILITIES,
  accessTokenAbilities,
  deployTokenAbilities,
  JOB_ABILITIES,
  PASSWORD_ABILITIES,
} from '../../../src/policy/ability.ts';
import { type Decision, grantAccess } from '../../../src/policy/grant.ts';
import type {
  Circumstances,
  Invitation,
  Membership,
  Project,
  RepositoryRule,
  TagRule,
} from '../../../src/policy/project.ts';
import type { MinimumRole, Role } from '../../../src/policy/role.ts';
import { parseScopes, type ResourceScope, splitScopes } from '../../../src/policy/scope.ts';
import type {
  AnonymousSubject,
  DeployTokenSubject,
  JobSubject,
  Person,
  Subject,
  UserSubject,
} from '../../../src/policy/subject.ts';

export const NOW = new Date('2026-11-24T12:00:00Z');

/**
 * The circumstances of a request: the client's address, and whether the instance is in maintenance.
 */
export interface CircumstancesFixture {
  readonly now?: Date;
  /** The ranges that hold the client's address. */
  readonly inside?: readonly string[];
  readonly maintenanceMode?: boolean;
}

export function circumstances({
  now = NOW,
  inside = [],
  maintenanceMode = false,
}: CircumstancesFixture = {}): Circumstances {
  const clientAddress = { text: '192.0.2.1', isIn: (range: string) => inside.includes(range) };
  return { now, clientAddress, instance: { registryEnabled: true, maintenanceMode } };
}

/** A private project with its registry enabled and without members. */
export function aProject(facts: Partial<Project> = {}): Project {
  return {
    id: 101,
    path: 'acme/app',
    rootNamespaceId: 7,
    organizationId: 1,
    visibility: 'private',
    registryAccess: 'enabled',
    archivedBy: null,
    deletionScheduled: false,
    maintainedOrganization: null,
    overStorageLimit: null,
    shareLockedBy: null,
    ipAllowlists: [],
    protectedRepositories: [],
    protectedTags: [],
    memberships: [],
    ownDeployToken: false,
    jobAccess: 'not_listed',
    ...facts,
  };
}

/** A direct membership without an end. */
export function member(role: Role, facts: Partial<Membership> = {}): Membership {
  return { via: 'project', path: 'acme/app', role, expiresOn: null, invitation: null, ...facts };
}

/** A membership in a group that is invited to the project. */
export function invited(
  role: Role,
  invitation: Partial<Invitation> & { readonly role: Role },
  facts: Partial<Membership> = {},
): Membership {
  return member(role, {
    via: 'group_invited_to_project',
    invitation: { group: 'friends', expiresOn: null, ...invitation },
    ...facts,
  });
}

export function repositoryRule(pattern: string, minimumRoleForPush: MinimumRole | null): RepositoryRule {
  return { pattern, minimumRoleForPush, minimumRoleForDelete: null };
}

export function tagRule(pattern: string, push: MinimumRole | null, remove: MinimumRole | null): TagRule {
  return { pattern, minimumRoleForPush: push, minimumRoleForDelete: remove, immutable: false };
}

export function immutableTags(pattern: string): TagRule {
  return { ...tagRule(pattern, null, null), immutable: true };
}

/** An ordinary user: no admin, no auditor, not external. */
export function aPerson(facts: Partial<Person> = {}): Person {
  return { id: 11, username: 'alice', admin: false, auditor: false, external: false, ...facts };
}

export function anonymous(): AnonymousSubject {
  return { kind: 'anonymous', expiresAt: null, abilities: ANONYMOUS_ABILITIES };
}

/** A user who authenticated with a password. */
export function aUser(facts: Partial<Person> = {}): UserSubject {
  return {
    kind: 'user',
    authType: 'gitlab_or_ldap',
    person: aPerson(facts),
    tokenScopes: null,
    expiresAt: null,
    abilities: PASSWORD_ABILITIES,
  };
}

/** A user who authenticated with an access token. */
export function aTokenUser(tokenScopes: readonly string[], facts: Partial<Person> = {}): UserSubject {
  const abilities = accessTokenAbilities(tokenScopes);
  return { ...aUser(facts), authType: 'personal_access_token', tokenScopes, abilities };
}

export function aDeployToken(
  tokenScopes: readonly string[] = ['read_registry', 'write_registry'],
): DeployTokenSubject {
  return {
    kind: 'deploy_token',
    deployTokenId: 5,
    username: 'puller',
    tokenScopes,
    expiresAt: null,
    abilities: deployTokenAbilities(tokenScopes),
  };
}

/** A job of project `projectId`; default: the fixture's project. */
export function aJob(person: Person | null = aPerson(), projectId = 101): JobSubject {
  return {
    kind: 'job',
    jobId: 9001,
    projectId,
    projectPath: 'acme/app',
    person,
    expiresAt: null,
    abilities: JOB_ABILITIES,
  };
}

/** Parses scopes as the token endpoint does. */
export function ask(...texts: readonly string[]): readonly ResourceScope[] {
  return parseScopes(splitScopes(texts)).scopes;
}

export interface Situation {
  readonly subject: Subject;
  readonly scopes: readonly ResourceScope[];
  readonly projects: readonly Project[];
  readonly circumstances: Circumstances;
}

export function decide({ subject, scopes, projects, circumstances: at }: Situation): Decision {
  return grantAccess(subject, scopes, projects, at);
}

/** Decides on actions on one project's own repository; default: `acme/app`. */
export function decideOn(
  subject: Subject,
  actions: string,
  project: Project = aProject(),
  at: CircumstancesFixture = {},
): Decision {
  const scopes = ask(`repository:${project.path}:${actions}`);
  return decide({ subject, scopes, projects: [project], circumstances: circumstances(at) });
}

/**
 * A decision in one line: the denial with the rule behind it, or what is granted; `-` for nothing.
 */
export function outcome({ denial, access }: Decision): string {
  if (denial?.reason === 'forbidden_push') return `403 ${denial.ruling.rule}`;
  if (denial !== null) return `403 ${denial.reason}`;
  return access.map(({ name, actions }) => `${name}:${actions.join(',')}`).join(' ') || '-';
}

/** `verdict rule` for each of these actions asked alone; once if all are alike. */
function verdicts(
  subject: Subject,
  actions: string,
  facts: Partial<Project>,
  at?: CircumstancesFixture,
): string {
  const each = actions.split(' ').map((action) => decideOn(subject, action, aProject(facts), at).rulings[0]);
  return [...new Set(each.map((ruling) => `${ruling?.verdict} ${ruling?.rule}`))].join(', ');
}

/** A row about one rule: the expected text is `verdict rule`. */
export type RuleRow = readonly [
  what: string,
  subject: Subject,
  actions: string,
  facts: Partial<Project>,
  expected: string,
  at?: CircumstancesFixture,
];

/** One test for each row. */
export function checkRules(rows: readonly RuleRow[]): void {
  for (const [what, subject, actions, facts, expected, at] of rows) {
    it(`${what}: ${actions} → ${expected}`, () => {
      assert.equal(verdicts(subject, actions, facts, at), expected);
    });
  }
}
