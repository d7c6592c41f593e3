import assert from 'node:assert/strict';
import request, { type Test } from 'supertest';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';
import { startRelay } from '../../support/database/relay.ts';
import { ACME, LOGIN, type Login, secret } from '../../support/directory/acme.ts';
import { assertError, claimsOf, grantedBy } from '../../support/reading.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const FORM = 'application/x-www-form-urlencoded';
const SERVICE = 'service=container_registry';
const PUBLIC = 'repository:acme/site:pull';
const [USER, PASSWORD] = LOGIN.alice;

describe('what clients need: how they ask', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.apply(ACME);
  });
  after(() => server.close());

  const get = (query: string, as?: Login): Test => {
    const test = request(server.app).get(`/jwt/auth?${query}`).redirects(0);
    return as === undefined ? test : test.auth(...as);
  };
  const send = (body: string, type = FORM): Test =>
    request(server.app).post('/jwt/auth').redirects(0).set('Content-Type', type).send(body);
  const login = (as: Login): string =>
    `${new URLSearchParams({ grant_type: 'password', username: as[0], password: as[1], service: 'container_registry' })}`;

  it('requirement 1: GET with Basic and no scope is a login: 200 with an empty access', async () => {
    for (const as of [LOGIN.alice, LOGIN.reader, LOGIN.deployer, LOGIN.job]) {
      assert.deepEqual((await claimsOf(server, await get(SERVICE, as))).access, []);
    }
  });

  it('requirement 2: nobody in particular may pull what is public', async () => {
    assert.deepEqual(await grantedBy(server, await get(`${SERVICE}&scope=${PUBLIC}`)), [PUBLIC]);
  });

  it('requirement 3: POST with grant_type=password gives the same as GET with Basic', async () => {
    const scope = 'repository:acme/app:pull,push,delete';
    const byForm = await claimsOf(server, await send(`${login(LOGIN.alice)}&scope=${scope}`));
    const byBasic = await claimsOf(server, await get(`${SERVICE}&scope=${scope}`, LOGIN.alice));
    for (const claim of ['iss', 'sub', 'aud', 'auth_type', 'access', 'user'] as const) {
      assert.deepEqual(byForm[claim], byBasic[claim]);
    }
  });

  describe('requirement 4: POST that is not understood is never an anonymous 200:', () => {
    const rows: [what: string, body: string, type: string, status: number][] = [
      ['no grant type', `${SERVICE}&scope=${PUBLIC}`, FORM, 404],
      ['another grant type', `grant_type=client_credentials&${SERVICE}&scope=${PUBLIC}`, FORM, 404],
      ['JSON', '{"grant_type":"password"}', 'application/json', 404],
      ['a form by another name', `grant_type=password&${SERVICE}&scope=${PUBLIC}`, 'text/plain', 404],
      ['multipart', '--x\r\n', 'multipart/form-data; boundary=x', 404],
      ['nothing at all', '', FORM, 404],
      ['a password grant without a user', `grant_type=password&${SERVICE}&scope=${PUBLIC}`, FORM, 401],
      [
        'a password grant with empty fields',
        `grant_type=password&username=&password=&${SERVICE}&scope=${PUBLIC}`,
        FORM,
        401,
      ],
    ];
    for (const [what, body, type, status] of rows) {
      it(what, async () => {
        assertError(await send(body, type), status, status === 404 ? 'UNSUPPORTED' : 'UNAUTHORIZED');
      });
    }

    it('parameters and credentials that stand where GET has them', async () => {
      const response = await request(server.app)
        .post(`/jwt/auth?${SERVICE}&scope=${PUBLIC}`)
        .auth(USER, PASSWORD);
      assertError(response, 404, 'UNSUPPORTED');
    });
  });

  it('requirement 5: POST answers with access_token', async () => {
    const { status, body } = await send(login(LOGIN.api));
    assert.deepEqual([status, typeof body.access_token], [200, 'string']);
  });

  it('requirement 6: the content type of a form may name its charset', async () => {
    for (const type of [FORM, `${FORM}; charset=utf-8`, `${FORM};charset=UTF-8`, FORM.toUpperCase()]) {
      assert.equal((await send(login(LOGIN.api), type)).status, 200);
    }
  });

  it('requirement 7: POST takes scopes joined by spaces, repeated, and empty', async () => {
    const [one, other] = ['repository:acme/app:pull', 'repository:acme/base:pull'];
    const rows: [scopes: string, granted: string[]][] = [
      [`&scope=${one}+${other}`, [one, other]],
      [`&scope=${one}&scope=${other}`, [one, other]],
      ['&scope=', []],
      ['', []],
    ];
    for (const [scopes, granted] of rows) {
      assert.deepEqual(await grantedBy(server, await send(login(LOGIN.api) + scopes)), granted);
    }
  });

  it('requirement 8: the realm never redirects', async () => {
    assert.equal((await get(SERVICE, LOGIN.api)).status, 200);
    assert.equal((await send(login(LOGIN.api))).status, 200);
    assert.equal((await get(SERVICE)).status, 403);
    assert.equal((await send('')).status, 404);
  });

  it('requirement 9: unknown parameters are ignored', async () => {
    const unknown =
      'account=bob&client_id=docker&offline_token=true&access_type=offline&error=invalid_token&x[]=%00';
    assert.equal((await claimsOf(server, await get(`${SERVICE}&${unknown}`, LOGIN.alice))).sub, 'alice');
    assert.equal((await claimsOf(server, await send(`${login(LOGIN.alice)}&${unknown}`))).sub, 'alice');
  });

  it('requirement 10: the account parameter makes nobody anybody', async () => {
    const anonymous = await claimsOf(server, await get(`${SERVICE}&account=root&scope=${PUBLIC}`));
    assert.deepEqual([anonymous.sub, anonymous.auth_type], ['', 'none']);
    assert.equal((await claimsOf(server, await get(`${SERVICE}&account=root`, LOGIN.alice))).sub, 'alice');
  });

  it('requirement 11: a database that hangs is a 503 within 5 s', async () => {
    const relay = await startRelay(await (await sharedPostgres()).createMigratedDatabase());
    try {
      const hanging = await startTestServer({ openDatabase: async () => openPostgres(relay.url) });
      relay.silence();
      const startedAt = Date.now();
      assertError(await hanging.ask({ as: LOGIN.api }), 503, 'UNAVAILABLE');
      assert.ok(Date.now() - startedAt < 5000);
      await relay.close();
      await hanging.close();
    } finally {
      await relay.close();
    }
  });

  it('requirement 12: an unknown or empty service is a JSON error, on GET and POST', async () => {
    for (const service of ['', 'service=', 'service=other']) {
      assertError(await get(service, LOGIN.alice), 404, 'UNSUPPORTED');
      const form = new URLSearchParams({ grant_type: 'password', username: 'x', password: LOGIN.api[1] });
      assertError(await send(`${form}&${service}`), 404, 'UNSUPPORTED');
    }
  });

  it('requirement 26: wrong credentials are 401, on GET and POST, even for what is public', async () => {
    const wrong: Login = ['alice', 'guessed'];
    assertError(await get(`${SERVICE}&scope=${PUBLIC}`, wrong), 401, 'UNAUTHORIZED');
    assertError(await send(`${login(wrong)}&scope=${PUBLIC}`), 401, 'UNAUTHORIZED');
  });

  it('requirement 27: Basic with an empty user and password is nobody', async () => {
    const response = await get(`${SERVICE}&scope=${PUBLIC}`).set('Authorization', 'Basic Og==');
    assert.equal((await claimsOf(server, response)).auth_type, 'none');
  });

  it('requirement 28: an empty user with a secret is an attempt', async () => {
    for (const as of [['', 'guessed'] as const, ['', secret('glpat-')] as const]) {
      assertError(await get(`${SERVICE}&scope=${PUBLIC}`, as), 401, 'UNAUTHORIZED');
      assertError(await send(`${login(as)}&scope=${PUBLIC}`), 401, 'UNAUTHORIZED');
    }
    assert.equal((await claimsOf(server, await get(SERVICE, ['', LOGIN.api[1]]))).sub, 'alice');
  });

  it('requirement 29: a password may hold colons, any UTF-8, and what forms escape', async () => {
    const password = 'a:b+c&d%41=é 🦊?#';
    await server.apply({ users: [{ username: 'zoe', password }] });
    for (const response of [await get(SERVICE, ['zoe', password]), await send(login(['zoe', password]))]) {
      assert.equal((await claimsOf(server, response)).sub, 'zoe');
    }
    assertError(await get(SERVICE, ['zoe', 'a:b c&dA=é 🦊?#']), 401, 'UNAUTHORIZED');
  });

  it('requirement 30: some failed attempts, each by POST and GET, lock nobody out', async () => {
    for (let attempt = 0; attempt < 4; attempt += 1) {
      const wrong: Login = ['alice', `guess ${attempt}`];
      assertError(await send(login(wrong)), 401, 'UNAUTHORIZED');
      assertError(await get(SERVICE, wrong), 401, 'UNAUTHORIZED');
    }
    assert.equal((await get(SERVICE, LOGIN.alice)).status, 200);
  });

  it('requirement 31: a burst such as one build makes is not throttled', async () => {
    const burst = Array.from({ length: 50 }, () =>
      get(`${SERVICE}&scope=repository:acme/app:pull`, LOGIN.api),
    );
    const statuses = (await Promise.all(burst)).map(({ status }) => status);
    assert.deepEqual(new Set(statuses), new Set([200]));
  });

  it('requirement 32: a refresh token that is not valid is 401', async () => {
    const form = `grant_type=refresh_token&${SERVICE}`;
    const withPassword = login(LOGIN.alice).replace('grant_type=password', 'grant_type=refresh_token');
    const tokens = ['', '&refresh_token=', `&refresh_token=${LOGIN.api[1]}`];
    for (const refresh of [...tokens.map((token) => form + token), `${withPassword}&refresh_token=x`]) {
      assertError(await send(`${refresh}&scope=${PUBLIC}`), 401, 'UNAUTHORIZED');
    }
  });
});
