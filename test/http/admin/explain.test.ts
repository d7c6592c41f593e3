import assert from 'node:assert/strict';
import request from 'supertest';
import { secret } from '../../support/directory/acme.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const START = new Date('2026-11-24T12:00:00Z');
const TOKENS = {
  reader: secret('glpat-'),
  dated: secret('glpat-'),
  deploy: secret('gldt-'),
  job: secret('glcbt-'),
};
const PASSWORD = 'correct horse battery';

const DIRECTORY = {
  users: [
    { username: 'alice', id: 11, password: PASSWORD },
    { username: 'carol', id: 13, password: PASSWORD },
    { username: 'erin', id: 14, two_factor: true, password: PASSWORD },
  ],
  groups: [
    { path: 'acme', id: 20, members: [{ user: 'alice', role: 'developer' }] },
    { path: 'office', id: 21, ip_allowlist: ['10.0.0.0/8'] },
  ],
  projects: [
    {
      path: 'acme/app',
      id: 101,
      protected_repositories: [{ pattern: 'acme/app/prod*', minimum_role_for_push: 'owner' }],
    },
    { path: 'acme/site', id: 102, visibility: 'public' },
    {
      path: 'office/app',
      id: 103,
      visibility: 'public',
      members: [{ user: 'carol', role: 'developer', expires_at: '2027-01-31' }],
    },
  ],
  access_tokens: [
    {
      id: 501,
      name: 'reader',
      kind: 'personal',
      user: 'alice',
      scopes: ['read_registry'],
      token: TOKENS.reader,
    },
    {
      id: 502,
      name: 'dated',
      kind: 'personal',
      user: 'alice',
      scopes: ['api'],
      expires_at: '2027-01-31',
      token: TOKENS.dated,
    },
  ],
  deploy_tokens: [
    { id: 77, username: 'puller', scopes: ['read_registry'], projects: ['acme/app'], token: TOKENS.deploy },
  ],
  job_tokens: [{ id: 601, project: 'acme/app', user: 'alice', token: TOKENS.job }],
};

type Login = readonly [string, string];
/** The same somebody, as `explain` names them and as they log in. */
const WHO: [as: string, login: Login | undefined][] = [
  ['anonymous', undefined],
  ['user:alice', ['alice', PASSWORD]],
  ['user:carol', ['carol', PASSWORD]],
  ['user:erin', ['erin', PASSWORD]],
  ['token:501', ['x', TOKENS.reader]],
  ['deploy-token:puller', ['puller', TOKENS.deploy]],
  ['job:601', ['gitlab-ci-token', TOKENS.job]],
  ['token:access-501', ['x', TOKENS.reader]],
  ['token:deploy-77', ['puller', TOKENS.deploy]],
  ['job:job-601', ['gitlab-ci-token', TOKENS.job]],
];
const SCOPES: string[][] = [
  [],
  ['repository:acme/app:pull,push,delete'],
  ['repository:acme/app/prod1:push', 'repository:acme/site:pull'],
  ['repository:office/app:pull,push'],
  ['repository:none/such:pull', 'foo:bar:baz', 'registry:catalog:*'],
];

