import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import request, { type Response } from 'supertest';
import { loadConfig } from '../../../src/config/load.ts';
import { libtrustId } from '../../../src/keys/jwks.ts';
import { ACME, LOGIN, type Login } from '../../support/directory/acme.ts';
import { assertError, claimsOf, headerOf, userOf } from '../../support/reading.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const FORM = 'application/x-www-form-urlencoded';
const APP = 'repository:acme/app:pull,push';
const EVERYBODY: readonly Login[] = [LOGIN.alice, LOGIN.api, LOGIN.deployer, LOGIN.job, LOGIN.jobWithoutUser];

describe('what clients and registries need: answers', () => {
  let server: TestServer;
  /** The same token asked for by GET and by POST. */
  let answers: readonly Response[];
  /** One of each error. */
  let errors: readonly Response[];

  before(async () => {
    const [settings] = loadConfig({}).services;
    server = await startTestServer({
      services: [
        settings!,
        { ...settings!, name: 'modern', kid: 'thumbprint', x5c: false },
        { ...settings!, name: 'dated', issuedAt: true },
      ],
    });
    await server.apply(ACME);
    const [username, password] = LOGIN.api;
    const form = { grant_type: 'password', service: 'container_registry', scope: APP, username, password };
    answers = [
      await server.ask({ as: LOGIN.api, scope: APP }),
      await request(server.app)
        .post('/jwt/auth')
        .type(FORM)
        .send(`${new URLSearchParams(form)}`),
    ];
    errors = [
      await server.ask({ scope: Array.from({ length: 65 }, () => APP) }),
      await server.ask({ as: ['alice', 'guessed'] }),
      await server.ask({ scope: APP }),
      await server.ask({ service: 'other' }),
      await request(server.app).post('/jwt/auth').type(FORM).send('grant_type=other'),
      await request(server.app).get('/jwt'),
      await request(server.app).delete('/jwt/auth'),
    ];
  });
  after(() => server.close());

  it('requirement 33: token and access_token are the same', () => {
    for (const { body } of answers) assert.equal(body.token, body.access_token);
  });

  it('requirement 34: expires_in is the whole number of seconds that the token lives', async () => {
    for (const response of answers) {
      const { exp, iat } = await claimsOf(server, response);
      assert.ok(Number.isInteger(response.body.expires_in));
      assert.equal(response.body.expires_in, Number(exp) - Number(iat) - 5);
    }
  });

  it('requirement 35: a token lives for 300 s by default', () => {
    for (const { body } of answers) assert.equal(body.expires_in, 300);
  });

  it('requirement 36: issued_at is there where the service says so, with its zone, and else not', async () => {
    for (const { body } of answers) assert.equal('issued_at' in body, false);
    const response = await server.ask({ as: LOGIN.api, service: 'dated' });
    const { iat } = await claimsOf(server, response, 'dated');
    assert.match(response.body.issued_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$/);
    assert.equal(Date.parse(response.body.issued_at) / 1000, Number(iat) + 5);
  });

  it('requirement 37: there is no scope in the answer, so none of a wrong type', () => {
    for (const { body } of answers) assert.equal('scope' in body, false);
  });

  it('requirements 38 and 40: there is no refresh token, even for who asks for one', async () => {
    const asked = request(server.app)
      .get('/jwt/auth?service=container_registry&offline_token=true&access_type=offline')
      .auth(...LOGIN.api);
    assert.deepEqual(Object.keys((await asked).body).sort(), ['access_token', 'expires_in', 'token']);
  });

  it('requirement 39: a refresh token, of which there are none, is refused without a user name too', async () => {
    const body = `grant_type=refresh_token&service=container_registry&refresh_token=${LOGIN.api[1]}`;
    assertError(await request(server.app).post('/jwt/auth').type(FORM).send(body), 401, 'UNAUTHORIZED');
  });

  it('requirement 41: every answer is application/json', () => {
    for (const { headers } of [...answers, ...errors]) {
      assert.match(headers['content-type'] ?? '', /^application\/json; charset=utf-8$/);
    }
  });

  it('requirements 42 and 43: every error has a code that clients know, a message, and a detail that is text', () => {
    const codes = errors.map((response) => {
      assertError(response, response.status, response.body.errors[0].code);
      return `${response.status} ${response.body.errors[0].code}`;
    });
    assert.deepEqual(codes, [
      '400 SIZE_INVALID',
      '401 UNAUTHORIZED',
      '403 DENIED',
      '404 UNSUPPORTED',
      '404 UNSUPPORTED',
      '404 UNSUPPORTED',
      '405 UNSUPPORTED',
    ]);
  });

  it('requirement 44: a 401 has a Basic challenge, and no other answer has any', () => {
    for (const { status, headers } of [...answers, ...errors]) {
      assert.equal(
        headers['www-authenticate'],
        status === 401 ? 'Basic realm="cellpass", charset="UTF-8"' : undefined,
      );
    }
  });

  it('requirement 45: the status of a 403 says enough for clients that show no body', async () => {
    const refused = [
      { scope: APP },
      { as: LOGIN.powerless },
      { as: LOGIN.alice, scope: 'repository:full/app:push' },
    ];
    for (const asked of refused) assertError(await server.ask(asked), 403, 'DENIED');
  });

  it('requirements 46 and 51: a compact JWS, typ JWT, RS256, and nothing that names a key of its own', () => {
    for (const response of answers) {
      assert.equal(response.body.token.split('.').length, 3);
      const { alg, typ, ...rest } = headerOf(response);
      assert.deepEqual([alg, typ, Object.keys(rest).sort()], ['RS256', 'JWT', ['kid', 'x5c']]);
    }
  });

  it('requirement 47: kid is the libtrust id by default', () => {
    for (const response of answers) {
      const { kid, x5c = [] } = headerOf(response);
      assert.equal(kid, libtrustId(leafOf(x5c).publicKey));
    }
  });

  it('requirement 48: each service may choose its kid, and to leave out x5c', async () => {
    const header = headerOf(await server.ask({ as: LOGIN.api, service: 'modern' }));
    assert.deepEqual(Object.keys(header).sort(), ['alg', 'kid', 'typ']);
    assert.match(String(header.kid), /^[A-Za-z0-9_-]{43}$/);
  });

  it('requirement 49: the JWK Set has the key under both ids', async () => {
    const { body } = await request(server.app).get('/.well-known/jwks.json');
    const ids = body.keys.map(({ kid }: { kid: string }) => kid);
    const modern = await server.ask({ as: LOGIN.api, service: 'modern' });
    assert.deepEqual(ids, [headerOf(answers[0]!).kid, headerOf(modern).kid]);
  });

  it('requirement 50: the leaf in x5c is valid for longer than the token', async () => {
    for (const response of answers) {
      const { exp } = await claimsOf(server, response);
      const leaf = leafOf(headerOf(response).x5c ?? []);
      assert.ok(Date.parse(leaf.validFrom) < Date.now() && Date.parse(leaf.validTo) > Number(exp) * 1000);
    }
  });

  it('requirements 52 to 54: aud and sub are strings; exp, nbf, iat whole numbers, the latter two 5 s back', async () => {
    for (const as of [undefined, ...EVERYBODY]) {
      const response = await server.ask({ ...(as && { as }), scope: 'repository:acme/site:pull' });
      const { aud, sub, exp, nbf, iat } = await claimsOf(server, response);
      assert.deepEqual([typeof aud, typeof sub], ['string', 'string']);
      assert.ok([exp, nbf, iat].every(Number.isInteger));
      assert.deepEqual([nbf, Number(iat) + 5], [iat, Number(exp) - response.body.expires_in]);
    }
  });

  it('requirement 55: access is always a list, and empty without a scope', async () => {
    for (const as of EVERYBODY) {
      assert.deepEqual((await claimsOf(server, await server.ask({ as }))).access, []);
    }
  });

  it('requirement 56: the payload has only letters and digits of base64', async () => {
    for (const { body } of answers) assert.match(body.token.split('.')[1], /^[A-Za-z0-9]+$/);
  });

  it("requirement 57: user, auth_type and meta are of GitLab's types, and access entries have no exp", async () => {
    for (const response of answers) {
      const claims = await claimsOf(server, response);
      assert.equal(typeof claims.auth_type, 'string');
      assert.equal(typeof userOf(claims).claims['user_info'], 'object');
      for (const { meta, ...entry } of claims.access) {
        assert.deepEqual(Object.keys(entry).sort(), ['actions', 'name', 'type']);
        assert.equal(typeof meta?.project_path, 'string');
        assert.ok(Number.isInteger(meta?.project_id) && Number.isInteger(meta?.root_namespace_id));
      }
    }
  });
});

function leafOf([leaf = '']: readonly string[]): X509Certificate {
  return new X509Certificate(Buffer.from(leaf, 'base64'));
}
