import assert from 'node:assert/strict';
import request, { type Response } from 'supertest';
import { ACME, LOGIN } from '../../support/directory/acme.ts';
import { assertError, grantedBy } from '../../support/reading.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const PAGE = 'https://ui.example.com';
const OTHER_PORT = 'https://ui.example.com:8443';
const PULL = 'repository:acme/app:pull';
const CHALLENGE = 'Basic realm="cellpass", charset="UTF-8"';

const corsOf = ({ headers }: Response) => [
  headers['access-control-allow-origin'],
  headers['access-control-allow-credentials'],
  headers['vary'],
];
const ALLOWED = [PAGE, 'true', 'Origin'];
const NOT_ALLOWED = [undefined, undefined, 'Origin'];

describe('web pages (CORS)', () => {
  let server: TestServer;
  let closed: TestServer;
  before(async () => {
    server = await startTestServer({ environment: { CELLPASS_CORS_ORIGINS: `${PAGE}, ${OTHER_PORT}` } });
    closed = await startTestServer();
    await server.apply(ACME);
  });
  after(async () => {
    await server.close();
    await closed.close();
  });

  const preflight = (to: TestServer, origin: string, path = '/jwt/auth') =>
    request(to.app)
      .options(path)
      .set({ Origin: origin, 'Access-Control-Request-Method': 'GET' })
      .set('Access-Control-Request-Headers', 'authorization');

  for (const path of ['/jwt/auth', '/auth/token', '/jwt/auth/']) {
    it(`a preflight request of a listed origin for ${path} is answered`, async () => {
      const response = await preflight(server, PAGE, path);
      assert.equal(response.status, 204);
      assert.deepEqual(corsOf(response), ALLOWED);
      assert.equal(response.headers['access-control-allow-methods'], 'GET, POST');
      assert.equal(response.headers['access-control-allow-headers'], 'Authorization, Content-Type');
    });
  }

  const strangers = [
    'https://ui.example.com.evil.example',
    'http://ui.example.com',
    'https://ui.example.com:444',
    'https://UI.example.com',
    'https://ui.example.com/',
    'https://example.com',
    'null',
    '*',
    '',
  ];
  for (const origin of strangers) {
    it(`the origin ${JSON.stringify(origin)} is not one of them`, async () => {
      const refused = await preflight(server, origin);
      assertError(refused, 405, 'UNSUPPORTED');
      assert.deepEqual(corsOf(refused), NOT_ALLOWED);
      const anonymous = await server.ask({ scope: PULL }).set('Origin', origin);
      assertError(anonymous, 403, 'DENIED');
      assert.deepEqual(corsOf(anonymous), NOT_ALLOWED);
    });
  }

  it('a listed page gets a challenge where other anonymous clients get 403', async () => {
    const response = await server.ask({ scope: PULL }).set('Origin', PAGE);
    assert.equal(assertError(response, 401, 'UNAUTHORIZED'), 'access forbidden');
    assert.equal(response.headers['www-authenticate'], CHALLENGE);
    assert.deepEqual(corsOf(response), ALLOWED);
    assert.equal(server.log.at(-1)?.['reason'], 'nothing_for_anonymous');
    assertError(await server.ask({ scope: PULL }), 403, 'DENIED');
  });

  it('a listed page can read tokens and every other refusal, which stay as they are', async () => {
    const token = await server.ask({ as: LOGIN.api, scope: PULL }).set('Origin', OTHER_PORT);
    assert.deepEqual(corsOf(token), [OTHER_PORT, 'true', 'Origin']);
    assert.deepEqual(await grantedBy(server, token), [PULL]);
    for (const [response, status] of [
      [await server.ask({ as: ['alice', 'guessed'], scope: PULL }).set('Origin', PAGE), 401],
      [await server.ask({ as: LOGIN.powerless, scope: PULL }).set('Origin', PAGE), 403],
      [await server.ask({ service: 'other' }).set('Origin', PAGE), 404],
      [await server.ask({ scope: Array.from({ length: 65 }, () => PULL) }).set('Origin', PAGE), 400],
    ] as const) {
      assert.equal(response.status, status);
      assert.deepEqual(corsOf(response), ALLOWED);
    }
  });

  it('nothing of it is there where no origin is listed', async () => {
    assertError(await preflight(closed, PAGE), 405, 'UNSUPPORTED');
    const response = await closed.ask({ scope: PULL }).set('Origin', PAGE);
    assertError(response, 403, 'DENIED');
    assert.deepEqual(corsOf(response), [undefined, undefined, undefined]);
  });
});
