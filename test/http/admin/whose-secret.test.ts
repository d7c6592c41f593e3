import assert from 'node:assert/strict';
import request from 'supertest';
import type { MintedTokenView } from '../../../src/http/types.ts';
import { openTestPglite } from '../../support/database/pglite.ts';
import { type GitlabTestServer, startGitlabServer } from '../../support/gitlab/server.ts';
import { startTestServer, type TestServer, type TestServerOptions } from '../../support/server.ts';

const secret = (name: string, prefix = 'glpat-'): string => `${prefix}example-whose-${name}-0001`;
const JOB = 'glcbt-64_example-whose-job-01';
const PASSWORD = 'a good password of alice';
const DIRECTORY = {
  users: [
    { username: 'alice', id: 11, password: PASSWORD },
    { username: 'frank', id: 12, state: 'blocked' },
  ],
  groups: [{ path: 'acme', id: 20 }],
  projects: [{ path: 'acme/app', id: 100 }],
  access_tokens: [
    { id: 1, name: 'a', kind: 'personal', user: 'alice', scopes: ['api'], token: secret('alice') },
    { id: 2, name: 'b', kind: 'personal', user: 'frank', scopes: ['api'], token: secret('frank') },
    {
      id: 3,
      name: 'c',
      kind: 'personal',
      user: 'alice',
      scopes: ['api'],
      expires_at: '2020-01-31',
      token: secret('expired'),
    },
    // Its secret has no prefix, and looks like a password.
    { id: 4, name: 'd', kind: 'personal', user: 'alice', scopes: ['api'], token: secret('plain', '') },
  ],
  deploy_tokens: [
    {
      id: 1,
      username: 'puller',
      projects: ['acme/app'],
      scopes: ['read_registry'],
      token: secret('d', 'gldt-'),
    },
  ],
  job_tokens: [{ id: 7, project: 'acme/app', user: 'alice', token: JOB }],
};

