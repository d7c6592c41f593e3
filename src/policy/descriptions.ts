import type { Ruling } from './grant.ts';
import type { Membership, Project } from './project.ts';
import {
  type Action,
  CHANGES,
  isAbove,
  type MinimumRole,
  PULLS_INTERNAL_AS_EXTERNAL,
  PULLS_PRIVATE,
  ROLES,
  type Role,
} from './role.ts';
import { roleOf, whyNotCounted } from './standing.ts';
import { type Subject, subjectName } from './subject.ts';

/**
 * "alice is developer through group acme/platform, inherited from acme", or "has no role", with the
 * memberships that don't count.
 */
export function describeStanding(ruling: Ruling, project: Project): string {
  const { standing, subject } = ruling;
  const name = subjectName(subject);
  if (standing.person === null) return 'the job has no user';
  if (standing.admin) return `${name} is owner as an admin`;
  const role =
    standing.membership === null
      ? `has no role on ${project.path}`
      : `is ${standing.role} ${describeMembership(standing.membership, project)}`;
  return `${name} ${role}${uncounted(ruling, project)}`;
}

function describeMembership(membership: Membership, project: Project): string {
  const { via, path, invitation, role } = membership;
  const parent = project.path.slice(0, project.path.lastIndexOf('/'));
  switch (via) {
    case 'project':
      return `as a member of ${path}`;
    case 'group':
      return `through group ${parent}${path === parent ? '' : `, inherited from ${path}`}`;
    case 'project_authorization':
      return `of ${path} in GitLab`;
    case 'personal_namespace':
      return `of the personal namespace ${path}`;
    case 'organization':
      return `of organization ${path}`;
    default:
      return `through group ${invitation?.group} (${role} there), invited to ${path} as ${invitation?.role}`;
  }
}

/** Memberships that would give a higher role if they weren't expired or locked out. */
function uncounted({ standing, circumstances }: Ruling, project: Project): string {
  const reasons = project.memberships
    .filter((membership) => isAbove(roleOf(membership), standing.role))
    .map((membership) => {
      const isOver = whyNotCounted(membership, project, circumstances.now) === 'expired';
      const end = isOver ? 'expired' : `but ${project.shareLockedBy} forbids invited groups`;
      return `${roleOf(membership)} ${describeMembership(membership, project)}, ${end}`;
    });
  return reasons.length === 0 ? '' : ` (not counted: ${reasons.join('; ')})`;
}

/** The credential of the subject. */
export function describeCredential(subject: Subject): string {
  switch (subject.kind) {
    case 'anonymous':
      return 'no credentials';
    case 'job':
      return 'a CI job token';
    case 'deploy_token':
      return `deploy token scopes ${subject.tokenScopes.join(', ') || '(none)'}`;
    case 'user':
      return subject.tokenScopes === null
        ? 'a password'
        : `token scopes ${subject.tokenScopes.join(', ') || '(none)'}`;
  }
}

const TOKEN_SCOPES_FOR: Record<Action, string> = {
  pull: 'read_registry, read_api or api',
  push: 'write_registry or api',
  delete: 'api',
  '*': 'api',
};

const DEPLOY_TOKEN_SCOPES_FOR: Record<Action, string | null> = {
  pull: 'read_registry',
  push: 'write_registry',
  delete: null,
  '*': null,
};

/** What this action needs: "needs write_registry or api". */
export function abilityRule(subject: Subject, action: Action): string {
  if (subject.kind === 'anonymous') return 'needs credentials';
  if (subject.kind === 'job') return 'is never granted to jobs';
  if (subject.kind === 'user') return `needs ${TOKEN_SCOPES_FOR[action]}`;
  const scope = DEPLOY_TOKEN_SCOPES_FOR[action];
  return scope === null ? 'is never granted to deploy tokens' : `needs ${scope}`;
}

/** A credential that allows the action. */
export function abilityNeed(subject: Subject, action: Action): string {
  const scope = subject.kind === 'deploy_token' ? DEPLOY_TOKEN_SCOPES_FOR[action] : null;
  return scope === null
    ? `a password, or an access token with the scope ${TOKEN_SCOPES_FOR[action]}`
    : `a deploy token with the scope ${scope}`;
}

/** The lowest role that may do this: "developer or more". */
export function rolesThat({ action, standing }: Ruling, { visibility, registryAccess }: Project): string {
  const isOpenToGuests =
    standing.person?.external === true && visibility === 'internal' && registryAccess === 'enabled';
  const pulls = isOpenToGuests ? PULLS_INTERNAL_AS_EXTERNAL : PULLS_PRIVATE;
  return orMore(leastRole((role) => (action === 'pull' ? pulls[role] : CHANGES[role][action])));
}

function leastRole(may: (role: Role) => boolean): Role {
  return ROLES.reduceRight((least, role) => (may(role) ? role : least));
}

/** "developer or more". Only admins are above owner, and they pass every minimum. */
export function orMore(role: MinimumRole): string {
  if (role === 'admin') return 'an admin';
  return role === 'owner' ? 'owner' : `${role} or more`;
}

/** Why anonymous clients can't pull. */
export function describeOpenness({ path, visibility, registryAccess }: Project): string {
  return visibility !== 'private' && registryAccess === 'private'
    ? `the registry of ${path} is for members only`
    : `${path} is ${visibility}`;
}

/** "a, b or c" */
export function orList(items: readonly string[]): string {
  return joinWith(items, 'or');
}

/** "a, b and c" */
export function andList(items: readonly string[]): string {
  return joinWith(items, 'and');
}

function joinWith(items: readonly string[], word: string): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} ${word} ${items.at(-1)}`;
}
