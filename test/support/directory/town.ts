import { randomBytes } from 'node:crypto';
import { REGISTRY_ACCESSES, ROLES, VISIBILITIES } from '../../../src/policy/role.ts';
import type { Login } from './acme.ts';

/** A secret that is new in every run, and long enough not to be refused as too short. */
export function newSecret(prefix: string): string {
  return prefix + randomBytes(16).toString('hex');
}

/** One project for each visibility and registry setting: `town/private-enabled`, … */
export const GRID = VISIBILITIES.flatMap((visibility) =>
  REGISTRY_ACCESSES.map((registry) => ({ path: `town/${visibility}-${registry}`, visibility, registry })),
);

/** A project with tag rules for `latest` and others, and no protected repository. */
export const TAGGED = 'town/tagged';
/** A project whose image `town/guarded/prod` is protected. */
export const GUARDED = 'town/guarded';
/** A project whose root group is over the storage limit. */
export const FULL = 'full/house';
/** A project that only admins may see, and a path of the same length without a project. */
export const HIDDEN = 'vault/gold';
export const ABSENT = 'vault/lead';

const USERS = [...ROLES, 'stranger', 'external', 'auditor', 'root'] as const;
type User = (typeof USERS)[number];

export const TOKEN_SCOPES = ['api', 'read_api', 'read_registry', 'write_registry', 'read_user'] as const;
export const DEPLOY_TOKEN_SCOPES = ['read_registry', 'write_registry', 'read_repository'] as const;

/** All non-empty subsets, each in the given order. */
function choices<T>(items: readonly T[]): readonly (readonly T[])[] {
  const all: (readonly T[])[] = [[]];
  for (const item of items) all.push(...all.map((choice) => [...choice, item]));
  return all.filter((choice) => choice.length > 0);
}

/** A credential of the town, with the token scopes that it has. */
export interface Holder {
  readonly login: Login;
  readonly tokenScopes: readonly string[];
}

export interface Town {
  readonly document: object;
  /** A token with the scope `api` of each user. */
  readonly users: Readonly<Record<User, Login>>;
  readonly passwords: Readonly<Record<'owner' | 'root', Login>>;
  /**
   * One token for each subset of scopes: personal tokens of the owner, project tokens of
   * `town/tagged`, group tokens, and deploy tokens of both.
   */
  readonly personal: readonly Holder[];
  readonly project: readonly Holder[];
  readonly group: readonly Holder[];
  readonly projectDeploy: readonly Holder[];
  readonly groupDeploy: readonly Holder[];
  /** Jobs of `town/tagged`, by user; the job `nobody` has no user. */
  readonly jobs: Readonly<Record<'developer' | 'reporter' | 'root' | 'nobody', Login>>;
}

/** A directory, called the town, with every kind of subject, project and protection. */
export function buildTown(): Town {
  const users = table(USERS, (user): Login => [user, newSecret('glpat-')]);
  const passwords = table(['owner', 'root'] as const, (user): Login => [user, newSecret('')]);
  const jobs = table(['developer', 'reporter', 'root', 'nobody'] as const, (): Login => {
    return ['gitlab-ci-token', newSecret('glcbt-')];
  });
  const tokens = (): readonly Holder[] =>
    choices(TOKEN_SCOPES).map((tokenScopes) => ({ login: ['any', newSecret('glpat-')], tokenScopes }));
  const deployTokens = (username: string): readonly Holder[] =>
    choices(DEPLOY_TOKEN_SCOPES).map((tokenScopes) => ({
      login: [`${username}-${tokenScopes.join('-')}`, newSecret('gldt-')],
      tokenScopes,
    }));
  const town = {
    users,
    passwords,
    jobs,
    personal: tokens(),
    project: tokens(),
    group: tokens(),
    projectDeploy: deployTokens('of-project'),
    groupDeploy: deployTokens('of-group'),
  };
  return { ...town, document: documentOf(town) };
}

function documentOf(town: Omit<Town, 'document'>): object {
  const members = ROLES.map((role) => ({ user: role, role }));
  return {
    users: USERS.map((username) => ({
      username,
      admin: username === 'root',
      auditor: username === 'auditor',
      external: username === 'external',
      ...(username in town.passwords && { password: town.passwords[username as 'root'][1] }),
    })),
    groups: [
      { path: 'town', members },
      { path: 'full', members, over_storage_limit: true },
      { path: 'vault' },
      { path: 'village', members },
    ],
    projects: [
      ...GRID.map(({ path, visibility, registry }) => ({ path, visibility, container_registry: registry })),
      { path: TAGGED, protected_tags: TAG_RULES },
      { path: GUARDED, protected_repositories: GUARD_RULES },
      { path: FULL },
      { path: HIDDEN },
      { path: 'village/inn' },
    ],
    access_tokens: accessTokensOf(town),
    deploy_tokens: [
      ...town.projectDeploy.map((holder) => ({ projects: [TAGGED], ...deployTokenOf(holder) })),
      ...town.groupDeploy.map((holder) => ({ group: 'town', ...deployTokenOf(holder) })),
    ],
    job_tokens: Object.entries(town.jobs).map(([user, [, token]]) => ({
      project: TAGGED,
      user: user === 'nobody' ? null : user,
      token,
    })),
  };
}

const TAG_RULES = [
  { pattern: 'latest', minimum_role_for_push: 'maintainer', minimum_role_for_delete: 'owner' },
  { pattern: 'v.*', minimum_role_for_push: 'admin', minimum_role_for_delete: 'admin' },
  { pattern: 'release-.*', immutable: true },
];
const GUARD_RULES = [{ pattern: `${GUARDED}/prod*`, minimum_role_for_push: 'owner' }];

function accessTokensOf({ users, personal, project, group }: Omit<Town, 'document'>): readonly object[] {
  const entry = (owner: object) => (holder: Holder, at: number) => ({
    ...owner,
    name: `token ${at}`,
    scopes: holder.tokenScopes,
    token: holder.login[1],
  });
  return [
    ...Object.entries(users).map(([user, [, token]]) => ({
      ...{ kind: 'personal', user, name: 'all' },
      ...{ scopes: ['api'], token },
    })),
    ...personal.map(entry({ kind: 'personal', user: 'owner' })),
    ...project.map(entry({ kind: 'project', project: TAGGED, role: 'developer' })),
    ...group.map(entry({ kind: 'group', group: 'town', role: 'maintainer' })),
  ];
}

function deployTokenOf({ login: [username, token], tokenScopes }: Holder): object {
  return { username, token, scopes: tokenScopes };
}

function table<K extends string, V>(keys: readonly K[], value: (key: K) => V): Record<K, V> {
  return Object.fromEntries(keys.map((key) => [key, value(key)])) as Record<K, V>;
}
