import { secret } from '../../../support/directory/acme.ts';

export const NOW = new Date('2026-11-24T12:00:00Z');

const access = (id: number, more: object): object => ({
  id,
  name: `token ${id}`,
  scopes: ['api'],
  token: secret('glpat-'),
  ...more,
});
const deploy = (id: number, more: object): object => ({ id, token: secret('gldt-'), ...more });

/** A directory with each kind of subject, and of each one that nothing is granted to. */
export const COMPANY = {
  organizations: [{ path: 'default', owners: ['own'] }],
  users: [
    { username: 'root', id: 1, admin: true },
    { username: 'alice', id: 2, two_factor: true },
    { username: 'maya', id: 3 },
    { username: 'olga', id: 4 },
    { username: 'rita', id: 5 },
    { username: 'audrey', id: 6, auditor: true },
    { username: 'ivan', id: 7, external: true },
    { username: 'gus', id: 8 },
    { username: 'blocked', id: 9, state: 'blocked' },
    { username: 'late', id: 10 },
    { username: 'own', id: 11 },
    { username: 'robot', id: 12, kind: 'service_account' },
    { username: 'free', id: 13, kind: 'service_account' },
    { username: 'narrow', id: 14, kind: 'service_account' },
    { username: 'release-bot', id: 15, kind: 'service_account' },
    { username: 'nobody', id: 16 },
  ],
  groups: [
    {
      path: 'acme',
      id: 20,
      members: [
        { user: 'alice', role: 'developer' },
        { user: 'olga', role: 'owner' },
        { user: 'rita', role: 'reporter' },
        { user: 'gus', role: 'guest' },
        { user: 'blocked', role: 'owner' },
        { user: 'late', role: 'owner', expires_at: '2026-11-24' },
        { user: 'robot', role: 'developer' },
        { user: 'free', role: 'developer' },
        { user: 'narrow', role: 'guest' },
        { user: 'release-bot', role: 'guest' },
      ],
      invited_groups: [{ group: 'friends', role: 'developer' }],
    },
    {
      path: 'friends',
      id: 21,
      members: [
        { user: 'maya', role: 'owner' },
        { user: 'ivan', role: 'developer' },
      ],
    },
    {
      path: 'office',
      id: 22,
      ip_allowlist: ['10.0.0.0/8'],
      members: [{ user: 'alice', role: 'maintainer' }],
    },
  ],
  projects: [
    {
      path: 'acme/api',
      id: 101,
      job_token_allowlist: ['acme/site', 'friends'],
      protected_repositories: [{ pattern: 'acme/api/prod*', minimum_role_for_push: 'owner' }],
    },
    { path: 'acme/site', id: 102, visibility: 'public' },
    { path: 'acme/wiki', id: 103, visibility: 'internal', job_token_allowlist: 'anyone' },
    { path: 'acme/off', id: 104, visibility: 'public', container_registry: 'disabled' },
    { path: 'acme/old', id: 105, archived: true },
    { path: 'office/app', id: 106 },
    { path: 'alice/home', id: 107 },
  ],
  access_tokens: [
    access(501, { kind: 'personal', user: 'alice', scopes: ['read_registry'] }),
    access(502, { kind: 'personal', user: 'alice', expires_at: '2026-11-24' }),
    access(503, { kind: 'personal', user: 'robot' }),
    access(504, { kind: 'project', project: 'acme/api', role: 'developer' }),
    access(505, { kind: 'group', group: 'acme', role: 'maintainer' }),
    access(506, { kind: 'project', project: 'acme/api', role: 'developer', expires_at: '2026-11-24' }),
    access(507, { kind: 'project', project: 'acme/api', role: 'developer', revoked: true }),
    access(508, { kind: 'group', group: 'acme', role: 'maintainer', scopes: ['read_user'] }),
    access(509, { kind: 'personal', user: 'narrow', scopes: ['read_registry'] }),
    access(510, { kind: 'personal', user: 'blocked' }),
  ],
  deploy_tokens: [
    deploy(701, { username: 'puller', scopes: ['read_registry'], group: 'acme' }),
    deploy(702, { username: 'writer', scopes: ['write_registry'], projects: ['acme/api'] }),
    deploy(703, {
      username: 'old',
      scopes: ['read_registry'],
      group: 'acme',
      expires_at: '2026-11-24T00:00:00Z',
    }),
    deploy(704, {
      username: 'off',
      scopes: ['read_registry', 'write_registry'],
      group: 'acme',
      revoked: true,
    }),
  ],
  job_tokens: [
    { id: 801, project: 'acme/api', user: 'alice', token: secret('glcbt-') },
    { id: 802, project: 'acme/site', user: 'rita', token: secret('glcbt-') },
    { id: 803, project: 'acme/api', user: 'alice', running: false, token: secret('glcbt-') },
  ],
  federated_identities: [
    {
      name: 'release',
      issuer: 'github',
      project: 'acme/api',
      role: 'developer',
      scopes: ['read_registry', 'write_registry'],
      claims: { sub: 'a' },
    },
    {
      name: 'reader',
      issuer: 'github',
      account: 'release-bot',
      scopes: ['read_registry'],
      claims: { sub: 'b' },
    },
    {
      name: 'ended',
      issuer: 'github',
      project: 'acme/api',
      role: 'developer',
      scopes: ['api'],
      expires_at: '2026-11-24',
      claims: { sub: 'c' },
    },
  ],
};
