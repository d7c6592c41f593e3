import fc from 'fast-check';
import { MINIMUM_ROLES, REGISTRY_ACCESSES, ROLES, VISIBILITIES } from '../../../src/policy/role.ts';

/**
 * Valid documents with every kind of subject and state, on a few names, so that subjects and
 * projects meet often. Dates are on the day of `COMPANY_NOW`, which is over, or on the day after.
 */
export const COMPANY_NOW = new Date('2026-11-24T12:00:00Z');

const PEOPLE = ['ann', 'bob', 'cy', 'dan'] as const;
const ROBOTS = ['robot', 'free'] as const;
const USERS = [...PEOPLE, ...ROBOTS] as const;
const GROUPS = ['g', 'g/a', 'g/a/x', 'h'] as const;
export const COMPANY_PROJECTS = ['g/p', 'g/a/p', 'g/a/x/q', 'h/p', 'ann/home'] as const;

const user = fc.constantFrom(...USERS);
const group = fc.constantFrom(...GROUPS);
const project = fc.constantFrom(...COMPANY_PROJECTS);
const role = fc.constantFrom(...ROLES);
const rarely = fc.integer({ min: 0, max: 5 }).map((value) => value === 0);
const date = fc.constantFrom(null, null, null, '2026-11-24', '2026-11-25');
const members = fc.uniqueArray(fc.record({ user, role, expires_at: date }), {
  maxLength: 3,
  selector: (member) => member.user,
});
const invited = (own: string) =>
  fc.uniqueArray(
    fc.record({ group: fc.constantFrom(...GROUPS.filter((one) => one !== own)), role, expires_at: date }),
    { maxLength: 2, selector: (invitation) => invitation.group },
  );
const minimum = fc.option(fc.constantFrom(...MINIMUM_ROLES.slice(5)));

const aUser = (username: string, kind: 'human' | 'service_account') =>
  fc.record({
    username: fc.constant(username),
    kind: fc.constant(kind),
    state: fc.constantFrom('active', 'active', 'active', 'blocked', 'deactivated'),
    admin: kind === 'human' ? rarely : fc.constant(false),
    auditor: rarely,
    external: fc.boolean(),
    password_expired: rarely,
  });

const aGroup = (path: string) =>
  fc.record({
    path: fc.constant(path),
    members,
    invited_groups: invited(path),
    share_with_group_lock: rarely,
    archived: rarely,
    over_storage_limit: rarely,
    ip_allowlist: rarely.map((is) => (is ? ['10.0.0.0/8'] : [])),
  });

const aProject = (path: string) =>
  fc.record({
    path: fc.constant(path),
    visibility: fc.constantFrom('private', ...VISIBILITIES),
    container_registry: fc.constantFrom('enabled', 'enabled', 'enabled', ...REGISTRY_ACCESSES),
    archived: rarely,
    deletion_scheduled: rarely,
    members,
    invited_groups: invited(''),
    job_token_allowlist: fc.oneof(
      fc.constant('anyone'),
      fc.uniqueArray(fc.constantFrom(...GROUPS, ...COMPANY_PROJECTS), { maxLength: 2 }),
    ),
    protected_repositories: fc.array(
      fc
        .record({
          pattern: fc.constantFrom(`${path}*`, `${path}/prod*`),
          minimum_role_for_push: minimum,
          minimum_role_for_delete: minimum,
        })
        .filter((rule) => rule.minimum_role_for_push !== null || rule.minimum_role_for_delete !== null),
      { maxLength: 1 },
    ),
  });

const scopes = fc.constantFrom(
  ['api'],
  ['read_registry'],
  ['write_registry'],
  ['read_api', 'write_registry'],
  ['read_user'],
);
const secretOf = (prefix: string, number: number): string => `${prefix}-example-of-a-company-${number}`;
const bot = [fc.record({ project, role }), fc.record({ group, role })] as const;
const accessTokens = fc
  .array(
    fc.tuple(
      fc.oneof(
        fc.record({ kind: fc.constant('personal'), user }),
        fc.record({ kind: fc.constant('project'), project, role }),
        fc.record({ kind: fc.constant('group'), group, role }),
      ),
      fc.record({ scopes, revoked: rarely, expires_at: date }),
    ),
    { maxLength: 4 },
  )
  .map((list) =>
    list.map(([owner, token], at) => ({
      ...owner,
      ...token,
      name: `token-${at}`,
      token: secretOf('glpat', at),
    })),
  );
const deployTokens = fc
  .array(
    fc.tuple(
      fc.oneof(
        fc.record({ group }),
        fc.record({ projects: fc.uniqueArray(project, { minLength: 1, maxLength: 2 }) }),
      ),
      fc.record({
        scopes: fc.constantFrom(['read_registry'], ['write_registry'], ['read_registry', 'write_registry']),
        revoked: rarely,
        expires_at: fc.constantFrom(null, '2026-11-24T00:00:00Z', '2026-11-25T00:00:00Z'),
      }),
    ),
    { maxLength: 3 },
  )
  .map((list) =>
    list.map(([owner, token], at) => ({
      ...owner,
      ...token,
      username: `deploy-${at}`,
      token: secretOf('gldt', at),
    })),
  );
const identities = fc
  .array(
    fc.tuple(
      fc.oneof(fc.record({ account: fc.constantFrom(...ROBOTS) }), ...bot),
      fc.record({ scopes, expires_at: date }),
    ),
    { maxLength: 3 },
  )
  .map((list) =>
    list.map(([owner, identity], at) => ({
      ...owner,
      ...identity,
      name: `id-${at}`,
      issuer: 'ci',
      claims: { sub: `${at}` },
    })),
  );
const jobs = fc
  .array(fc.record({ project, user: fc.option(user), running: fc.constantFrom(true, true, false) }), {
    maxLength: 4,
  })
  .map((list) => list.map((job, at) => ({ ...job, token: secretOf('glcbt', at) })));

export const arbitraryCompany = fc.record({
  settings: fc.record({ maintenance_mode: rarely }),
  organizations: fc
    .record({
      path: fc.constant('default'),
      owners: fc.subarray([...USERS], { maxLength: 1 }),
      maintenance: rarely,
    })
    .map((one) => [one]),
  users: fc.tuple(
    ...PEOPLE.map((name) => aUser(name, 'human')),
    ...ROBOTS.map((name) => aUser(name, 'service_account')),
  ),
  groups: fc.tuple(...GROUPS.map(aGroup)),
  projects: fc.tuple(...COMPANY_PROJECTS.map(aProject)),
  access_tokens: accessTokens,
  deploy_tokens: deployTokens,
  federated_identities: identities,
  job_tokens: jobs,
});
