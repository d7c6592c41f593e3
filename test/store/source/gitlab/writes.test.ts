import assert from 'node:assert/strict';
import request, { type Response } from 'supertest';
import { saveGitlabUses } from '../../../../src/store/source/gitlab/writes.ts';
import { contentOf } from '../../../support/gitlab/company.ts';
import { type ByRoles, openByRoles } from '../../../support/gitlab/roles.ts';
import { type GitlabTestServer, startGitlabServer } from '../../../support/gitlab/server.ts';

const DEV = 'glpat-example-dev-0000001';
const DEPLOY = 'gldt-example-deploy-00001';
const DIRECTORY = {
  users: [{ username: 'dev', id: 1 }],
  groups: [{ path: 'Acme' }],
  projects: [
    {
      path: 'Acme/App',
      id: 100,
      members: [{ user: 'dev', role: 'developer' }],
      protected_repositories: [{ pattern: 'acme/app/locked*', minimum_role_for_push: 'owner' }],
    },
    { path: 'Acme/Read', id: 101, members: [{ user: 'dev', role: 'reporter' }] },
  ],
  access_tokens: [{ kind: 'personal', name: 'dev', user: 'dev', scopes: ['api'], token: DEV }],
  deploy_tokens: [
    {
      username: 'pusher',
      projects: ['Acme/App'],
      scopes: ['read_registry', 'write_registry'],
      token: DEPLOY,
    },
  ],
};
const dev = ['x', DEV] as const;

/** The images that GitLab lists. */
async function images(server: GitlabTestServer): Promise<readonly string[]> {
  const rows = await server.gitlab.main.query<{ image: string }>(
    "SELECT project_id || ':' || name AS image FROM container_repositories ORDER BY 1",
  );
  return rows.map(({ image }) => image);
}

const push = (
  server: GitlabTestServer,
  name: string,
  as: readonly [string, string] = dev,
  actions = 'pull,push',
) => server.ask({ as, scope: `repository:${name}:${actions}` });

describe('the first push to an image', () => {
  let server: GitlabTestServer;
  before(async () => {
    server = await startGitlabServer();
    await server.apply(DIRECTORY);
  });
  after(() => server.close());
  afterEach(() => server.gitlab.main.execute('DELETE FROM container_repositories'));

  const ROWS: readonly (readonly [what: string, ask: () => Promise<Response>, images: readonly string[]])[] =
    [
      ["of the project's own name", async () => push(server, 'acme/app'), ['100:']],
      ['below the project', async () => push(server, 'acme/app/image/deep'), ['100:image/deep']],
      ['by a deploy token', async () => push(server, 'acme/app/image', ['pusher', DEPLOY]), ['100:image']],
      ['with a push alone', async () => push(server, 'acme/app', dev, 'push'), ['100:']],
      ['that is only a pull', async () => push(server, 'acme/app', dev, 'pull'), []],
      ['that protection refuses', async () => push(server, 'acme/app/locked', dev, 'push'), []],
      ['that the role refuses', async () => push(server, 'acme/read', dev), []],
      ['of a project that is not there', async () => push(server, 'acme/none', dev), []],
      ['with a wrong secret', async () => push(server, 'acme/app', ['x', 'glpat-wrong-00000000000']), []],
    ];
  for (const [what, ask, expected] of ROWS) {
    it(`${what} lists ${expected.join() || 'nothing'}`, async () => {
      await ask();
      assert.deepEqual(await images(server), expected);
    });
  }

  it('lists it once, before the answer, however many push at once, and leaves it as it is', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => push(server, 'acme/app/new')));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    const [first] = await server.gitlab.main.query('SELECT * FROM container_repositories');
    await push(server, 'acme/app/new');
    const rows = await server.gitlab.main.query('SELECT * FROM container_repositories');
    assert.deepEqual(rows, [first]);
  });

  it('waits for the list no longer than a client waits, and grants nothing without it', async () => {
    const startedAt = performance.now();
    await server.gitlab.main.transaction(async (sql) => {
      await sql.query('LOCK TABLE container_repositories IN SHARE MODE');
      assert.equal((await push(server, 'acme/app/late')).status, 503);
    });
    assert.ok(performance.now() - startedAt < 2000);
    assert.equal((await push(server, 'acme/app/late')).status, 200);
  });
});

