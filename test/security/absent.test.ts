import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import request, { type Response } from 'supertest';
import { CONTRACT } from '../support/contract.ts';
import { ACME, LOGIN, secret } from '../support/directory/acme.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

/**
 * cellpass leaves out logins by browser and refresh tokens; these tests show that it has neither.
 */
describe('security checks: features that cellpass leaves out', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.apply(ACME);
  });
  after(() => server.close());

  const at = (path: string) =>
    request(`http://127.0.0.1:${(server.app.address() as AddressInfo).port}`).get(path);
  const post = (fields: Readonly<Record<string, string>>) =>
    request(`http://127.0.0.1:${(server.app.address() as AddressInfo).port}`)
      .post('/jwt/auth')
      .type('form')
      .send({ service: 'container_registry', ...fields });

  describe('security check 35: no login by browser, so no state, nonce or code', () => {
    for (const path of [
      '/login',
      '/oauth/authorize',
      '/oauth/token',
      '/authorize',
      '/callback',
      '/auth/callback',
      '/users/sign_in',
      '/.well-known/openid-configuration',
    ]) {
      it(`security check 35: there is no ${path}`, async () => {
        await at(`${path}?code=x&state=y`).expect(404);
      });
    }

    it('security check 35: the contract knows no redirect, no cookie and no flow', () => {
      const document = JSON.stringify(CONTRACT);
      assert.doesNotMatch(
        document,
        /authorizationCode|openIdConnect|authorizationUrl|redirect_uri|Set-Cookie/i,
      );
      for (const [path, operations] of Object.entries(CONTRACT.paths)) {
        for (const operation of Object.values(operations)) {
          const statuses = Object.keys(operation.responses ?? {});
          assert.ok(!statuses.some((status) => status.startsWith('3') && status !== '304'), path);
        }
      }
    });

    it('security check 35: no answer redirects or sets a cookie, whatever a browser sends along', async () => {
      const answers: readonly Response[] = [
        await at('/').set('Accept', 'text/html').set('Cookie', 'session=1'),
        await at('/jwt/auth?service=container_registry&redirect_uri=https://evil.example').set(
          'Accept',
          'text/html',
        ),
        await at('/jwt/auth?service=container_registry&response_type=code&client_id=x&state=y').auth(
          ...LOGIN.api,
        ),
        await post({ grant_type: 'authorization_code', code: 'x', redirect_uri: 'https://evil.example' }),
      ];
      for (const { status, headers } of answers) {
        assert.ok(status < 300 || status >= 400, String(status));
        assert.equal(headers['set-cookie'], undefined);
        assert.equal(headers['location'], undefined);
      }
    });
  });

  describe('security check 38: no refresh tokens, so none outlives the credential', () => {
    const offline = { offline_token: 'true', access_type: 'offline', client_id: 'docker' };

    it('security check 38: a client that asks for one gets none', async () => {
      const [username, password] = LOGIN.api;
      const query = new URLSearchParams({ service: 'container_registry', ...offline });
      for (const { status, body } of [
        await at(`/jwt/auth?${query}`).auth(username, password),
        await post({ grant_type: 'password', username, password, ...offline }),
      ]) {
        assert.equal(status, 200);
        assert.deepEqual(Object.keys(body).sort(), ['access_token', 'expires_in', 'token']);
      }
    });

    it('security check 38: none is taken, neither a registry’s token nor the credential itself', async () => {
      const { body } = await server.ask({ as: LOGIN.api }).expect(200);
      for (const refresh_token of [
        body.token,
        LOGIN.api[1],
        LOGIN.deployer[1],
        LOGIN.alice[1],
        secret('glpat-'),
        '',
      ]) {
        await post({ grant_type: 'refresh_token', refresh_token, ...offline }).expect(401);
      }
      await server.ask({ as: ['<token>', body.token] }).expect(401);
    });
  });
});
