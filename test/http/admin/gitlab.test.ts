import assert from 'node:assert/strict';
import request, { type Test } from 'supertest';
import { type GitlabTestServer, startGitlabServer } from '../../support/gitlab/server.ts';

const DEV = 'glpat-example-dev-0000001';
const DIRECTORY = {
  users: [
    { username: 'dev', id: 1 },
    { username: 'gone', id: 2, state: 'blocked' },
  ],
  groups: [{ path: 'acme', id: 10 }],
  projects: [{ path: 'acme/app', id: 100, members: [{ user: 'dev', role: 'developer' }] }],
  access_tokens: [
    { id: 31, kind: 'personal', name: 'laptop', user: 'dev', scopes: ['api'], token: DEV },
    {
      id: 32,
      kind: 'personal',
      name: 'old',
      user: 'gone',
      scopes: ['read_api'],
      expires_at: '2030-01-31',
      token: 'glpat-example-gone-000001',
    },
  ],
  deploy_tokens: [
    {
      id: 41,
      username: 'puller',
      projects: ['acme/app'],
      scopes: ['read_registry'],
      token: 'gldt-example-puller-001',
    },
  ],
  job_tokens: [{ id: 7, project: 'acme/app', user: 'dev', token: 'glcbt-64_exampleexample' }],
};

for (const hasOwnCi of [false, true]) {
  describe(`the admin API on a GitLab's database${hasOwnCi ? ', CI in one of its own' : ''}`, () => {
    let server: GitlabTestServer;
    before(async () => {
      server = await startGitlabServer({ hasOwnCi });
      await server.apply(DIRECTORY);
    });
    after(() => server.close());

    const REFUSED: readonly (readonly [what: string, ask: () => Test])[] = [
      [
        'directory apply',
        () => request(server.admin).post('/admin/v1/directory').type('application/yaml').send('version: 1\n'),
      ],
      ['directory export', () => request(server.admin).get('/admin/v1/directory')],
      [
        'token create',
        () =>
          request(server.admin)
            .post('/admin/v1/tokens')
            .send({ kind: 'personal', user: 'dev', name: 'x', scopes: ['api'] }),
      ],
      ['directory undo', () => request(server.admin).post('/admin/v1/history/1/undo')],
      ['token revoke', () => request(server.admin).post('/admin/v1/tokens/access-31/revoke')],
      [
        'job tokens, put',
        () =>
          request(server.admin)
            .put('/admin/v1/job-tokens/7')
            .send({ project: 'acme/app', token: 'glcbt-example-example-1' }),
      ],
      ['job tokens, delete', () => request(server.admin).delete('/admin/v1/job-tokens/7')],
    ];
    it('answers with an empty history, as the questions work, and names what is no cursor', async () => {
      const { status, body } = await request(server.admin).get('/admin/v1/history').query({ user: 'dev' });
      assert.deepEqual([status, body], [200, { changes: [] }]);
      await request(server.admin).get('/admin/v1/history').query({ after: 'x' }).expect(422);
    });

    for (const [what, ask] of REFUSED) {
      it(`refuses ${what} with one sentence`, async () => {
        const { status, body } = await ask();
        assert.equal(status, 409, JSON.stringify(body));
        assert.match(body.errors[0].message, /live in GitLab/);
      });
    }

    const QUESTIONS: readonly (readonly [path: string, expected: readonly string[]])[] = [
      ['who-can?action=push&repository=acme/app', ['user dev', 'job acme/app']],
      ['who-can?action=pull&repository=acme/app/image', ['user dev', 'deploy_token puller', 'job acme/app']],
      ['what-can?subject=user:dev', ['acme/app pull,push']],
      ['what-can?subject=token:31&action=push&under=acme', ['acme/app pull,push']],
      ['what-can?subject=deploy-token:puller', ['acme/app pull']],
      ['what-can?subject=job:7', ['acme/app pull,push,delete']],
      ['what-can?subject=token:32', []],
      ['tokens?can=push', ['access-31']],
      ['tokens?can=pull&under=acme', ['access-31', 'deploy-41']],
    ];
    for (const [path, expected] of QUESTIONS) {
      it(`answers ${path}`, async () => {
        const { body } = await request(server.admin).get(`/admin/v1/${path}`).expect(200);
        const rows = (body.subjects ?? body.repositories ?? body.tokens).map((row: Record<string, string>) =>
          row['path'] ? `${row['path']} ${row['actions']}` : (row['id'] ?? `${row['kind']} ${row['name']}`),
        );
        assert.deepEqual(rows, expected, JSON.stringify(body));
      });
    }

    for (const path of [
      'who-can?action=push&repository=acme/none',
      'what-can?subject=user:nobody',
      'what-can?subject=user:dev&under=none',
    ]) {
      it(`finds nothing for ${path}`, async () => {
        const { body } = await request(server.admin).get(`/admin/v1/${path}`).expect(404);
        assert.match(body.errors[0].message, /^there is no /);
      });
    }

    it('lists tokens, by page and by owner', async () => {
      const list = async (query: string) =>
        (await request(server.admin).get(`/admin/v1/tokens${query}`)).body;
      const ids = (body: { readonly tokens: readonly { readonly id: string }[] }) =>
        body.tokens.map(({ id }) => id);
      const all = await list('');
      assert.deepEqual(ids(all), ['access-31', 'access-32', 'deploy-41']);
      assert.equal(JSON.stringify(all).includes(DEV), false);
      const first = await list('?limit=2');
      assert.deepEqual(ids(first), ['access-31', 'access-32']);
      assert.deepEqual(ids(await list(`?limit=2&after=${first.next}`)), ['deploy-41']);
      assert.deepEqual(ids(await list('?user=gone')), ['access-32']);
      assert.deepEqual(ids(await list('?project=acme/app')), ['deploy-41']);
      assert.deepEqual(ids(await list('?kind=deploy')), ['deploy-41']);
      const { status, body } = await request(server.admin).get('/admin/v1/tokens?user=nobody');
      assert.deepEqual([status, body.problems[0].path], [422, 'user']);
    });

    const SUBJECTS: readonly (readonly [as: string, verdict: string | number])[] = [
      ['user:dev', 'grant'],
      ['token:31', 'grant'],
      ['token:32', 401],
      ['token:access-31', 'grant'],
      ['deploy-token:puller', 'refuse'],
      ['token:deploy-41', 'refuse'],
      ['job:7', 'grant'],
      ['user:gone', 401],
    ];
    for (const [as, verdict] of SUBJECTS) {
      it(`explains ${as} by GitLab's ids: ${verdict}`, async () => {
        const { status, body } = await request(server.admin)
          .post('/admin/v1/explain')
          .send({ as, scopes: ['repository:acme/app:push'] });
        assert.equal(status, 200, JSON.stringify(body));
        const seen = body.refusal?.status === 401 ? 401 : body.scopes[0].actions[0].verdict;
        assert.equal(seen, verdict, JSON.stringify(body));
      });
    }

    it('finds no subject that is not there', async () => {
      for (const as of [
        'token:99',
        'token:deploy-99',
        'token:deploy-31',
        'token:access-41',
        'job:99',
        'user:nobody',
        'deploy-token:nobody',
      ]) {
        const { status } = await request(server.admin)
          .post('/admin/v1/explain')
          .send({ as, scopes: ['repository:acme/app:push'] });
        assert.equal(status, 404, as);
      }
    });
  });
}