describe('without a role for writing', () => {
  let server: GitlabTestServer;
  before(async () => {
    server = await startGitlabServer({ mayWrite: false });
    await server.apply(DIRECTORY);
    await server.gitlab.main.execute(
      "INSERT INTO container_repositories (project_id, name, created_at, updated_at) VALUES (100, 'known', now(), now())",
    );
  });
  after(() => server.close());

  it('a push to a listed image works, and a first push is refused with what the admin must set', async () => {
    assert.equal((await push(server, 'acme/app/known')).status, 200);
    const { status, body } = await push(server, 'acme/app/new');
    assert.equal(status, 403);
    assert.equal(body.errors[0].code, 'DENIED');
    assert.match(body.errors[0].message, /CELLPASS_GITLAB_WRITE_DATABASE_URL/);
    assert.equal((await push(server, 'acme/app/new', dev, 'pull')).status, 200);
  });

  it('nothing at all is written, whatever is asked', async () => {
    const before = await contentOf(server.gitlab.main);
    for (const name of ['acme/app', 'acme/app/known', 'acme/read', 'acme/none'])
      for (const as of [dev, ['pusher', DEPLOY] as const, ['x', 'wrong'] as const])
        await push(server, name, as);
    assert.ok(Object.values(before).filter((digest) => digest !== '').length > 10);
    assert.deepEqual(await contentOf(server.gitlab.main), before);
  });
});

describe("the last use of GitLab's tokens", () => {
  let server: GitlabTestServer;
  let roles: ByRoles;
  beforeEach(async () => {
    server = await startGitlabServer();
    await server.apply(DIRECTORY);
    roles = await openByRoles(server.gitlab);
  });
  afterEach(async () => {
    await roles.close();
    await server.close();
  });

  const START = Date.parse('2026-11-24T12:00:00Z');
  const MINUTE_MS = 60_000;
  const save = (minute: number, ...addresses: readonly string[]): Promise<void> => {
    const at = new Date(START + minute * MINUTE_MS);
    const uses = addresses.map((address) => ({ key: { table: 'access', number: 1 } as const, at, address }));
    return saveGitlabUses(roles.write, uses, { granularityMs: 10 * MINUTE_MS, hasAddresses: true });
  };
  const lastMinute = async (): Promise<number> => {
    const [row] = await server.gitlab.main.query<{ at: Date }>(
      'SELECT last_used_at AS at FROM personal_access_tokens',
    );
    return ((row?.at.getTime() ?? 0) - START) / MINUTE_MS;
  };
  const addresses = async (): Promise<readonly string[]> => {
    const rows = await server.gitlab.main.query<{ ip: string }>(
      'SELECT host(ip_address) AS ip FROM personal_access_token_last_used_ips ORDER BY created_at, id',
    );
    return rows.map(({ ip }) => ip);
  };

  it('is written at most every ten minutes', async () => {
    await save(0, '192.0.2.1');
    await save(9, '192.0.2.1');
    assert.equal(await lastMinute(), 0);
    await save(10, '192.0.2.1');
    assert.equal(await lastMinute(), 10);
    await save(5, '192.0.2.1');
    assert.equal(await lastMinute(), 10);
  });

  it('keeps the newest five addresses, each once', async () => {
    for (const last of [1, 2, 3, 4, 5, 6, 6, 7]) await save(last, `192.0.2.${last}`);
    const newest = [3, 4, 5, 6, 7].map((last) => `192.0.2.${last}`);
    assert.deepEqual(await addresses(), newest);
    await save(8, '2001:db8::1', '2001:db8::1');
    assert.deepEqual(await addresses(), [...newest.slice(1), '2001:db8::1']);
  });

  it('is noted behind the answer, with the address, and shown by token list', async () => {
    for (const ip of ['192.0.2.1', '192.0.2.1', '192.0.2.2'])
      await server.ask({ as: dev, scope: 'repository:acme/app:pull', ip });
    const { body } = await request(server.admin).get('/admin/v1/tokens');
    assert.deepEqual(
      body.tokens.map((token: Record<string, unknown>) => [
        token['id'],
        token['kind'],
        token['username'],
        token['last_used_at'] !== null,
      ]),
      [
        ['access-1', 'personal', 'dev', true],
        ['deploy-1', 'deploy', 'pusher', false],
      ],
    );
    assert.deepEqual((await addresses()).toSorted(), ['192.0.2.1', '192.0.2.2']);
  });
});

describe("the last use of a GitLab's tokens that keeps no addresses", () => {
  it('is noted without them', async () => {
    const server = await startGitlabServer({ fixture: { version: '17.4' } });
    try {
      await server.apply(DIRECTORY);
      await server.ask({ as: dev, scope: 'repository:acme/app:pull', ip: '192.0.2.1' });
      assert.equal((await request(server.admin).get('/admin/v1/tokens')).status, 200);
      const [row] = await server.gitlab.main.query<{ at: Date | null }>(
        'SELECT last_used_at AS at FROM personal_access_tokens',
      );
      assert.ok(row?.at);
    } finally {
      await server.close();
    }
  });
});
