import assert from 'node:assert/strict';
import request from 'supertest';
import type { MintedTokenView, TokenPage, TokenView } from '../../../src/http/types.ts';
import { deriveKeys } from '../../../src/store/source/gitlab/keys.ts';
import { createGitlabSource } from '../../../src/store/source/gitlab/source.ts';
import { openTestPglite } from '../../support/database/pglite.ts';
import { type GitlabTestServer, startGitlabServer } from '../../support/gitlab/server.ts';
import { startTestServer, type TestServer, type TestServerOptions } from '../../support/server.ts';

const token = (id: number, name: string, more: object) => ({
  id,
  name,
  kind: 'personal',
  scopes: ['api'],
  token: `glpat-example-filter-${String(id).padStart(4, '0')}`,
  ...more,
});
const DIRECTORY = {
  users: [
    { username: 'alice', id: 11 },
    { username: 'frank', id: 12, state: 'blocked' },
    { username: 'dora', id: 13, state: 'deactivated' },
    { username: 'builder', id: 14, kind: 'service_account' },
  ],
  groups: [{ path: 'acme', id: 20, members: [{ user: 'alice', role: 'developer' }] }],
  projects: [{ path: 'acme/app', id: 100 }],
  access_tokens: [
    token(1, 'soon', { user: 'alice', expires_at: '2030-01-31' }),
    token(2, 'late', {
      user: 'alice',
      expires_at: '2031-01-31',
      scopes: ['read_registry', 'write_registry'],
    }),
    token(3, 'never', { user: 'frank', scopes: ['read_registry'] }),
    token(4, 'idle', { user: 'dora', expires_at: '2029-12-31' }),
    token(5, 'machine', { user: 'builder' }),
  ],
  deploy_tokens: [
    {
      id: 1,
      username: 'puller',
      projects: ['acme/app'],
      scopes: ['read_registry'],
      expires_at: '2030-01-31T10:00:00Z',
      token: 'gldt-example-filter-0001',
    },
    {
      id: 2,
      username: 'pusher',
      projects: ['acme/app'],
      scopes: ['read_registry', 'write_registry'],
      token: 'gldt-example-filter-0002',
    },
  ],
};

/** By token: when it was created, and last used; null: not known, or never. */
const TIMES: Readonly<Record<string, readonly [created: string | null, used: string | null]>> = {
  'access-1': ['2026-01-01T00:00:00Z', '2026-06-01T00:00:00Z'],
  'access-2': ['2026-01-01T00:00:00Z', null],
  'access-3': [null, null],
  'access-4': [null, '2026-08-01T00:00:00Z'],
  'access-5': ['2026-09-01T00:00:00Z', null],
  'deploy-1': ['2026-01-01T00:00:00Z', null],
  'deploy-2': ['2026-09-01T00:00:00Z', null],
};

const ALL = Object.keys(TIMES);
/** Each query, and the tokens that it finds. */
const ROWS: readonly (readonly [query: string, found: readonly string[]])[] = [
  ['', ALL],
  ['expires_before=2030-01-31', ['access-4']],
  ['expires_before=2030-01-31T00:00:01Z', ['access-1', 'access-4']],
  ['expires_before=2030-02-01', ['access-1', 'access-4', 'deploy-1']],
  ['expires_before=2030-01-31T11:00:00%2B01:00', ['access-1', 'access-4']],
  ['never_expires=true', ['access-3', 'access-5', 'deploy-2']],
  ['never_expires=false', ALL],
  ['never_expires=true&expires_before=2035-01-01', []],
  ['scope=write_registry', ['access-2', 'deploy-2']],
  ['scope=api', ['access-1', 'access-4', 'access-5']],
  ['scope=regist', []],
  ['owner=alice', ['access-1', 'access-2']],
  ['owner=BUILDER', ['access-5']],
  ['owner_state=blocked', ['access-3']],
  ['owner_state=active', ['access-1', 'access-2', 'access-5']],
  ['owner_state=deactivated', ['access-4']],
  ['owner_state=locked', []],
  ['owner_state=blocked&owner=alice', []],
  ['owner_state=blocked&never_expires=true&scope=read_registry', ['access-3']],
  ['scope=read_registry&kind=deploy&never_expires=true', ['deploy-2']],
  ['project=acme/app&scope=write_registry', ['deploy-2']],
  ['user=alice&scope=write_registry', ['access-2']],
];
const UNUSED: typeof ROWS = [
  ['unused_since=2026-05-31', ['access-2', 'access-3', 'deploy-1']],
  ['unused_since=2026-06-01', ['access-2', 'access-3', 'deploy-1']],
  ['unused_since=2026-06-01T00:00:01Z', ['access-1', 'access-2', 'access-3', 'deploy-1']],
  ['unused_since=2020-01-01', ['access-3']],
  ['unused_since=2026-05-31&owner_state=active', ['access-2']],
];

