import fc from 'fast-check';

/**
 * Documents with few names and ids, so that they rename, move, swap and collide with what an
 * earlier document has stored. About half of them are refused.
 */

const USERS = ['ann', 'bob', 'Cy', 'dan'] as const;
const GROUPS = ['g', 'h', 'g/a', 'g/b', 'h/A', 'g/a/x', 'dan', 'H'] as const;
const PROJECTS = ['g/p', 'h/p', 'g/a/p', 'g/a/q', 'g/a/x/p', 'h/a/p', 'ann/p', 'bob/q', 'Cy/P'] as const;
const ORGANIZATIONS = ['default', 'labs', 'lab'] as const;
const SECRETS = Array.from({ length: 9 }, (_, at) => `glpat-example-${'0'.repeat(8)}${at}`);
const id = fc.oneof(
  { arbitrary: fc.constant(undefined), weight: 4 },
  { arbitrary: fc.integer({ min: 1, max: 6 }), weight: 1 },
);
const user = fc.constantFrom(...USERS);
const place = fc.constantFrom(...GROUPS);
const project = fc.constantFrom(...PROJECTS);
const role = fc.constantFrom('guest', 'developer', 'owner');
const organization = fc.oneof(
  { arbitrary: fc.constant(undefined), weight: 3 },
  { arbitrary: fc.constantFrom(...ORGANIZATIONS), weight: 1 },
);
/** A flag that half of the entries name. */
const flag = maybe(fc.boolean());
const day = maybe(fc.constantFrom('2027-01-31', '2026-01-01'));
const members = short(fc.record({ user, role, expires_at: day }), ({ user: name }) => name);
const invited_groups = short(fc.record({ group: place, role, expires_at: day }), ({ group }) =>
  group.toLowerCase(),
);
const secret = { token: fc.option(fc.constantFrom(...SECRETS), { nil: undefined, freq: 6 }) };
const scopes = fc.constant(['api']);
const revoked = fc.integer({ min: 0, max: 5 }).map((value) => value === 0);

const accessToken = fc.oneof(
  fc.record({ kind: fc.constant('personal'), user }),
  fc.record({ kind: fc.constant('project'), project, role }),
  fc.record({ kind: fc.constant('group'), group: place, role }),
);

const CLAIMS = [{ sub: 'a' }, { sub: ['a', 'b'], ref: { prefix: 'refs/tags/' } }, { ref: 'main', sub: 'c' }];
const identityOwner = fc.oneof(
  fc.record({ account: user }),
  fc.record({ project, role }),
  fc.record({ group: place, role }),
);

function maybe<T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.option(value, { nil: undefined, freq: 1 });
}

function short<T>(item: fc.Arbitrary<T>, selector: (item: T) => unknown): fc.Arbitrary<T[]> {
  return fc.uniqueArray(item, { maxLength: 3, selector });
}

function section<T>(item: fc.Arbitrary<T>, selector: (item: T) => unknown): fc.Arbitrary<T[] | undefined> {
  return fc.oneof(
    { arbitrary: fc.constant(undefined), weight: 3 },
    { arbitrary: short(item, selector), weight: 1 },
  );
}

/** With this before them, more than every tenth document is valid. */
export const ARBITRARY_BASE = {
  organizations: [{ path: 'default' }, { path: 'labs' }],
  users: USERS.map((username, at) => ({ username, kind: at === 1 ? 'service_account' : 'human' })),
  groups: GROUPS.slice(0, 6).map((path) => ({ path })),
  projects: PROJECTS.map((path) => ({
    path,
    protected_repositories: [{ pattern: `${path}/prod*`, minimum_role_for_push: 'owner' }],
  })),
};

/** Without pruning. */
export const arbitraryDocument = fc.record({
  settings: fc.option(fc.record({ registry_enabled: flag, maintenance_mode: flag }), {
    nil: undefined,
    freq: 1,
  }),
  organizations: section(
    fc.record({
      path: fc.constantFrom(...ORGANIZATIONS),
      id,
      owners: short(user, (name) => name),
      maintenance: flag,
    }),
    ({ path }) => path,
  ),
  users: section(
    fc.record({
      username: user,
      id,
      organization,
      email: fc.option(fc.constantFrom('a@example.com', 'B@example.com', 'c@example.com'), { freq: 2 }),
      kind: fc.constantFrom('human' as const, 'service_account' as const),
      state: maybe(fc.constantFrom('active' as const, 'blocked' as const)),
      admin: flag,
    }),
    ({ username }) => username,
  ),
  groups: section(
    fc.record({ path: place, id, organization, members, invited_groups, archived: flag }),
    ({ path }) => path.toLowerCase(),
  ),
  projects: section(
    fc
      .record({
        path: project,
        id,
        members,
        invited_groups,
        job_token_allowlist: fc.oneof(
          { arbitrary: short(fc.oneof(place, project), (name) => name.toLowerCase()), weight: 4 },
          { arbitrary: fc.constant('anyone' as const), weight: 1 },
        ),
        visibility: maybe(fc.constantFrom('internal' as const, 'public' as const)),
        ci_enabled: flag,
        isProtected: fc.boolean(),
      })
      .map(({ isProtected, ...entry }) => ({
        ...entry,
        protected_repositories: isProtected
          ? [{ pattern: `${entry.path}/prod*`, minimum_role_for_push: 'owner' }]
          : [],
      })),
    ({ path }) => path.toLowerCase(),
  ),
  access_tokens: section(
    fc
      .tuple(
        accessToken,
        fc.record({ id, name: fc.constantFrom('one', 'two'), scopes, revoked, expires_at: day, ...secret }),
      )
      .map(([owner, token]) => ({ ...owner, ...token })),
    (entry) => JSON.stringify(entry),
  ),
  deploy_tokens: section(
    fc.record({
      id,
      username: fc.constantFrom('pull', 'Pull'),
      projects: short(project, (path) => path.toLowerCase()),
      scopes,
      revoked,
      ...secret,
    }),
    ({ username }) => username,
  ),
  federated_identities: section(
    fc
      .tuple(
        identityOwner,
        fc.record({ id, name: fc.constantFrom('ci', 'cd', 'nightly'), claims: fc.constantFrom(...CLAIMS) }),
      )
      .map(([owner, identity]) => ({ ...owner, ...identity, issuer: 'github', scopes: ['read_registry'] })),
    ({ name }) => name,
  ),
  job_tokens: section(fc.record({ id, project, user: fc.option(user), running: flag, ...secret }), (entry) =>
    JSON.stringify(entry),
  ),
});
