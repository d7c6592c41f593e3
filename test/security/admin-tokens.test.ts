import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { decodeJwt } from 'jose';
import request from 'supertest';
import { TOKEN_PATHS } from '../../src/http/token/paths.ts';
import type { AdminTokenBody } from '../../src/http/types.ts';
import { CONTRACT } from '../support/contract.ts';
import { ACME, LOGIN } from '../support/directory/acme.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

/** An operator can name a service like this in the configuration; a client cannot. */
const SERVICES = ['container_registry', '/admin/v1/keys'];
const METHODS = ['get', 'post', 'put', 'delete'];
const SCOPES = ['repository:acme/app:pull,push', 'registry:catalog:*'];
const AT_ONCE = 50;

/** The routes that admins reach over TCP: the whole contract except the public endpoints. */
const ROUTES = Object.entries(CONTRACT.paths).flatMap(([path, operations]) =>
  Object.keys(operations)
    .filter((verb) => METHODS.includes(verb) && !TOKEN_PATHS.some((one) => one === path))
    .map((verb) => [verb.toUpperCase(), path.replaceAll(/\{\w+\}/g, '1')] as const),
);

describe('security checks: who may administer', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ environment: { CELLPASS_SERVICES: SERVICES.join(',') } });
    await server.apply(ACME);
  });
  after(() => server.close());

  /** The statuses other than 401, by route; no route reads its input before it authenticates. */
  async function admitted(authorizations: readonly string[]): Promise<readonly string[]> {
    const { port } = server.remoteAdmin.address() as AddressInfo;
    const attempts = ROUTES.flatMap(([method, path]) =>
      authorizations.map((authorization) => async (): Promise<string | undefined> => {
        const headers = authorization === '' ? {} : { Authorization: authorization };
        const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers });
        await answer.arrayBuffer();
        const challenge = answer.headers.get('WWW-Authenticate');
        const isRefused = answer.status === 401 && challenge === 'Bearer realm="cellpass admin"';
        return isRefused ? undefined : `${method} ${path}: ${answer.status} for ${authorization}`;
      }),
    );
    const others: string[] = [];
    for (let i = 0; i < attempts.length; i += AT_ONCE) {
      const answers = await Promise.all(attempts.slice(i, i + AT_ONCE).map((attempt) => attempt()));
      others.push(...answers.filter((answer) => answer !== undefined));
    }
    return others;
  }

  /** A token of every kind for every service, and the nested JWT of each subject. */
  async function everyJwt(): Promise<readonly string[]> {
    const jwts = new Set<string>();
    for (const service of SERVICES) {
      for (const as of [...Object.values(LOGIN), undefined]) {
        const scope = as === undefined ? 'repository:acme/site:pull' : SCOPES;
        const { body } = await server.ask({ service, scope, ...(as && { as }) });
        if (typeof body.token === 'string') jwts.add(body.token).add(String(decodeJwt(body.token)['user']));
      }
    }
    return [...jwts];
  }

  const bearer = (secret: string): string => `Bearer ${secret}`;
  const basic = (user: string, password: string): string =>
    `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

  it(`security check 1: ${ROUTES.length} routes are closed over TCP without an admin token`, async () => {
    assert.ok(ROUTES.length > 25);
    assert.deepEqual(await admitted(['', 'Bearer', 'Basic Og==']), []);
  });

  it('security check 1: no JWT that the server signs opens an admin route, for any service', async function () {
    this.timeout(60_000);
    const jwts = await everyJwt();
    const kinds = new Set(jwts.map((jwt) => decodeJwt(jwt)['auth_type']));
    const all = ['personal_access_token', 'deploy_token', 'build', 'gitlab_or_ldap', 'none', undefined];
    assert.deepEqual(kinds, new Set(all));
    const before = await server.database.query('SELECT * FROM signing_keys');
    const shown = [...jwts.map(bearer), ...jwts.slice(0, 10).map((jwt) => basic('root', jwt))];
    assert.deepEqual(await admitted(shown), []);
    assert.deepEqual(await server.database.query('SELECT * FROM signing_keys'), before);
  });

  it('security check 1: nor does any registry credential, not even an admin’s', async () => {
    const shown = Object.values(LOGIN).flatMap(([user, secret]) => [bearer(secret), basic(user, secret)]);
    assert.deepEqual(await admitted(shown), []);
  });

  it('security check 1: an admin token opens the admin routes, and nothing else', async () => {
    const { body } = await request(server.admin).post('/admin/v1/admin-tokens').send({ name: 'ci' });
    const get = request(server.remoteAdmin).get('/admin/v1/keys').set('Authorization', bearer(body.token));
    await get.expect(200);
    for (const user of ['root', 'ci', 'anybody', 'gitlab-ci-token', '']) {
      await server.ask({ as: [user, body.token], scope: SCOPES }).expect(401);
    }
    const asBearer = server
      .ask({ scope: 'repository:acme/app:pull' })
      .set('Authorization', bearer(body.token));
    await asBearer.expect(403);
  });

  it('security check 3: a forged JWT with its own key in the header is refused, like any other JWT', async () => {
    const segment = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const { kid } = server.keyring.active();
    const headers = [
      { alg: 'none' },
      { alg: 'RS256', kid, jku: 'https://attacker.example/jwks.json' },
      { alg: 'HS256', kid, jwk: { kty: 'oct', k: 'AA' } },
      { alg: 'RS256', kid, x5c: ['AA'] },
    ];
    const claims = segment({ sub: 'root', aud: 'cellpass admin', admin: true });
    const forged = headers.map((header) => bearer(`${segment({ typ: 'JWT', ...header })}.${claims}.AA`));
    assert.deepEqual(await admitted(forged), []);
  });

  it('security check 15: only the answer that creates an admin token shows its secret', async () => {
    const { body } = await request(server.admin).post('/admin/v1/admin-tokens').send({ name: 'shy' });
    const secret: string = body.token.slice('cpat-'.length);
    const revoked = await request(server.admin).post(`/admin/v1/admin-tokens/${body.id}/revoke`);
    const paths = ['/admin/v1/admin-tokens', '/admin/v1/directory', '/admin/v1/keys/history', '/metrics'];
    const answers = await Promise.all(paths.map((path) => request(server.admin).get(path)));
    for (const { status, text } of [...answers, revoked]) {
      assert.equal(status, 200);
      assert.ok(!text.includes(secret));
    }
  });

  it('security check 40: the id of an admin token is looked up among admin tokens alone', async () => {
    const { body } = await request(server.admin).get('/admin/v1/admin-tokens');
    const ids = new Set(body.admin_tokens.map(({ id }: AdminTokenBody) => id));
    for (const id of [31, 32, 101, 7, 11].filter((other) => !ids.has(other))) {
      await request(server.admin).post(`/admin/v1/admin-tokens/${id}/revoke`).expect(404);
    }
    await server.ask({ as: LOGIN.deployer, scope: 'repository:acme/app:pull' }).expect(200);
  });
});
