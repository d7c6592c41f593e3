import assert from 'node:assert/strict';
import { type Login, secret } from '../support/directory/acme.ts';
import { assertError, claimsOf, grantedBy } from '../support/reading.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const ALICE = secret('glpat-');
const DEPLOYER = secret('gldt-');
const EVERY_ACTION = 'repository:acme/app:pull,push,delete';
const BASE = {
  users: [{ username: 'alice', id: 11 }],
  groups: [{ path: 'acme', members: [{ user: 'alice', role: 'owner' }] }],
  projects: [{ path: 'acme/app', id: 101 }],
  access_tokens: [{ id: 1, name: 'a', kind: 'personal', user: 'alice', scopes: ['api'], token: ALICE }],
  deploy_tokens: [
    { id: 2, username: 'deployer', scopes: ['read_registry'], projects: ['acme/app'], token: DEPLOYER },
  ],
};

describe('security checks: stored values are data, not patterns or code', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  // Applying the document again undoes what a test has changed.
  beforeEach(() => server.apply(BASE, { prune: true }));
  after(() => server.close());

  const asAlice: Login = ['alice', ALICE];
  const asDeployer: Login = ['deployer', DEPLOYER];
  const ask = (as: Login, scope: string) => server.ask({ as, scope });
  const granted = async (as: Login, scope: string) => grantedBy(server, await ask(as, scope));
  const store = (statement: string, ...values: readonly unknown[]) =>
    server.database.query(statement, values);

  describe('security check 12: values that this version does not know grant nothing', () => {
    const cases: [tokenScopes: readonly string[], granted: string][] = [
      [['api'], 'pull,push,delete'],
      [['read_api'], 'pull'],
      [['read_registry'], 'pull'],
      [['write_registry'], 'push'],
      [['read_registry', 'write_registry'], 'pull,push'],
      [['read_registry', 'push_registry_v2'], 'pull'],
      [['API'], ''],
      [['api '], ''],
      [['granular'], ''],
      [['registry:push', 'container_registry.write'], ''],
      [['sudo', 'admin_mode', 'read_repository', 'write_repository', 'k8s_proxy', 'ai_features'], ''],
    ];
    for (const [tokenScopes, expected] of cases) {
      it(`security check 12: an access token with ${tokenScopes}: ${expected || 'not even a login'}`, async () => {
        await store('UPDATE access_tokens SET scopes = $1', tokenScopes);
        const response = await ask(asAlice, EVERY_ACTION);
        if (expected === '') assertError(response, 403, 'DENIED');
        else assert.deepEqual(await grantedBy(server, response), [`repository:acme/app:${expected}`]);
      });
    }

    it('security check 12: a deploy token gains nothing from a scope that only access tokens know', async () => {
      await store('UPDATE deploy_tokens SET scopes = $1', ['read_registry', 'api', 'write_registry_v2']);
      assert.deepEqual(await granted(asDeployer, EVERY_ACTION), ['repository:acme/app:pull']);
      await store('UPDATE deploy_tokens SET scopes = $1', ['api', 'read_package_registry']);
      assertError(await ask(asDeployer, EVERY_ACTION), 403, 'DENIED');
    });

    for (const role of ['superowner', 'OWNER', 'custom', '', '50']) {
      it(`security check 12: the role “${role}” gives nothing`, async () => {
        await store('UPDATE members SET role = $1', role);
        assert.deepEqual(await granted(asAlice, EVERY_ACTION), []);
      });
    }

    it('security check 12: an invitation does not make an unknown role of a known one', async () => {
      await server.apply({
        users: [...BASE.users, { username: 'bob', id: 12 }],
        groups: [
          { path: 'acme', invited_groups: [{ group: 'friends', role: 'owner' }] },
          { path: 'friends', members: [{ user: 'alice', role: 'guest' }] },
        ],
      });
      await store("UPDATE members SET role = 'visitor'");
      assert.deepEqual(await granted(asAlice, EVERY_ACTION), []);
      await store("UPDATE members SET role = 'owner'");
      await store("UPDATE group_group_links SET role = 'visitor'");
      assert.deepEqual(await granted(asAlice, EVERY_ACTION), []);
    });

    it('security check 12: a minimum that this version does not know keeps out all but admins', async () => {
      await store(
        "INSERT INTO protected_repositories (project_id, position, pattern, minimum_role_for_push) VALUES (101, 0, 'acme/app/*', 'superowner')",
      );
      await store(
        "INSERT INTO protected_tags (project_id, position, pattern, minimum_role_for_push) VALUES (101, 0, 'v.*', 'superowner')",
      );
      assertError(await ask(asAlice, 'repository:acme/app/prod:push'), 403, 'DENIED');
      const { access } = await claimsOf(server, await ask(asAlice, 'repository:acme/app:push'));
      assert.deepEqual(access[0]?.meta?.tag_deny_access_patterns?.push, ['v.*']);
    });

    it('security check 12: an action that this version does not know is not granted, and the others still are', async () => {
      assert.deepEqual(await granted(asAlice, 'repository:acme/app:pull,admin,manage'), [
        'repository:acme/app:pull',
      ]);
    });
  });

  describe('security check 22: names are never patterns', () => {
    /** As regular expressions, `a.c` would match `abc`, and `acme/a+` would match `acme/aa`. */
    const NEIGHBOURS = {
      ...BASE,
      users: [
        { username: 'alice', id: 11 },
        { username: 'a.ice', id: 12, password: 'chosen at no other place' },
      ],
      groups: [
        { path: 'a.c', members: [{ user: 'alice', role: 'owner' }] },
        { path: 'abc' },
        { path: 'acme' },
      ],
      projects: [...BASE.projects, { path: 'a.c/app' }, { path: 'abc/app' }, { path: 'abc/a.c' }],
    };

    it('security check 22: a group, project or user with a dot in its name matches only itself', async () => {
      await server.apply(NEIGHBOURS);
      assert.deepEqual(await granted(asAlice, 'repository:a.c/app:pull'), ['repository:a.c/app:pull']);
      for (const other of ['abc/app', 'abc/a.c', 'a.c/a.c', 'a.c', 'aXc/app']) {
        assert.deepEqual(await granted(asAlice, `repository:${other}:pull`), [], other);
      }
      await server.ask({ as: ['a.ice', 'chosen at no other place'] }).expect(200);
      await server.ask({ as: ['alice', 'chosen at no other place'] }).expect(401);
    });

    for (const name of [
      '.*',
      '.+',
      '[a]cme/app',
      'acme/(app)',
      'acme/app|x',
      '^acme/app$',
      'acme/ap?',
      '*/*',
      '%{labels}',
    ]) {
      it(`security check 22: the requested name ${name} matches no project`, async () => {
        assert.deepEqual(await granted(asAlice, `repository:${name}:pull`), []);
      });
    }

    it('security check 22: a deploy token’s user name is compared literally', async () => {
      const token = secret('gldt-');
      await server.apply({
        deploy_tokens: [{ username: '.*', scopes: ['read_registry'], projects: ['acme/app'], token }],
      });
      assert.deepEqual(await granted(['.*', token], EVERY_ACTION), ['repository:acme/app:pull']);
      await server.ask({ as: ['alice', token] }).expect(401);
    });

    const patterns: [pattern: string, pushes: boolean][] = [
      ['acme/app/prod*', false],
      ['acme/app/*', false],
      ['acme/app/prod', false],
      ['acme/app/pr.d', true],
      ['acme/app/(prod|dev)', true],
      ['acme/app/[p]rod', true],
      ['acme/app/prod$', true],
      ['acme/app/p+rod', true],
      ['acme.app/prod', true],
    ];
    for (const [pattern, pushes] of patterns) {
      it(`security check 22: the rule ${pattern} ${pushes ? 'is no regular expression' : 'protects acme/app/prod'}`, async () => {
        await store('UPDATE members SET role = $1', 'developer');
        await store(
          'INSERT INTO protected_repositories (project_id, position, pattern, minimum_role_for_push) VALUES (101, 0, $1, $2)',
          pattern,
          'owner',
        );
        const response = await ask(asAlice, 'repository:acme/app/prod:push');
        if (pushes) assert.deepEqual(await grantedBy(server, response), ['repository:acme/app/prod:push']);
        else assertError(response, 403, 'DENIED');
      });
    }

    it('security check 22: a tag’s pattern is passed on unchanged, and never executed', async () => {
      // As a backtracking expression it would never end on a name of a hundred letters.
      const pattern = '(a+)+$';
      await store('UPDATE members SET role = $1', 'developer');
      await server.apply({
        projects: [
          { path: 'acme/app', id: 101, protected_tags: [{ pattern, minimum_role_for_push: 'owner' }] },
        ],
      });
      const { access } = await claimsOf(
        server,
        await ask(asAlice, `repository:acme/app/${'a'.repeat(100)}:push`),
      );
      assert.deepEqual(access[0]?.meta?.tag_deny_access_patterns?.push, [pattern]);
    });
  });
});