const REFUSED: readonly (readonly [query: string, problem: RegExp])[] = [
  ['owner=nobody', /owner.* no user "nobody"/],
  ['owner=nobody&user=nothing', /nothing.*nobody/],
  ['owner_state=idle', /owner_state must be one of: active, blocked/],
  ['expires_before=soon', /expires_before must be a date/],
  ['unused_since=2027-02-30', /unused_since must be a date/],
  ['never_expires=maybe', /never_expires/],
];

const idsOf = ({ tokens }: TokenPage): readonly string[] => tokens.map(({ id }) => id);

function testQueries(server: () => TestServer | GitlabTestServer, rows: typeof ROWS): void {
  const list = async (query: string): Promise<TokenPage> =>
    (await request(server().admin).get(`/admin/v1/tokens?${query}`).expect(200)).body;
  for (const [query, found] of rows) {
    it(`${query || 'nothing'} finds ${found.join(', ') || 'none'}`, async () => {
      assert.deepEqual(idsOf(await list(query)), found);
      const pages: string[] = [];
      for (let after: string | null = ''; after !== null; ) {
        const page: TokenPage = await list(`${query}&limit=1${after && `&after=${after}`}`);
        pages.push(...idsOf(page));
        after = page.next;
      }
      assert.deepEqual(pages, found, 'page by page');
    });
  }
}

function testRefusals(server: () => TestServer | GitlabTestServer): void {
  for (const [query, problem] of REFUSED) {
    it(`${query} is refused`, async () => {
      const { body } = await request(server().admin).get(`/admin/v1/tokens?${query}`).expect(422);
      assert.match(body.errors[0].message, problem);
    });
  }
}