describe('explain', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ now: () => START });
    await server.apply(DIRECTORY);
  });
  after(() => server.close());

  const explain = (body: object) => request(server.admin).post('/admin/v1/explain').send(body);
  const refusal = (id: string) => request(server.admin).get(`/admin/v1/refusals/${id}`);

  for (const [as, login] of WHO) {
    for (const scopes of SCOPES) {
      it(`agrees with the endpoint about ${as} and ${scopes.join(' ') || 'no scope'}`, async () => {
        const answer = await server.ask({ ...(login && { as: login }), scope: scopes });
        const { body } = await explain({ as, scopes }).expect(200);
        assert.equal(body.refusal?.status ?? 200, answer.status);
        assert.equal(body.refusal?.code, answer.body.errors?.[0]?.code);
        const access = answer.status === 200 ? (await server.verify(answer.body.token)).access : [];
        assert.deepEqual(body.access, access);
      });
    }
  }

  it('says which rule decided, why, and what would have to change', async () => {
    const { body } = await explain({ as: 'token:501', scopes: ['repository:acme/app:push'] });
    const [action] = body.scopes[0].actions;
    assert.deepEqual([action.verdict, action.rule], ['refuse', 'credential_ability']);
    assert.match(action.because, /token scopes read_registry; push needs write_registry or api/);
    assert.ok(action.needs.length > 0);
    assert.equal(body.scopes[0].project, 'acme/app');
  });

  it('takes token scopes, an address and a moment', async () => {
    const push = { as: 'user:alice', scopes: ['repository:acme/app:push'] };
    assert.deepEqual((await explain(push)).body.access[0].actions, ['push']);
    assert.deepEqual((await explain({ ...push, token_scopes: ['read_registry'] })).body.access, []);
    const pull = { as: 'user:carol', scopes: ['repository:office/app:pull'] };
    assert.deepEqual((await explain({ ...pull, ip: '203.0.113.7' })).body.access, []);
    assert.equal((await explain({ ...pull, ip: '10.1.2.3' })).body.access.length, 1);
    const member = { as: 'user:carol', ip: '10.1.2.3', scopes: ['repository:office/app:push'] };
    assert.equal((await explain({ ...member, at: '2027-01-30T23:59:59Z' })).body.access.length, 1);
    assert.equal((await explain({ ...member, at: '2027-01-31T00:00:00Z' })).body.access.length, 0);
    const dated = { as: 'token:502', scopes: [] };
    assert.equal((await explain({ ...dated, at: '2027-01-30T23:59:59Z' })).body.refusal, null);
    assert.equal(
      (await explain({ ...dated, at: '2027-01-31T00:00:00Z' })).body.refusal.reason,
      'token_expired',
    );
  });

  const wrong: [what: string, body: object, status: number][] = [
    ['an unknown user', { as: 'user:nobody', scopes: [] }, 404],
    ['an unknown token', { as: 'token:999', scopes: [] }, 404],
    ['a deploy token by an id of another', { as: 'token:deploy-501', scopes: [] }, 404],
    ['an access token by the id of a deploy token', { as: 'token:access-77', scopes: [] }, 404],
    ['an id of no kind', { as: 'token:robot-77', scopes: [] }, 422],
    ['nobody it understands', { as: 'alice', scopes: [] }, 422],
    ['an address that is none', { as: 'anonymous', ip: 'here', scopes: [] }, 422],
    ['a moment that is none', { as: 'anonymous', at: 'soon', scopes: [] }, 422],
    ['token scopes for a job', { as: 'job:601', token_scopes: ['api'], scopes: [] }, 422],
  ];
  for (const [what, body, status] of wrong) {
    it(`refuses ${what} with ${status}`, async () => {
      await explain(body).expect(status);
    });
  }

  describe('of a refusal that happened', () => {
    const idIn = (text: string): string => /[0-9a-f-]{36}$/.exec(text)?.[0] ?? '';

    it('tells a 403 with its facts as they were', async () => {
      const push = {
        as: ['alice', PASSWORD] as Login,
        scope: 'repository:acme/app/prod1:push',
        ip: '192.0.2.9',
      };
      const { body: error } = await server.ask(push).expect(403);
      const unprotected = DIRECTORY.projects.map((project) => ({ ...project, protected_repositories: [] }));
      await server.apply({ projects: unprotected });
      await server.ask(push).expect(200);
      const { body } = await refusal(idIn(error.errors[0].detail)).expect(200);
      await server.apply({ projects: DIRECTORY.projects });
      assert.deepEqual(
        [body.subject.name, body.client_address, body.at],
        ['alice', '192.0.2.9', START.toISOString()],
      );
      assert.equal(body.refusal.reason, 'protected_repository');
      assert.match(
        body.scopes[0].actions[0].because,
        /the repository is protected by pattern acme\/app\/prod\*, push needs owner/,
      );
    });

    it('tells what was left out of a token', async () => {
      const { headers } = await server
        .ask({ as: ['x', TOKENS.reader], scope: 'repository:acme/app:pull,push' })
        .expect(200);
      const { body } = await refusal(headers['x-request-id'] ?? '').expect(200);
      assert.equal(body.refusal, null);
      assert.deepEqual(
        body.scopes[0].actions.map(({ verdict }: { verdict: string }) => verdict),
        ['grant', 'refuse'],
      );
    });

    it('tells an admin why credentials were refused, which the client never hears', async () => {
      const { body: error } = await server.ask({ as: ['erin', PASSWORD] }).expect(401);
      assert.doesNotMatch(JSON.stringify(error), /factor/);
      const { body } = await refusal(idIn(error.errors[0].detail)).expect(200);
      assert.deepEqual([body.refusal.status, body.refusal.reason, body.subject], [401, 'two_factor', null]);
    });

    it('knows nothing of what was granted in full, or of an id that is none', async () => {
      const { headers } = await server
        .ask({ as: ['x', TOKENS.reader], scope: 'repository:acme/app:pull' })
        .expect(200);
      await refusal(headers['x-request-id'] ?? '').expect(404);
      await refusal('not-an-id').expect(422);
    });
  });
});
