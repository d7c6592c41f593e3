import assert from 'node:assert/strict';
import request from 'supertest';
import { ACME, LOGIN } from '../../support/directory/acme.ts';
import { readMetrics } from '../../support/metrics.ts';
import { assertError, grantedBy } from '../../support/reading.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const PULL = 'repository:acme/app:pull';
const QUERY = `service=container_registry&scope=${PULL}`;

describe('the paths of the token endpoint', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.apply(ACME);
  });
  after(() => server.close());

  const same = [
    '/jwt/auth',
    '/jwt/auth/',
    '//jwt/auth',
    '/jwt//auth',
    '///jwt//auth//',
    '/auth/token',
    '/auth/token/',
    '//auth///token',
  ];
  for (const path of same) {
    it(`${path} issues a token by GET and by POST, without a redirect`, async () => {
      const get = await request(server.app)
        .get(`${path}?${QUERY}`)
        .auth(...LOGIN.api)
        .redirects(0);
      assert.deepEqual(await grantedBy(server, get), [PULL]);
      const [username, password] = LOGIN.api;
      const form = { grant_type: 'password', service: 'container_registry', scope: PULL, username, password };
      const post = await request(server.app).post(path).type('form').send(form).redirects(0);
      assert.deepEqual(await grantedBy(server, post), [PULL]);
    });
  }

  for (const path of [
    '/jwt',
    '/jwt/auth/x',
    '/jwt/auth;',
    '/jwt/authx',
    '/JWT/auth',
    '/jwt%2Fauth',
    '/auth',
    '/',
  ]) {
    it(`${path} is another path`, async () => {
      assertError(await request(server.app).get(`${path}?${QUERY}`), 404, 'UNSUPPORTED');
    });
  }

  it('other public paths take doubled and trailing slashes, too', async () => {
    for (const path of ['/.well-known//jwks.json', '/.well-known/token-ca.pem/', '//healthz', '/readyz//']) {
      assert.equal((await request(server.app).get(path)).status, 200, path);
    }
  });

  it('no other spelling leads past the checks of the admin API, which has one for each path', async () => {
    for (const path of ['/admin//v1/keys', '//admin/v1/keys', '/admin/v1/keys/', '/ADMIN/v1/keys']) {
      assertError(await request(server.admin).get(`${path}?unknown=1`), 404, 'UNSUPPORTED');
    }
    const { status, body } = await request(server.admin).get('/admin/v1/keys?unknown=1');
    assert.deepEqual([status, body.problems[0].path], [422, 'unknown']);
  });

  it('have one label in the metrics, so that one alert sees them all', async () => {
    const counted = async (): Promise<number> => {
      const samples = await readMetrics(server.admin);
      return samples.get('cellpass_requests_total{route="/jwt/auth",status="200",reason="none"}') ?? 0;
    };
    const before = await counted();
    for (const path of same) {
      await request(server.app)
        .get(`${path}?${QUERY}`)
        .auth(...LOGIN.api);
    }
    assert.equal((await counted()) - before, same.length);
  });
});
