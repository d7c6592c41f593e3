/**
 * Roles, actions, and the tables of what each role may do (GitLab's `Gitlab::Access` and
 * `ProjectPolicy`).
 */

export const ROLES = [
  'minimal_access',
  'guest',
  'planner',
  'reporter',
  'security_manager',
  'developer',
  'maintainer',
  'owner',
] as const;
export type Role = (typeof ROLES)[number];

/** The minimum role of a protection rule; `admin` is an admin of the instance. */
export const MINIMUM_ROLES = [...ROLES, 'admin'] as const;
export type MinimumRole = (typeof MINIMUM_ROLES)[number];

export const VISIBILITIES = ['private', 'internal', 'public'] as const;
export type Visibility = (typeof VISIBILITIES)[number];

export const REGISTRY_ACCESSES = ['enabled', 'private', 'disabled'] as const;
export type RegistryAccess = (typeof REGISTRY_ACCESSES)[number];

export const ACTIONS = ['pull', 'push', 'delete', '*'] as const;
export type Action = (typeof ACTIONS)[number];

/** GitLab's numbers. They only compare roles; permissions are in the tables below. */
const LEVEL: Record<MinimumRole, number> = {
  minimal_access: 5,
  guest: 10,
  planner: 15,
  reporter: 20,
  security_manager: 25,
  developer: 30,
  maintainer: 40,
  owner: 50,
  admin: 60,
};

const ROLE_OF_LEVEL: ReadonlyMap<number, Role> = new Map(ROLES.map((role) => [LEVEL[role], role]));

/** The role of one of GitLab's numbers; undefined: no role has it. */
export function roleOfLevel(level: number): Role | undefined {
  return ROLE_OF_LEVEL.get(level);
}

/** The number that GitLab has for a role. */
export function levelOfRole(role: Role): number {
  return LEVEL[role];
}

/** Which role may pull from a private project, or from a registry for members only. */
export const PULLS_PRIVATE: Record<Role, boolean> = {
  minimal_access: false,
  guest: false,
  planner: false,
  reporter: true,
  security_manager: true,
  developer: true,
  maintainer: true,
  owner: true,
};

/** Which role an external user needs to pull from an internal project. */
export const PULLS_INTERNAL_AS_EXTERNAL: Record<Role, boolean> = {
  minimal_access: false,
  guest: true,
  planner: true,
  reporter: true,
  security_manager: true,
  developer: true,
  maintainer: true,
  owner: true,
};

type ChangingAction = Exclude<Action, 'pull'>;

/** Which role may push and delete, for every visibility. */
export const CHANGES: Record<Role, Record<ChangingAction, boolean>> = {
  minimal_access: { push: false, delete: false, '*': false },
  guest: { push: false, delete: false, '*': false },
  planner: { push: false, delete: false, '*': false },
  reporter: { push: false, delete: false, '*': false },
  security_manager: { push: false, delete: false, '*': false },
  developer: { push: true, delete: false, '*': false },
  maintainer: { push: true, delete: true, '*': true },
  owner: { push: true, delete: true, '*': true },
};

/** Whether a minimum is above a role. No role (null) is below every minimum. */
export function isAbove(minimum: MinimumRole, role: Role | 'admin' | null): boolean {
  return role === null || LEVEL[minimum] > LEVEL[role];
}

export function lesserRole(a: Role, b: Role): Role {
  return LEVEL[a] < LEVEL[b] ? a : b;
}
