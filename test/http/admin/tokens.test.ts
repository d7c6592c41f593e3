import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import request from 'supertest';
import { stringify } from 'yaml';
import { readRoutableToken } from '../../../src/cells/routable-token.ts';
import type { MintedTokenView, TokenPage, TokenView } from '../../../src/http/types.ts';
import { openTestPglite } from '../../support/database/pglite.ts';
import { grantedBy } from '../../support/reading.ts';
import { startTestServer, type TestServer, type TestServerOptions } from '../../support/server.ts';

const NOW = new Date('2026-11-24T12:00:00Z');
const DECLARED = `glpat-${randomBytes(10).toString('hex')}`;
const BY_DIGEST = randomBytes(32).toString('hex');
const DIRECTORY = {
  organizations: [
    { path: 'default', id: 1 },
    { path: 'labs', id: 7 },
  ],
  users: [
    { username: 'alice', id: 11 },
    { username: 'builder', id: 12, kind: 'service_account' },
    { username: 'frank', id: 13, state: 'blocked' },
  ],
  groups: [
    { path: 'acme', id: 20, members: [{ user: 'alice', role: 'developer' }] },
    { path: 'labs', id: 21, organization: 'labs' },
  ],
  projects: [
    { path: 'acme/app', id: 101 },
    { path: 'acme/web', id: 102 },
    { path: 'labs/tool', id: 103 },
  ],
  access_tokens: [
    { name: 'declared', kind: 'personal', user: 'alice', scopes: ['api'], id: 5, token: DECLARED },
    { name: 'by digest', kind: 'personal', user: 'alice', scopes: ['api'], id: 6, token_sha256: BY_DIGEST },
  ],
};

const personal = { kind: 'personal', user: 'alice', scopes: ['read_registry'] };
const project = { kind: 'project', project: 'acme/app', role: 'developer', scopes: ['api'] };
const group = { kind: 'group', group: 'acme', role: 'reporter', scopes: ['read_registry'] };
const deploy = { kind: 'deploy', projects: ['acme/app', 'acme/web'], scopes: ['read_registry'] };
const ALL = 'repository:acme/app:pull,push,delete';

/** What every test of this file starts from, and what it asks. */
function describeTokens(
  title: string,
  options: TestServerOptions,
  define: (context: {
    readonly server: () => TestServer;
    readonly post: (order: object) => request.Test;
    readonly mint: (order: object) => Promise<MintedTokenView>;
    readonly list: (query?: string) => Promise<TokenPage>;
    readonly revoke: (id: string) => request.Test;
  }) => void,
): void {
  describe(title, () => {
    let server: TestServer;
    before(async () => {
      server = await startTestServer({ now: () => NOW, ...options });
      await server.apply(DIRECTORY);
    });
    after(() => server.close());
    const post = (order: object) => request(server.admin).post('/admin/v1/tokens').send(order);
    define({
      server: () => server,
      post,
      mint: async (order) => (await post(order).expect(201)).body,
      list: async (query = '') =>
        (await request(server.admin).get(`/admin/v1/tokens${query}`).expect(200)).body,
      revoke: (id) => request(server.admin).post(`/admin/v1/tokens/${id}/revoke`),
    });
  });
}

const DRIVERS: [name: string, options: TestServerOptions][] = [
  ['PostgreSQL', {}],
  ['PGlite', { openDatabase: openTestPglite }],
];

