import { deployTokenAbilities, PASSWORD_ABILITIES } from '../../../policy/ability.ts';
import type { ClientAddress, Facts, Membership, Project } from '../../../policy/project.ts';
import { reasonOf } from '../../../policy/reasons.ts';
import { type Action, ROLES, type Role } from '../../../policy/role.ts';
import type { ResourceScope } from '../../../policy/scope.ts';
import type { DeployTokenSubject, Person, Subject, UserSubject } from '../../../policy/subject.ts';
import { decide } from '../../token/decide.ts';

/** A client that every IP allowlist lets in: questions are about subjects, not about addresses. */
const ANYWHERE: ClientAddress = { text: '', isIn: () => true };

/** A user who is no member of anything. */
export const SOME_PERSON: Person = { id: 0, username: '', admin: false, auditor: false, external: false };
export const SOME_USER: UserSubject = {
  kind: 'user',
  authType: 'gitlab_or_ldap',
  person: SOME_PERSON,
  tokenScopes: null,
  abilities: PASSWORD_ABILITIES,
  expiresAt: null,
};
export const SOME_EXTERNAL_USER: UserSubject = { ...SOME_USER, person: { ...SOME_PERSON, external: true } };
/** A deploy token that may pull, and has no project of its own. */
export const SOME_DEPLOY_TOKEN: DeployTokenSubject = {
  kind: 'deploy_token',
  deployTokenId: 0,
  username: '',
  tokenScopes: ['read_registry'],
  abilities: deployTokenAbilities(['read_registry']),
  expiresAt: null,
};

export interface Grant {
  readonly action: Action;
  readonly reason: string;
}

/**
 * What a token request for one action on one repository would get; null: nothing. It is the
 * decision of the token endpoint, on a request of its own, because a refused push would refuse the
 * other actions, too.
 */
export function grantOf(
  subject: Subject,
  { name, action }: { readonly name: string; readonly action: Action },
  facts: Facts,
  now: Date,
): Grant | null {
  const scope: ResourceScope = { type: 'repository', name, actions: [action] };
  const asked = { scopes: [scope], dropped: [] };
  const { decision, refusal } = decide({ subject, asked, facts, now, clientAddress: ANYWHERE });
  const [ruling] = decision.rulings;
  if (refusal !== null || decision.access.length === 0 || ruling === undefined) return null;
  return { action, reason: reasonOf(ruling) };
}

/**
 * The roles on a project that the policy grants an action for: with them a source passes over
 * members who can't be allowed anyway.
 * @param isGranted decides about facts in which the subject has the role.
 */
export function rolesThatMay(project: Project, isGranted: (project: Project) => boolean): readonly Role[] {
  return ROLES.filter((role) => isGranted(withRole(project, role)));
}

/** The project, on which the subject's user has this role and no other. */
export function withRole(project: Project, role: Role): Project {
  const membership: Membership = {
    via: 'project',
    path: project.path,
    role,
    expiresOn: null,
    invitation: null,
  };
  return { ...project, memberships: [membership] };
}
