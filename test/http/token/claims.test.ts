import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import request from 'supertest';
import { ACME, LOGIN, type Login } from '../../support/directory/acme.ts';
import { type Clock, clockAt } from '../../support/keys.ts';
import { claimsOf, headerOf, userOf } from '../../support/reading.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const START = '2026-11-24T12:00:00.900Z';
const SECONDS = Date.parse('2026-11-24T12:00:00Z') / 1000;
const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const ISSUER = 'https://grüße.example/?a>b~c 🦊';

describe('a token', () => {
  let server: TestServer;
  let clock: Clock = clockAt(START);
  before(async () => {
    server = await startTestServer({
      now: () => clock.now(),
      environment: { CELLPASS_ISSUER: ISSUER, CELLPASS_CELL: '3' },
    });
    await server.apply(ACME);
  });
  beforeEach(async () => {
    clock = clockAt(START);
    await server.keyring.refresh();
  });
  after(() => server.close());

  const issue = async (as?: Login, scope = 'repository:acme/site:pull') => {
    const response = await server.ask({ ...(as && { as }), scope });
    return { response, claims: await claimsOf(server, response) };
  };
  const advance = async (seconds: number): Promise<void> => {
    clock.advance(seconds * 1000);
    await server.keyring.refresh();
  };

  it('has these claims and no other', async () => {
    const { claims } = await issue(LOGIN.api, 'repository:acme/guarded/image:push,pull');
    const { jti, user, ...rest } = claims;
    assert.match(String(jti), UUID_V4);
    assert.equal(typeof user, 'string');
    assert.deepEqual(rest, {
      iss: ISSUER,
      sub: 'alice',
      aud: 'container_registry',
      iat: SECONDS - 5,
      nbf: SECONDS - 5,
      exp: SECONDS + 300,
      auth_type: 'personal_access_token',
      access: [
        {
          type: 'repository',
          name: 'acme/guarded/image',
          actions: ['push', 'pull'],
          meta: {
            project_path: 'acme/guarded',
            project_id: 105,
            root_namespace_id: 7,
            organization_id: 1,
            tag_deny_access_patterns: { push: ['v.*'] },
            tag_immutable_patterns: ['release-.*'],
          },
        },
      ],
      cell: 'cell-3',
    });
  });

  it('has an id of its own', async () => {
    const [one, other] = [await issue(LOGIN.api), await issue(LOGIN.api)];
    assert.notEqual(one.claims.jti, other.claims.jti);
  });

  it('has no meta in a registry scope', async () => {
    const { claims } = await issue(LOGIN.root, 'registry:catalog:*');
    assert.deepEqual(claims.access, [{ type: 'registry', name: 'catalog', actions: ['*'] }]);
  });

  const subjects: [
    what: string,
    as: Login | undefined,
    sub: string,
    authType: string,
    info: object | null,
  ][] = [
    ['nobody', undefined, '', 'none', null],
    ['a user by password', LOGIN.alice, 'alice', 'gitlab_or_ldap', { username: 'alice', user_id: 11 }],
    ['a user by token', LOGIN.reader, 'alice', 'personal_access_token', { username: 'alice', user_id: 11 }],
    [
      'a deploy token',
      LOGIN.deployer,
      'deployer',
      'deploy_token',
      { username: 'deployer', deploy_token_id: 31 },
    ],
    ['a job', LOGIN.job, 'alice', 'build', { username: 'alice', user_id: 11 }],
    ['a job without a user', LOGIN.jobWithoutUser, '', 'build', null],
  ];
  for (const [what, as, sub, authType, info] of subjects) {
    it(`is about ${what}: sub "${sub}", auth_type ${authType}`, async () => {
      const { claims } = await issue(as);
      assert.deepEqual([claims.sub, claims.auth_type], [sub, authType]);
      const user = await server.verify(claims.user, { audience: null });
      assert.deepEqual(user['user_info'], info && { token_type: authType, ...info });
    });
  }

  it('is about the bot of a project token', async () => {
    const { claims } = await issue(LOGIN.bot);
    assert.match(String(claims.sub), /^project_101_bot_[0-9a-f]+$/);
    assert.equal(claims.auth_type, 'personal_access_token');
  });

  describe('carries for usage tracking a nested JWT', () => {
    it('with these claims and no other, signed by the same key, without a certificate', async () => {
      const { response, claims } = await issue(LOGIN.bob);
      const { header, claims: user } = userOf(claims);
      assert.deepEqual(Object.keys(user).sort(), ['exp', 'iat', 'jti', 'nbf', 'user_info']);
      assert.match(String(user.jti), UUID_V4);
      assert.deepEqual([user.iat, user.nbf], [SECONDS - 5, SECONDS - 5]);
      assert.deepEqual(header, { alg: 'RS256', typ: 'JWT', kid: headerOf(response).kid });
    });

    it('that is reused for the same subject', async () => {
      const [one, other] = [await issue(LOGIN.api), await issue(LOGIN.api)];
      assert.equal(one.claims.user, other.claims.user);
    });

    it('that is not reused for another subject, or another kind of credential', async () => {
      const users = [];
      for (const as of [undefined, LOGIN.alice, LOGIN.bob, LOGIN.api, LOGIN.deployer, LOGIN.job]) {
        users.push((await issue(as)).claims.user);
      }
      assert.equal(new Set(users).size, users.length);
    });

    it('that outlives it, and is signed anew when it would not', async () => {
      const seen = new Set<string>();
      for (let minutes = 0; minutes < 20; minutes += 2) {
        // Nobody whose nested JWT another test looks at: this one comes from the future.
        const { claims } = await issue(LOGIN.root);
        const user = userOf(claims).claims;
        assert.ok(Number(user.exp) >= Number(claims.exp), `after ${minutes} minutes`);
        seen.add(claims.user);
        await advance(120);
      }
      assert.ok(seen.size > 1 && seen.size < 10, `${seen.size} in 20 minutes`);
    });
  });

  it('is signed by RS256, with the libtrust id, the certificate and nothing else in its header', async () => {
    const { response } = await issue();
    const { x5c, ...header } = headerOf(response);
    const libtrustId = /^([A-Z2-7]{4}:){11}[A-Z2-7]{4}$/;
    assert.match(String(header.kid), libtrustId);
    assert.deepEqual(header, { alg: 'RS256', typ: 'JWT', kid: header.kid });
    assert.equal(x5c?.length, 1);
  });

  it('shows a leaf of the published CA that holds the signing key and is valid', async () => {
    const { response } = await issue();
    const { x5c = [], kid } = headerOf(response);
    const leaf = new X509Certificate(Buffer.from(x5c[0] ?? '', 'base64'));
    const ca = new X509Certificate(
      (await request(server.app).get('/.well-known/token-ca.pem').buffer(true)).text,
    );
    assert.ok(leaf.checkIssued(ca) && leaf.verify(ca.publicKey));
    assert.ok(new Date(leaf.validFrom) <= clock.now() && clock.now() < new Date(leaf.validTo));
    const { body } = await request(server.app).get('/.well-known/jwks.json');
    const jwk = body.keys.find((key: { kid: string }) => key.kid === kid);
    const { n, e } = leaf.publicKey.export({ format: 'jwk' });
    assert.deepEqual({ n, e }, { n: jwk.n, e: jwk.e });
  });

  it('has a payload that even a wrong base64 alphabet decodes, whatever the name of the issuer', async () => {
    const { response, claims } = await issue(LOGIN.api);
    for (const jwt of [response.body.token, claims.user]) {
      const payload = jwt.split('.')[1];
      assert.match(payload, /^[A-Za-z0-9]+$/);
      assert.match(Buffer.from(payload, 'base64').toString('latin1'), /^[\x20-\x3d\x40-\x7d]+$/);
    }
  });

  it('fits with ten scopes into a header line of 8 KB', async () => {
    const projects = Array.from({ length: 10 }, (_, i) => `acme/platform/services/storefront-${i}`);
    await server.apply({
      groups: [...ACME.groups, { path: 'acme/platform' }, { path: 'acme/platform/services' }],
      projects: projects.map((path) => ({ path })),
    });
    const scope = projects.map((path) => `repository:${path}:pull,push`);
    const response = await server.ask({ as: LOGIN.bob, scope });
    assert.equal((await claimsOf(server, response)).access.length, 10);
    assert.ok(`Authorization: Bearer ${response.body.token}\r\n`.length < 8192);
  });
});