const DRIVERS: readonly (readonly [name: string, options: TestServerOptions])[] = [
  ['PostgreSQL', {}],
  ['PGlite', { openDatabase: openTestPglite }],
];
for (const [driver, options] of DRIVERS) {
  describe(`the list of tokens by what is asked, on ${driver}`, () => {
    let server: TestServer;
    before(async () => {
      server = await startTestServer(options);
      await server.apply(DIRECTORY);
    });
    after(() => server.close());

    const listed = async (): Promise<readonly TokenView[]> =>
      (await request(server.admin).get('/admin/v1/tokens').expect(200)).body.tokens;

    it('shows who created a token, when, and the state of its owner', async () => {
      const [first, , third, , , deploy] = await listed();
      assert.equal(first?.created_by, 'a test');
      assert.ok(Math.abs(Date.now() - Date.parse(first?.created_at ?? '')) < 600_000);
      assert.deepEqual(
        [first, third, deploy].map((one) => one?.owner_state),
        ['active', 'blocked', null],
      );
      assert.equal(deploy?.created_by, 'a test');
    });

    it('a minted token is the admin’s who minted it', async () => {
      for (const order of [
        { kind: 'personal', user: 'alice' },
        { kind: 'project', project: 'acme/app', role: 'developer' },
        { kind: 'deploy', group: 'acme' },
      ]) {
        const minted: MintedTokenView = (
          await request(server.admin)
            .post('/admin/v1/tokens')
            .set('Cellpass-Actor', 'alice as root')
            .send({ ...order, scopes: ['read_registry'] })
            .expect(201)
        ).body;
        assert.equal(minted.created_by, 'admin socket (alice as root)');
        await server.apply({ ...DIRECTORY, access_tokens: [], deploy_tokens: [] });
        const now = (await listed()).find(({ id }) => id === minted.id);
        assert.deepEqual([now?.created_by, now?.created_at], [minted.created_by, minted.created_at]);
      }
      await server.database.execute(
        'DELETE FROM access_tokens WHERE minted; DELETE FROM deploy_tokens WHERE minted',
      );
    });

    it('a change of a token, and an undone removal, keep who created it', async () => {
      const before = await listed();
      const changed = DIRECTORY.access_tokens.map((one) => ({ ...one, name: `${one.name} 2` }));
      await server.apply({ access_tokens: changed });
      await server.apply({ access_tokens: [DIRECTORY.access_tokens[4]] }, { prune: true });
      assert.equal((await listed()).length, 3);
      const { changes } = (await request(server.admin).get('/admin/v1/history').expect(200)).body;
      await request(server.admin).post(`/admin/v1/history/${changes[0].id}/undo`).expect(200);
      await server.apply({ access_tokens: DIRECTORY.access_tokens });
      assert.deepEqual(await listed(), before);
    });

    it('a token of the version before has a time, and one from before that has none', async () => {
      await server.database.transaction(async (sql) => {
        await sql.execute(`UPDATE access_tokens SET created_at = NULL, created_by = NULL WHERE id = 1;
          INSERT INTO access_tokens (id, kind, name, user_id, scopes, token_digest)
          VALUES (77, 'personal', 'by the version before', 11, '{api}', '\\x77')`);
      });
      const tokens = await listed();
      const [first, last] = [1, 77].map((id) => tokens.find((one) => one.id === `access-${id}`));
      assert.deepEqual([first?.created_at, first?.created_by, last?.created_by], [null, null, null]);
      assert.ok(last?.created_at);
      await server.database.execute('DELETE FROM access_tokens WHERE id = 77');
    });

    describe('with times of creation and use', () => {
      before(async () => {
        for (const [id, [created, used]] of Object.entries(TIMES)) {
          const [table, number] = id.split('-');
          await server.database.query(
            `UPDATE ${table}_tokens SET created_at = $2, last_used_at = $3 WHERE id = $1`,
            [Number(number), created, used],
          );
        }
      });
      testQueries(() => server, [...ROWS, ...UNUSED]);
      testRefusals(() => server);

      it('counts with what the tokens can do', async () => {
        const page = async (query: string) =>
          (await request(server.admin).get(`/admin/v1/tokens?${query}`).expect(200)).body;
        assert.deepEqual(idsOf(await page('can=push')), ['access-1', 'access-2', 'deploy-2']);
        assert.deepEqual(idsOf(await page('can=push&under=acme&scope=write_registry&owner=alice')), [
          'access-2',
        ]);
        assert.deepEqual(idsOf(await page('can=pull&owner_state=blocked')), []);
      });
    });
  });
}

