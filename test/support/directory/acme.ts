import { randomBytes } from 'node:crypto';

export type Login = readonly [username: string, password: string];

/** Secrets are new in every run. */
export function secret(prefix: 'glpat-' | 'gldt-' | 'glcbt-'): string {
  return prefix + randomBytes(16).toString('hex');
}

const PASSWORD = randomBytes(12).toString('hex');
const ACCESS_TOKENS = {
  api: secret('glpat-'),
  reader: secret('glpat-'),
  writer: secret('glpat-'),
  powerless: secret('glpat-'),
  revoked: secret('glpat-'),
  expired: secret('glpat-'),
  bot: secret('glpat-'),
};
const DEPLOY_TOKENS = {
  deployer: secret('gldt-'),
  deployerRevoked: secret('gldt-'),
  deployerExpired: secret('gldt-'),
};
const JOBS = {
  job: secret('glcbt-'),
  jobStopped: secret('glcbt-'),
  jobExpired: secret('glcbt-'),
  jobWithoutUser: secret('glcbt-'),
};
const BARRED = ['blocked', 'locked', 'unconfirmed', 'deactivated'] as const;
const BARRED_TOKENS = BARRED.map((state) => [state, secret('glpat-')] as const);
const OUTDATED_TOKEN = secret('glpat-');

const asToken = (name: keyof typeof ACCESS_TOKENS): Login => ['anybody', ACCESS_TOKENS[name]];
const asJob = (name: keyof typeof JOBS): Login => ['gitlab-ci-token', JOBS[name]];

/**
 * The valid logins. Alice is a developer of `acme/app` and a reporter of `acme/base`; bob is a
 * maintainer of the group `acme`.
 */
export const LOGIN = {
  root: ['root', PASSWORD],
  alice: ['alice', PASSWORD],
  bob: ['bob', PASSWORD],
  api: asToken('api'),
  apiAsJob: ['gitlab-ci-token', ACCESS_TOKENS.api],
  reader: asToken('reader'),
  writer: asToken('writer'),
  powerless: asToken('powerless'),
  bot: asToken('bot'),
  deployer: ['deployer', DEPLOY_TOKENS.deployer],
  job: asJob('job'),
  jobWithoutUser: asJob('jobWithoutUser'),
} as const satisfies Record<string, Login>;

/** The logins that must be refused, by cause. */
export const REFUSED_LOGINS: readonly [cause: string, login: Login][] = [
  ['an unknown user', ['nobody', PASSWORD]],
  ['a wrong password', ['alice', 'guessed']],
  ['an unknown token', ['alice', secret('glpat-')]],
  ['a password as an empty user', ['', PASSWORD]],
  ['a revoked access token', asToken('revoked')],
  ['an expired access token', asToken('expired')],
  ["another's name with a deploy token", ['alice', DEPLOY_TOKENS.deployer]],
  ['a revoked deploy token', ['deployer', DEPLOY_TOKENS.deployerRevoked]],
  ['an expired deploy token', ['deployer', DEPLOY_TOKENS.deployerExpired]],
  ['an unknown job', ['gitlab-ci-token', secret('glcbt-')]],
  ['a job that has ended', asJob('jobStopped')],
  ['an expired job token', asJob('jobExpired')],
  ['a job token with another login', ['alice', JOBS.job]],
  ['an unknown token as a job', ['gitlab-ci-token', secret('glpat-')]],
  ['a revoked access token as a job', ['gitlab-ci-token', ACCESS_TOKENS.revoked]],
  ['a deploy token as a job', ['gitlab-ci-token', DEPLOY_TOKENS.deployer]],
  ['a password as a job', ['gitlab-ci-token', PASSWORD]],
  ['a user with two factors and a password', ['careful', PASSWORD]],
  ['a user whose password expired', ['outdated', PASSWORD]],
  ['the token of a user whose password expired', ['outdated', OUTDATED_TOKEN]],
  ...BARRED.map((state): [string, Login] => [`a ${state} user`, [state, PASSWORD]]),
  ...BARRED_TOKENS.map(([state, token]): [string, Login] => [`the token of a ${state} user`, [state, token]]),
];

const personal = (name: keyof typeof ACCESS_TOKENS, scopes: readonly string[], rest: object = {}) => ({
  name,
  kind: 'personal',
  user: 'alice',
  scopes,
  token: ACCESS_TOKENS[name],
  ...rest,
});
const deploy = (name: keyof typeof DEPLOY_TOKENS, rest: object = {}) => ({
  username: 'deployer',
  scopes: ['read_registry', 'write_registry'],
  projects: ['acme/app'],
  token: DEPLOY_TOKENS[name],
  ...rest,
});
const job = (name: keyof typeof JOBS, rest: object = {}) => ({
  project: 'acme/app',
  user: 'alice',
  token: JOBS[name],
  ...rest,
});

/**
 * A directory with an example of everything that the token endpoint's answer depends on.
 */
export const ACME = {
  organizations: [{ path: 'default', id: 1 }],
  users: [
    { username: 'root', id: 1, admin: true, password: PASSWORD },
    { username: 'alice', id: 11, password: PASSWORD },
    { username: 'bob', id: 12, password: PASSWORD },
    { username: 'careful', two_factor: true, password: PASSWORD },
    { username: 'outdated', password_expired: true, password: PASSWORD },
    ...BARRED.map((state) => ({ username: state, state, password: PASSWORD })),
  ],
  groups: [
    { path: 'acme', id: 7, members: [{ user: 'bob', role: 'maintainer' }] },
    { path: 'full', id: 8, over_storage_limit: true },
  ],
  projects: [
    { path: 'acme/app', id: 101, members: [{ user: 'alice', role: 'developer' }] },
    { path: 'acme/base', id: 102, members: [{ user: 'alice', role: 'reporter' }] },
    { path: 'acme/site', id: 103, visibility: 'public' },
    { path: 'acme/vault', id: 104 },
    {
      path: 'acme/guarded',
      id: 105,
      members: [{ user: 'alice', role: 'developer' }],
      protected_repositories: [{ pattern: 'acme/guarded/prod*', minimum_role_for_push: 'owner' }],
      protected_tags: [
        { pattern: 'v.*', minimum_role_for_push: 'maintainer', minimum_role_for_delete: 'owner' },
        { pattern: 'release-.*', immutable: true },
      ],
    },
    { path: 'full/app', id: 106, members: [{ user: 'alice', role: 'developer' }] },
  ],
  access_tokens: [
    personal('api', ['api']),
    personal('reader', ['read_registry']),
    personal('writer', ['write_registry']),
    personal('powerless', ['read_repository', 'read_user']),
    personal('revoked', ['api'], { revoked: true }),
    personal('expired', ['api'], { expires_at: '2020-01-31' }),
    {
      name: 'bot',
      kind: 'project',
      project: 'acme/app',
      role: 'developer',
      scopes: ['api'],
      token: ACCESS_TOKENS.bot,
    },
    ...[...BARRED_TOKENS, ['outdated', OUTDATED_TOKEN] as const].map(([user, token]) => ({
      name: 'laptop',
      kind: 'personal',
      user,
      scopes: ['api'],
      token,
    })),
  ],
  deploy_tokens: [
    deploy('deployer', { id: 31 }),
    deploy('deployerRevoked', { id: 32, revoked: true }),
    deploy('deployerExpired', { id: 33, expires_at: '2020-01-31T00:00:00Z' }),
  ],
  job_tokens: [
    job('job'),
    job('jobStopped', { running: false }),
    job('jobExpired', { expires_at: '2020-01-31T00:00:00Z' }),
    job('jobWithoutUser', { user: null }),
  ],
};