for (const [driver, options] of DRIVERS) {
  describeTokens(`tokens that are minted, on ${driver}`, options, ({ server, post, mint, list, revoke }) => {
    type Row = [what: string, order: object, routing: object, as: string | null, granted: string | null];
    const ROWS: Row[] = [
      ['personal', personal, { c: 1n, o: 1n, u: 11n }, null, 'repository:acme/app:pull'],
      [
        'personal, of a service account',
        { ...personal, user: 'BUILDER' },
        { c: 1n, o: 1n, u: 12n },
        null,
        null,
      ],
      ['project', project, { c: 1n, o: 1n, p: 101n }, null, 'repository:acme/app:pull,push'],
      ['group', group, { c: 1n, o: 1n, g: 20n }, null, 'repository:acme/app:pull'],
      [
        'deploy, of projects',
        deploy,
        { c: 1n, o: 1n, p: 101n },
        'gitlab+deploy-token-',
        'repository:acme/app:pull',
      ],
      [
        'deploy, of a group',
        { kind: 'deploy', group: 'acme', username: 'puller', scopes: ['read_registry', 'write_registry'] },
        { c: 1n, o: 1n, g: 20n },
        'puller',
        'repository:acme/app:pull,push',
      ],
      ['group, of another organization', { ...group, group: 'labs' }, { c: 1n, o: 7n, g: 21n }, null, null],
    ];
    for (const [what, order, routing, username, granted] of ROWS) {
      it(`${what}: name this cell, work at once, and are revoked at once`, async () => {
        const { token, id, warning, ...facts } = await mint(order);
        const prefix = what.startsWith('deploy') ? 'gldt-' : 'glpat-';
        assert.deepEqual(readRoutableToken(token), { kind: 'routable', prefix, routing });
        assert.equal(warning, null);
        assert.equal(facts.minted, true);
        assert.equal(facts.prefix, prefix);
        assert.deepEqual(
          facts.routing,
          Object.fromEntries(Object.entries(routing).map(([key, value]) => [key, Number(value)])),
        );
        if (username !== null) assert.ok(facts.username.startsWith(username), facts.username);
        const as = [username === null ? 'whoever' : facts.username, token] as const;
        const answer = await server().ask({ as, scope: ALL });
        assert.deepEqual(await grantedBy(server(), answer), granted === null ? [] : [granted]);
        const wrong = token.slice(0, -1) + (token.endsWith('0') ? '1' : '0');
        await server()
          .ask({ as: [as[0], wrong], scope: ALL })
          .expect(401);

        const { tokens } = await list();
        const listed = tokens.find((one) => one.id === id);
        assert.deepEqual(listed, { ...facts, id, last_used_at: NOW.toISOString() });

        assert.equal((await revoke(id).expect(200)).body.revoked, true);
        await server().ask({ as, scope: ALL }).expect(401);
        await revoke(id).expect(200);
        await server().apply(DIRECTORY, { prune: true });
        await server().ask({ as, scope: ALL }).expect(401);
      });
    }

    it('have ids that no two have, though access and deploy tokens are numbered apart', async () => {
      const ids = [];
      for (const order of [personal, deploy, project, deploy]) ids.push((await mint(order)).id);
      assert.equal(new Set(ids).size, 4);
      const { tokens } = await list();
      assert.equal(new Set(tokens.map(({ id }) => id)).size, tokens.length);
    });

    it('are good until the day, or the moment, before which they were asked for', async () => {
      assert.equal((await mint(personal)).expires_at, '2027-11-24');
      assert.equal((await mint(deploy)).expires_at, '2027-11-24T00:00:00.000Z');
      assert.equal((await mint({ ...project, expires_at: '2027-11-24' })).expires_at, '2027-11-24');
      const dated = await mint({ ...personal, expires_at: '2026-11-25' });
      assert.equal(dated.expires_at, '2026-11-25');
      const day = await mint({ ...deploy, expires_at: '2026-11-25' });
      assert.equal(day.expires_at, '2026-11-25T00:00:00.000Z');
      const moment = await mint({ ...deploy, expires_at: '2026-11-24T13:00:30+01:00' });
      assert.equal(moment.expires_at, '2026-11-24T12:00:30.000Z');
      const answer = await server()
        .ask({ as: [moment.username, moment.token], scope: ALL })
        .expect(200);
      assert.equal(answer.body.expires_in, 30);
    });

    it('stay, with their bots and roles, whatever a document prunes', async () => {
      const minted = [await mint(personal), await mint(project), await mint(group), await mint(deploy)];
      await server().apply({ ...DIRECTORY, deploy_tokens: [], job_tokens: [] }, { prune: true });
      for (const { username, token } of minted) {
        await server()
          .ask({ as: [username, token], scope: ALL })
          .expect(200);
      }
      const [, bot] = minted;
      const scope = 'repository:acme/app:push';
      const answer = await server().ask({ as: ['bot', bot!.token], scope });
      assert.deepEqual(await grantedBy(server(), answer), [scope]);
    });

    it('are not what an entry of the same name means', async () => {
      const minted = await mint({ ...personal, name: 'twin' });
      const declared = `glpat-${randomBytes(10).toString('hex')}`;
      const twin = { name: 'twin', kind: 'personal', user: 'alice', scopes: ['api'], token: declared };
      const sameUser = await mint({ ...deploy, username: 'twin' });
      const entry = { username: 'twin', projects: ['acme/app'], scopes: ['read_registry'] };
      const secret = `gldt-${randomBytes(10).toString('hex')}`;
      await server().apply({
        ...DIRECTORY,
        access_tokens: [...DIRECTORY.access_tokens, twin],
        deploy_tokens: [{ ...entry, token: secret }],
      });
      for (const token of [minted.token, declared, DECLARED]) {
        await server()
          .ask({ as: ['x', token], scope: ALL })
          .expect(200);
      }
      for (const token of [sameUser.token, secret]) {
        await server()
          .ask({ as: ['twin', token], scope: ALL })
          .expect(200);
      }
      const document = await request(server().admin).get('/admin/v1/directory').buffer();
      const applied = await request(server().admin)
        .post('/admin/v1/directory?prune=true')
        .type('application/yaml')
        .send(document.text);
      assert.equal(applied.body.changed, false, JSON.stringify(applied.body));
      await server()
        .ask({ as: ['x', minted.token], scope: ALL })
        .expect(200);
    });

    it('are listed with declared ones, page by page', async () => {
      const { tokens, next } = await list();
      assert.equal(next, null);
      const seen: TokenView[] = [];
      for (let after: string | null = ''; after !== null; ) {
        const page: TokenPage = await list(`?limit=2${after === '' ? '' : `&after=${after}`}`);
        assert.ok(page.tokens.length <= 2);
        seen.push(...page.tokens);
        after = page.next;
      }
      assert.deepEqual(seen, tokens);
      const declared = tokens.find(({ id }) => id === 'access-5');
      assert.deepEqual([declared?.prefix, declared?.routing, declared?.minted], ['glpat-', null, false]);
      const byDigest = tokens.find(({ id }) => id === 'access-6');
      assert.deepEqual([byDigest?.prefix, byDigest?.routing], [null, null]);
    });

    it('are found by whose they are', async () => {
      const kinds = async (query: string): Promise<string> => {
        const { tokens } = await list(query);
        assert.ok(tokens.length > 0, query);
        return [...new Set(tokens.map(({ kind }) => kind))].join(' ');
      };
      assert.equal(await kinds('?user=ALICE'), 'personal');
      assert.equal(await kinds('?project=acme/app'), 'project deploy');
      assert.equal(await kinds('?project=acme/web'), 'deploy');
      assert.equal(await kinds('?group=acme'), 'group deploy');
      assert.equal(await kinds('?group=acme&kind=deploy'), 'deploy');
      for (const query of [
        '?user=nobody',
        '?project=acme',
        '?group=acme/app',
        '?kind=x',
        '?limit=0',
        '?after=5',
        '?limit=1001',
        '?kind=deploy&kind=group',
      ]) {
        await request(server().admin).get(`/admin/v1/tokens${query}`).expect(422);
      }
    });

    it('that are unknown, or can not be, are not revoked', async () => {
      for (const id of ['access-999', 'deploy-999', '5', 'access-0', 'access-9999999999999999', 'x']) {
        assert.match((await revoke(id).expect(404)).body.errors[0].message, /^no token has the id /);
      }
    });

    it('declared ones can be revoked, too, and no document undoes it', async () => {
      const secret = `glpat-${randomBytes(10).toString('hex')}`;
      const entry = { name: 'doomed', kind: 'personal', user: 'alice', scopes: ['api'], token: secret };
      await server().apply({ access_tokens: [{ ...entry, id: 40 }] });
      await server()
        .ask({ as: ['x', secret], scope: ALL })
        .expect(200);
      await revoke('access-40').expect(200);
      await server()
        .ask({ as: ['x', secret], scope: ALL })
        .expect(401);
      await server().apply({ access_tokens: [{ ...entry, id: 40 }] });
      await server().apply({ access_tokens: [{ ...entry, name: 'again', id: 41 }] }, { prune: true });
      await server()
        .ask({ as: ['x', secret], scope: ALL })
        .expect(401);
    });

    it('are stored as digests, and no answer and no line of the log has a secret again', async () => {
      const answers = [await post(personal).expect(201), await post(deploy).expect(201)];
      for (const { headers, body } of answers) {
        assert.equal(headers['cache-control'], 'no-store');
        await server()
          .ask({ as: [body.username, body.token], scope: ALL })
          .expect(200);
        const everything = JSON.stringify([
          await list(),
          (await revoke(body.id)).body,
          (await request(server().admin).get('/admin/v1/directory').buffer()).text,
          server().log,
          await server().database.query(`SELECT to_jsonb(t) AS row FROM access_tokens AS t`),
          await server().database.query(`SELECT to_jsonb(t) AS row FROM deploy_tokens AS t`),
        ]);
        assert.ok(!everything.includes(body.token));
        // The random part alone, either.
        assert.ok(!everything.includes(body.token.slice(6, 26)));
        assert.doesNotMatch(JSON.stringify(await list()), /digest/);
      }
    });

    const WRONG: [what: string, order: object, problems: Record<string, RegExp>][] = [
      ['an unknown user', { ...personal, user: 'nobody' }, { user: /there is no user "nobody"$/ }],
      [
        'a slip in a user',
        { ...personal, user: 'alcie' },
        { user: /there is no user "alcie"; did you mean alice\?$/ },
      ],
      [
        'an unknown project',
        { ...project, project: 'acme/none' },
        { project: /there is no project "acme\/none"/ },
      ],
      ['a group as a project', { ...project, project: 'acme' }, { project: /there is no project "acme"/ }],
      [
        'a personal namespace as a group',
        { ...group, group: 'alice' },
        { group: /there is no group "alice"/ },
      ],
      ['no user', { kind: 'personal', scopes: ['api'] }, { user: /is missing/ }],
      ['no role', { ...project, role: undefined }, { role: /is missing/ }],
      ['an unknown role', { ...project, role: 'boss' }, { role: /must be one of: minimal_access, guest/ }],
      ['a role of its own', { ...personal, role: 'developer' }, { role: /is not for personal tokens/ }],
      ['no scopes', { ...personal, scopes: undefined }, { scopes: /is missing/ }],
      ['an empty list of scopes', { ...personal, scopes: [] }, { scopes: /at least one/ }],
      [
        'a slip in a scope',
        { ...personal, scopes: ['read_registy'] },
        {
          scopes:
            /"read_registy": not a scope of access tokens, use some of: api, read_api, read_registry, write_registry \(/,
        },
      ],
      [
        'api for a deploy token',
        { ...deploy, scopes: ['api'] },
        { scopes: /"api": not a scope of deploy tokens, use some of: read_registry, / },
      ],
      [
        'a date that has been',
        { ...personal, expires_at: '2020-01-31' },
        { expires_at: /must be after today/ },
      ],
      [
        'today, which is too late already',
        { ...personal, expires_at: '2026-11-24' },
        { expires_at: /must be after today, 2026-11-24/ },
      ],
      ['a day that is none', { ...personal, expires_at: '2027-02-30' }, { expires_at: /a date that exists/ }],
      [
        'a time for an access token',
        { ...personal, expires_at: '2027-01-31T00:00:00Z' },
        { expires_at: /as yyyy-mm-dd/ },
      ],
      [
        'a moment that has been',
        { ...deploy, expires_at: '2026-11-24T12:00:00Z' },
        { expires_at: /in the future/ },
      ],
      [
        'a day after the latest',
        { ...personal, expires_at: '2027-11-25' },
        { expires_at: /must be 2027-11-24 or earlier: .*365 days.*limits\.token_days/ },
      ],
      [
        'a moment after the latest',
        { ...deploy, expires_at: '2027-11-24T00:00:01Z' },
        { expires_at: /must be 2027-11-24 or earlier/ },
      ],
      ['never', { ...group, expires_at: null }, { expires_at: /must be 2027-11-24 or earlier/ }],
      ['a name of nothing', { ...personal, name: '' }, { name: /must not be empty/ }],
      ['projects and a group', { ...deploy, group: 'acme' }, { '': /either projects or a group/ }],
      [
        'neither projects nor a group',
        { kind: 'deploy', scopes: ['read_registry'] },
        { '': /either projects or a group/ },
      ],
      [
        'the same project twice',
        { ...deploy, projects: ['acme/app', 'ACME/app'] },
        { 'projects[1]': /is named twice/ },
      ],
      ['a field that is none', { ...personal, token: 'mine' }, { '': /token/ }],
      [
        'a kind that is none',
        { ...personal, kind: 'job' },
        { kind: /must be one of: personal, project, group, deploy/ },
      ],
      [
        'everything wrong at once',
        {
          kind: 'project',
          project: 'acme/none',
          role: 'boss',
          scopes: [],
          user: 'alice',
          expires_at: 'soon',
        },
        {
          project: /there is no/,
          role: /one of/,
          scopes: /at least one/,
          user: /is not for project tokens/,
          expires_at: /date/,
        },
      ],
    ];
    for (const [what, order, expected] of WRONG) {
      it(`are refused with ${what}`, async () => {
        const before = await list();
        const { body } = await post(order).expect(422);
        const found = Object.fromEntries(
          body.problems.map(({ path, message }: { path: string; message: string }) => [path, message]),
        );
        assert.deepEqual(Object.keys(found).sort(), Object.keys(expected).sort());
        for (const [path, pattern] of Object.entries(expected)) assert.match(found[path], pattern);
        // The first sentence says all, but cuts a long list.
        for (const message of Object.values<string>(found))
          assert.ok(body.errors[0].message.includes(message.slice(0, 80)));
        assert.deepEqual(await list(), before);
      });
    }

    it('are refused for a bot, which has a token', async () => {
      const { username } = await mint(project);
      const { body } = await post({ ...personal, user: username }).expect(422);
      assert.match(body.problems[0].message, /the bot of a token/);
    });

    const WARNED: [what: string, order: object, warning: RegExp][] = [
      ['no scope of theirs touches a registry', { ...personal, scopes: ['read_user'] }, /None of its scopes/],
      ['their user may not log in', { ...personal, user: 'frank' }, /Its user is blocked/],
    ];
    for (const [what, order, warning] of WARNED) {
      it(`come with a warning where ${what}`, async () => {
        assert.match((await mint(order)).warning ?? '', warning);
      });
    }
  });
}

describe('tokens that are minted on a cell that is not legacy', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cellpass-tokens-'));
  const file = join(folder, 'cells.yaml');
  writeFileSync(
    file,
    stringify({
      cells: [
        { id: 1, legacy: true, url: 'http://127.0.0.1:9' },
        { id: 2, url: 'http://127.0.0.1:10', namespaces: ['acme'] },
      ],
    }),
  );
  after(() => rmSync(folder, { recursive: true }));
  const environment = { CELLPASS_CELL: '2', CELLPASS_CELLS_FILE: file };
  describeTokens('of two', { environment }, ({ server, mint }) => {
    it('are taken there', async () => {
      for (const order of [personal, project, group]) {
        const { token, warning, routing } = await mint(order);
        assert.deepEqual([warning, routing?.c], [null, 2]);
        await server()
          .ask({ as: ['x', token], scope: ALL })
          .expect(200);
      }
    });

    it('are taken there as deploy tokens, too', async () => {
      const { token, username, warning, routing } = await mint(deploy);
      assert.deepEqual([warning, routing?.c], [null, 2]);
      await server()
        .ask({ as: [username, token], scope: ALL })
        .expect(200);
    });
  });
});

