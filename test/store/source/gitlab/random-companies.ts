import { MINIMUM_ROLES, ROLES } from '../../../../src/policy/role.ts';
import { createRandom } from '../../../support/random.ts';

export type Login = readonly [username: string, secret: string] | null;

export interface Question {
  readonly login: Login;
  readonly scopes: readonly string[];
}

/**
 * Small companies in one directory document, and what their people ask. What GitLab decides
 * otherwise is left out: deactivated users, storage limits, allowlists below the root group, and
 * deploy tokens on the internal projects of others.
 */
export function randomCompanies(
  count: number,
  seed: number,
): { readonly document: Readonly<Record<string, unknown>>; readonly questions: readonly Question[] } {
  const all = Array.from({ length: count }, (_, at) => randomCompany(`c${at}`, seed * count + at));
  const sections = ['users', 'groups', 'projects', 'access_tokens', 'deploy_tokens', 'job_tokens'] as const;
  return {
    document: {
      version: 1,
      ...Object.fromEntries(sections.map((name) => [name, all.flatMap((company) => company.document[name])])),
    },
    questions: all.flatMap(({ questions }) => questions),
  };
}

type Sections = Readonly<
  Record<
    'users' | 'groups' | 'projects' | 'access_tokens' | 'deploy_tokens' | 'job_tokens',
    readonly object[]
  >
>;

const STATES = ['active', 'active', 'active', 'active', 'blocked', 'locked', 'unconfirmed'] as const;
const VISIBILITIES = ['private', 'private', 'internal', 'public'] as const;
const REGISTRIES = ['enabled', 'enabled', 'enabled', 'private', 'disabled'] as const;
const TOKEN_SCOPES = [
  ['api'],
  ['read_registry'],
  ['write_registry'],
  ['read_registry', 'write_registry'],
  ['read_user'],
];
const DATES = [null, null, '2020-01-31', '2999-12-31'];
const ACTIONS = ['pull', 'push', 'pull,push', 'pull,push,delete', '*', 'delete'];

function randomCompany(
  name: string,
  seed: number,
): { readonly document: Sections; readonly questions: readonly Question[] } {
  const { next, pick } = createRandom(seed);
  const chance = (share: number): boolean => next() < share;
  const some = <T>(list: readonly T[], share: number): readonly T[] => list.filter(() => chance(share));
  const secret = (prefix: string, at: number): string => `${prefix}${name}-${seed}-${at}-example`;

  const users = ['a', 'b', 'd'].map((user) => `${name}-${user}`);
  const groups = [name, `${name}/sub`, `${name}/sub/deep`, `${name}-friends`];
  const paths = [
    `${name}/app`,
    `${name}/sub/app`,
    `${name}/sub/deep/App`,
    `${name}-friends/app`,
    `${name}-a/own`,
  ];
  const members = (share: number): readonly object[] =>
    some(users, share).map((user) => ({ user, role: pick(ROLES), expires_at: pick(DATES) }));
  const invited = (group: string): readonly object[] =>
    some(groups, 0.25)
      .filter((other) => other !== group && !group.startsWith(`${other}/`) && !other.startsWith(`${group}/`))
      .map((other) => ({ group: other, role: pick(ROLES), expires_at: pick(DATES) }));
  const projects = paths.map((path) => ({
    path,
    visibility: pick(VISIBILITIES),
    container_registry: pick(REGISTRIES),
    archived: chance(0.1),
    deletion_scheduled: chance(0.1),
    ci_enabled: chance(0.9),
    members: members(0.3),
    invited_groups: path.startsWith(`${name}-a/`) ? [] : invited(path.slice(0, path.lastIndexOf('/'))),
    job_token_allowlist: chance(0.2) ? 'anyone' : [...some(paths, 0.3), ...some(groups, 0.2)],
    protected_repositories: chance(0.3)
      ? [{ pattern: `${path}*`, minimum_role_for_push: pick(MINIMUM_ROLES.slice(5)) }]
      : [],
    protected_tags: chance(0.3)
      ? [
          {
            pattern: 'v.*',
            minimum_role_for_push: pick(MINIMUM_ROLES.slice(5)),
            minimum_role_for_delete: pick(MINIMUM_ROLES.slice(5)),
          },
          { pattern: 'x.*', immutable: true },
        ]
      : [],
  }));
  const accessTokens = [
    ...users.map((user, at) => ({ kind: 'personal', user, token: secret('glpat-', at) })),
    {
      kind: 'project',
      project: pick(paths.slice(0, 4)),
      role: pick(ROLES.slice(1)),
      token: secret('glpat-', 10),
    },
    { kind: 'group', group: pick(groups), role: pick(ROLES.slice(1)), token: secret('glpat-', 11) },
  ].map((token) => ({
    ...token,
    name: token.token,
    scopes: pick(TOKEN_SCOPES),
    revoked: chance(0.1),
    expires_at: pick(DATES),
  }));
  const deployTokens = [
    { projects: some(paths, 0.5).concat(`${name}/app`).filter(isFirst) },
    { group: pick(groups) },
  ].map((reach, at) => ({
    ...reach,
    username: `${name}-deploy-${at}`,
    scopes: pick(TOKEN_SCOPES.slice(1, 4)),
    revoked: chance(0.1),
    token: secret('gldt-', at),
  }));
  const jobs = [0, 1, 2].map((at) => ({
    project: pick(paths),
    user: chance(0.8) ? pick(users) : null,
    running: chance(0.9),
    token: secret('glcbt-64_', at),
  }));
  const logins: readonly Login[] = [
    null,
    ...accessTokens.map(({ token }) => ['any', token] as const),
    ...deployTokens.map(({ username, token }) => [username, token] as const),
    ...jobs.map(({ token }) => ['gitlab-ci-token', token] as const),
    ['any', secret('glpat-', 99)],
  ];
  const ofDeployToken = new Set(deployTokens.map(({ token }) => token));
  const internal = new Set(
    projects.filter(({ visibility }) => visibility === 'internal').map(({ path }) => path),
  );
  const questions = logins.map((login): Question => {
    const isDeploy = login !== null && ofDeployToken.has(login[1]);
    const asked = some([...paths, `${name}/none`], 0.4).filter((path) => !(isDeploy && internal.has(path)));
    const scopes = asked.map(
      (path) => `repository:${path.toLowerCase()}${chance(0.3) ? '/image' : ''}:${pick(ACTIONS)}`,
    );
    return { login, scopes: scopes.length === 0 ? [`repository:${name}/none:pull`] : scopes };
  });
  return {
    document: {
      users: users.map((username) => ({
        username,
        state: pick(STATES),
        admin: chance(0.1),
        auditor: chance(0.1),
        external: chance(0.2),
        password_expired: chance(0.05),
      })),
      groups: groups.map((path) => ({
        path,
        members: members(0.3),
        invited_groups: invited(path),
        share_with_group_lock: chance(0.1),
        archived: chance(0.05),
        ip_allowlist: path.includes('/') || chance(0.9) ? [] : [pick(['10.0.0.0/8', '192.0.2.0/24'])],
      })),
      projects,
      access_tokens: accessTokens,
      deploy_tokens: deployTokens,
      job_tokens: jobs,
    },
    questions,
  };
}

function isFirst<T>(item: T, at: number, list: readonly T[]): boolean {
  return list.indexOf(item) === at;
}