describe('the list of tokens by what is asked, on a GitLab', () => {
  let server: GitlabTestServer;
  before(async () => {
    server = await startGitlabServer();
    await server.apply(DIRECTORY);
  });
  after(() => server.close());
  testQueries(() => server, ROWS);
  testRefusals(() => server);

  it('shows when GitLab created a token, and not by whom', async () => {
    const [first] = (await request(server.admin).get('/admin/v1/tokens').expect(200)).body.tokens;
    assert.ok(Math.abs(Date.now() - Date.parse(first.created_at)) < 86_400_000);
    assert.equal(first.created_by, null);
  });

  describe('with times of creation and use', () => {
    before(async () => {
      const { main } = server.gitlab;
      for (const [id, [created, used]] of Object.entries(TIMES)) {
        const [table, number] = id.split('-');
        // No token of GitLab is without a time: this one is from long ago.
        const at = new Date(created ?? '2001-01-01T00:00:00Z');
        const isAccess = table === 'access';
        await main.query(
          `UPDATE ${isAccess ? 'personal_access_tokens' : 'deploy_tokens'}
           SET created_at = ${isAccess ? "$2::timestamptz AT TIME ZONE 'UTC'" : '$2'} ${isAccess ? ', last_used_at = $3' : ''}
           WHERE id = $1`,
          [Number(number), at, ...(isAccess ? [used] : [])],
        );
      }
    });
    testQueries(() => server, UNUSED);
  });

  const STATES: readonly (readonly [what: string, columns: string])[] = [
    ['active', "state = 'active'"],
    ['blocked', "state = 'blocked'"],
    ['blocked by LDAP', "state = 'ldap_blocked'"],
    ['banned', "state = 'banned'"],
    ['waits for approval', "state = 'blocked_pending_approval'"],
    ['deactivated', "state = 'deactivated'"],
    ['a state of a later GitLab', "state = 'asleep'"],
    ['locked now', "locked_at = now() AT TIME ZONE 'UTC'"],
    ['locked long ago', "locked_at = '2020-01-01'"],
    ['unconfirmed', 'confirmed_at = NULL, confirmation_sent_at = NULL'],
    [
      'unconfirmed for an hour',
      "confirmed_at = NULL, confirmation_sent_at = now() AT TIME ZONE 'UTC' - interval '1 hour'",
    ],
    [
      'unconfirmed for a week',
      "confirmed_at = NULL, confirmation_sent_at = now() AT TIME ZONE 'UTC' - interval '7 days'",
    ],
    [
      'deactivated and unconfirmed',
      "state = 'deactivated', confirmed_at = NULL, confirmation_sent_at = NULL",
    ],
    ['an account of GitLab', "user_type = 7, state = 'blocked'"],
    ['of no type', 'user_type = NULL'],
    ['a service account', 'user_type = 13'],
  ];
  describe('with owners in every state', () => {
    for (const confirmation of [0, 1, 2]) {
      it(`the state of an owner is that of a login, confirmation ${confirmation}`, async () => {
        const { main } = server.gitlab;
        await main.query('UPDATE application_settings SET email_confirmation_setting = $1', [confirmation]);
        const source = gitlabSourceOf(server);
        for (const [what, columns] of STATES) {
          await main.execute(
            "UPDATE users SET state = 'active', user_type = 0, locked_at = NULL, confirmed_at = '2020-01-01'",
          );
          await main.execute(`UPDATE users SET ${columns} WHERE id = 11`);
          const { accessToken } = await source.find({ kind: 'token', id: 1 });
          const state = accessToken?.owner.state ?? 'none';
          const found = idsOf(
            (await request(server.admin).get(`/admin/v1/tokens?owner_state=${state}`).expect(200)).body,
          );
          const { body } = await request(server.admin).get('/admin/v1/tokens?limit=1').expect(200);
          assert.deepEqual([body.tokens[0].owner_state, found[0]], [state, 'access-1'], what);
        }
      });
    }
  });

  describe('with a role from before', () => {
    it('a role that may not read when a token was created: nobody knows', async () => {
      const { rolname } = (
        await server.gitlab.main.query(
          "SELECT rolname FROM pg_roles WHERE rolname LIKE 'cellpass_ro_%' AND has_column_privilege(oid, 'personal_access_tokens'::regclass, 'created_at', 'SELECT')",
        )
      )[0] as { rolname: string };
      await server.gitlab.main.execute(
        `REVOKE SELECT (created_at) ON personal_access_tokens FROM ${rolname};
       REVOKE SELECT (created_at) ON deploy_tokens FROM ${rolname}`,
      );
      const older = await startTestServer({ environment: server.environment, gitlab: server.databases });
      try {
        const { body } = await request(older.admin).get('/admin/v1/tokens').expect(200);
        assert.deepEqual(
          body.tokens.map(({ created_at }: TokenView) => created_at),
          ALL.map(() => null),
        );
        const unused = await request(older.admin).get('/admin/v1/tokens?unused_since=2002-01-01').expect(200);
        assert.deepEqual(idsOf(unused.body), ['access-2', 'access-3', 'access-5', 'deploy-1', 'deploy-2']);
      } finally {
        await older.close();
      }
    });
  });
});

/** What logins are decided by. */
function gitlabSourceOf({ databases, gitlab }: GitlabTestServer) {
  return createGitlabSource({
    main: databases.main,
    ci: null,
    write: null,
    keys: deriveKeys([gitlab.dbKeyBase]),
    isEnterprise: true,
    now: () => new Date(),
    monotonicMs: () => performance.now(),
    log: { warn: () => undefined },
  });
}