describe('a new token while a document is applied', () => {
  it('waits until that is done, and neither undoes the other', async () => {
    const server = await startTestServer();
    try {
      await server.apply(DIRECTORY);
      const orders = Array.from({ length: 5 }, (_, at) => ({ ...project, name: `token ${at}` }));
      const [minted] = await Promise.all([
        Promise.all(orders.map((order) => request(server.admin).post('/admin/v1/tokens').send(order))),
        server.apply({ ...DIRECTORY, deploy_tokens: [] }, { prune: true }),
        server.apply({ ...DIRECTORY, users: [...DIRECTORY.users, { username: 'bob' }] }, { prune: true }),
      ]);
      for (const { body } of minted) {
        await server.ask({ as: ['x', body.token], scope: ALL }).expect(200);
      }
    } finally {
      await server.close();
    }
  });
});

const BOUNDS: [tokenDays: string, latest: string | null, refused: string | null][] = [
  ['30', '2026-12-24', '2026-12-25'],
  ['0', null, null],
];
for (const [tokenDays, latest, refused] of BOUNDS) {
  describeTokens(
    `tokens with limits.token_days ${tokenDays}`,
    { limits: { tokenDays: Number(tokenDays) } },
    ({ mint, post }) => {
      it('expire by default on the latest day', async () => {
        assert.equal((await mint(personal)).expires_at, latest);
      });

      it('are refused after it', async () => {
        if (refused === null) await mint({ ...personal, expires_at: '2099-01-31' });
        else await post({ ...personal, expires_at: refused }).expect(422);
      });
    },
  );
}