const ROWS: readonly (readonly [what: string, secret: string, answer: object])[] = [
  [
    'a personal token',
    secret('alice'),
    { kind: 'personal', id: 'access-1', owner: 'alice', state: 'active' },
  ],
  [
    'a token of a blocked user',
    secret('frank'),
    { kind: 'personal', id: 'access-2', owner: 'frank', state: 'owner_blocked' },
  ],
  [
    'an expired token',
    secret('expired'),
    { kind: 'personal', id: 'access-3', owner: 'alice', state: 'expired' },
  ],
  [
    'a token of no form',
    secret('plain', ''),
    { kind: 'personal', id: 'access-4', owner: 'alice', state: 'active' },
  ],
  [
    'a deploy token',
    secret('d', 'gldt-'),
    { kind: 'deploy', id: 'deploy-1', owner: 'puller', state: 'active', projects: ['acme/app'] },
  ],
  [
    'a token of a job',
    JOB,
    { kind: 'job', id: 'job-7', owner: 'alice', state: 'active', projects: ['acme/app'] },
  ],
  ['an unknown token', secret('nobody'), { kind: null }],
  ['an unknown admin token', `cpat-${'x'.repeat(43)}`, { kind: null }],
  ['a password', PASSWORD, { kind: null }],
  ['a user name', 'alice', { kind: null }],
  ['an ID token', 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln', { kind: null }],
];

const whose = (server: TestServer, text: string) =>
  request(server.admin).post('/admin/v1/tokens/identify').send({ secret: text });

function testSecrets(server: () => TestServer): void {
  for (const [what, text, answer] of ROWS) {
    it(`${what}: ${JSON.stringify(answer)}`, async () => {
      const { body, headers } = await whose(server(), text).expect(200);
      assert.deepEqual(body, answer);
      assert.equal(headers['cache-control'], 'no-store');
    });
  }

  it('an admin token, active and revoked, without a use', async () => {
    const order = { name: 'ci', role: 'read' };
    const created = (await request(server().admin).post('/admin/v1/admin-tokens').send(order).expect(201))
      .body;
    const answer = { kind: 'admin', id: String(created.id), owner: 'ci', state: 'active' };
    assert.deepEqual((await whose(server(), created.token).expect(200)).body, answer);
    const { body } = await request(server().admin).get('/admin/v1/admin-tokens').expect(200);
    assert.equal(body.admin_tokens.find(({ id }: { id: number }) => id === created.id).last_used_at, null);
    await request(server().admin).post(`/admin/v1/admin-tokens/${created.id}/revoke`).expect(200);
    assert.deepEqual((await whose(server(), created.token)).body, { ...answer, state: 'revoked' });
  });

  it('leaves nothing of the secret in the log or the database, and counts as no attempt', async () => {
    const texts = [secret('alice'), secret('unseen'), 'Tr0ub4dor&3'];
    for (const text of texts) await whose(server(), text).expect(200);
    for (const body of [{ secret: `${secret('bad')}\0` }, { secret: 'x'.repeat(8193) }, { secret: '' }, {}])
      await request(server().admin).post('/admin/v1/tokens/identify').send(body).expect(422);
    const wrong = await request(server().admin)
      .post('/admin/v1/tokens/identify')
      .send({ secret: [secret('alice')], hidden: 'Tr0ub4dor&3' })
      .expect(422);
    const rows = await Promise.all(
      ['refusals', 'issued_tokens', 'audit_events', 'failed_attempts'].map((table) =>
        server().database.query(`SELECT to_jsonb(t)::text AS row FROM ${table} AS t`),
      ),
    );
    const everything = JSON.stringify([server().log, wrong.body, rows]);
    // Without the prefix of a token, and never so short that an id of a request could contain it.
    const secrets = [...texts.map((text) => text.replace(/^glpat-/, '')), 'whose-bad'];
    for (const text of secrets) assert.ok(text.length > 8 && !everything.includes(text), text);
    assert.deepEqual(rows[3], []);
    const lines = server().log.filter(({ path }) => path === '/admin/v1/tokens/identify');
    assert.ok(lines.length > 0 && lines.every(({ admin }) => admin === 'admin socket'));
  });
}

const DRIVERS: readonly (readonly [name: string, options: TestServerOptions])[] = [
  ['PostgreSQL', {}],
  ['PGlite', { openDatabase: openTestPglite }],
];
for (const [driver, options] of DRIVERS) {
  describe(`whose a secret is, on ${driver}`, () => {
    let server: TestServer;
    before(async () => {
      server = await startTestServer(options);
      await server.apply(DIRECTORY);
    });
    after(() => server.close());
    testSecrets(() => server);

    it('tokens that are minted, with their cell, and when they are revoked', async () => {
      const ORDERS = [
        [{ kind: 'personal', user: 'alice' }, {}],
        [{ kind: 'project', project: 'acme/app', role: 'developer' }, { projects: ['acme/app'] }],
        [{ kind: 'group', group: 'acme', role: 'developer' }, { group: 'acme' }],
        [{ kind: 'deploy', group: 'acme' }, { group: 'acme' }],
      ] as const;
      for (const [order, more] of ORDERS) {
        const minted: MintedTokenView = (
          await request(server.admin)
            .post('/admin/v1/tokens')
            .send({ ...order, scopes: ['read_registry'] })
            .expect(201)
        ).body;
        const { kind, id, username } = minted;
        const answer = { kind, id, owner: username, state: 'active', cell: 1, ...more };
        assert.deepEqual((await whose(server, minted.token).expect(200)).body, answer);
        await request(server.admin).post(`/admin/v1/tokens/${id}/revoke`).expect(200);
        assert.deepEqual((await whose(server, minted.token)).body, { ...answer, state: 'revoked' });
      }
    });

    it('a token that was given in exchange, and a job that ended', async () => {
      await server.database.execute(`
        UPDATE access_tokens SET identity_name = 'github', ends_at = now() + interval '1 hour' WHERE id = 1`);
      const { body } = await whose(server, secret('alice')).expect(200);
      assert.deepEqual(
        [body.kind, body.owner, body.identity, body.state],
        ['exchanged', 'alice', 'github', 'active'],
      );
      await server.database.execute('UPDATE job_tokens SET running = false, user_id = NULL WHERE id = 7');
      const job = (await whose(server, JOB).expect(200)).body;
      assert.deepEqual([job.state, job.owner], ['ended', null]);
    });
  });
}

for (const hasOwnCi of [false, true]) {
  describe(`whose a secret is, on a GitLab${hasOwnCi ? ', CI in a database of its own' : ''}`, () => {
    let server: GitlabTestServer;
    before(async () => {
      server = await startGitlabServer({ hasOwnCi });
      await server.apply(DIRECTORY);
    });
    after(() => server.close());
    testSecrets(() => server);
  });
}
