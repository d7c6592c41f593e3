import assert from 'node:assert/strict';
import request from 'supertest';
import { startTestServer, type TestServer } from '../../support/server.ts';

/**
 * Input that no admin means: the answer names it as the client's mistake, never as the server's.
 */
describe('input of the admin API', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.close());

  const NUL = '\u0000';
  const HUGE = '12345678901234567890';
  const token = 'a secret of 20 characters or more';

  const requests: [method: 'get' | 'post' | 'put' | 'delete', path: string, body: object, status: number][] =
    [
      ['put', '/admin/v1/job-tokens/1', { project: `acme${NUL}`, token }, 422],
      ['put', '/admin/v1/job-tokens/1', { project: 'acme/app', user: `alice${NUL}`, token }, 422],
      [
        'put',
        '/admin/v1/job-tokens/1',
        { project: 'acme/app', token, expires_at: '2027-12-31T23:59:60Z' },
        422,
      ],
      ['put', `/admin/v1/job-tokens/${HUGE}`, { project: 'acme/app', token }, 422],
      ['delete', `/admin/v1/job-tokens/1e3`, {}, 422],
      ['get', '/admin/v1/tokens?user=%00', {}, 422],
      ['get', '/admin/v1/tokens?project=%00', {}, 422],
      ['get', '/admin/v1/tokens?group=a%00b', {}, 422],
      ['get', `/admin/v1/tokens?after=access-${HUGE}`, {}, 422],
      ['post', '/admin/v1/tokens', { kind: 'personal', user: `a${NUL}`, scopes: ['api'] }, 422],
      ['post', '/admin/v1/tokens', { kind: 'personal', user: 'alice', name: NUL, scopes: ['api'] }, 422],
      ['post', '/admin/v1/tokens', { kind: 'group', group: NUL, role: 'owner', scopes: ['api'] }, 422],
      ['post', `/admin/v1/tokens/access-${HUGE}/revoke`, {}, 404],
      ['post', '/admin/v1/admin-tokens', { name: NUL }, 422],
      ['post', '/admin/v1/admin-tokens', { name: 'a', expires_at: '2027-12-31T23:59:60Z' }, 422],
      ['post', `/admin/v1/admin-tokens/${HUGE}/revoke`, {}, 422],
      ['post', '/admin/v1/explain', { as: `user:${NUL}`, scopes: [] }, 422],
      ['post', '/admin/v1/explain', { as: `deploy-token:${NUL}`, scopes: [] }, 422],
      ['post', '/admin/v1/explain', { as: 'token:abc', scopes: [] }, 422],
      ['post', '/admin/v1/explain', { as: `token:${HUGE}`, scopes: [] }, 422],
      ['post', '/admin/v1/explain', { as: `job:${HUGE}`, scopes: [] }, 422],
      ['post', '/admin/v1/explain', { as: 'anonymous', scopes: [], at: '2027-12-31T23:59:60Z' }, 422],
      ['post', '/admin/v1/keys/retire', { kid: NUL }, 422],
      ['post', '/admin/v1/keys/revoke', { kid: 'none', reason: NUL }, 422],
      ['post', '/admin/v1/keys/revoke', { kid: '\ud800', reason: 'none' }, 422],
      ['get', '/admin/v1/keys/certificate?kid=%00', {}, 404],
      ['get', '/admin/v1/keys/certificate', {}, 422],
      ['get', '/admin/v1/keys/certificate?kid=', {}, 422],
      ['get', '/admin/v1/keys/certificate?kid=a&kid=b', {}, 422],
      ['get', '/admin/v1/keys?state=active', {}, 422],
      ['get', '/admin/v1/tokens?usr=alice', {}, 422],
      ['get', '/admin/v1/tokens?limit=1e2', {}, 422],
      ['get', '/admin/v1/issued-tokens?repo=acme/app', {}, 422],
      ['get', '/admin/v1/refusals/5f0c3b1', {}, 422],
      ['get', '/admin/v1/refusals/5f0c3b1e', {}, 404],
      ['get', '/admin/v1/refusals/5f0c3b1g', {}, 422],
      ['post', '/admin/v1/admin-tokens/1/revoke?reason=x', {}, 422],
      ['post', '/admin/v1/directory?prunes=true', {}, 422],
    ];
  for (const [method, path, body, status] of requests) {
    it(`${method} ${path} ${JSON.stringify(body)} is ${status}`, async () => {
      const call = request(server.admin)[method](path);
      await (method === 'get' ? call : call.send(body)).expect(status);
    });
  }

  for (const subject of ['alice', 'bot:x', 'token:abc', 'token:job-1', 'anonymous', 'user:']) {
    it(`says how to name a subject, in the place of ${subject}`, async () => {
      const { body } = await request(server.admin).get(`/admin/v1/what-can?subject=${subject}`).expect(422);
      assert.equal(
        body.errors[0].message,
        'subject must name a subject: user:NAME, token:ID, deploy-token:NAME, job:ID or identity:NAME',
      );
    });
  }

  it('names an unknown parameter, and the parameters that are known', async () => {
    const { body } = await request(server.admin).get('/admin/v1/tokens?usr=alice&kid=x').expect(422);
    assert.deepEqual(
      body.problems.map(({ path }: { path: string }) => path),
      ['usr', 'kid'],
    );
    assert.match(
      body.errors[0].message,
      /^usr is an unknown parameter: must be one of: user, project, group, /,
    );
  });

  it('reports every wrong parameter at once', async () => {
    const { body } = await request(server.admin).get('/admin/v1/tokens?kind=x&limit=0').expect(422);
    assert.equal(
      body.errors[0].message,
      'kind must be one of: personal, project, group, deploy; limit must be >= 1',
    );
  });

  it('leaves the parameters of other paths alone, such as those that Prometheus adds', async () => {
    await request(server.admin).get('/healthz?x=1').expect(200);
  });
});
