import assert from 'node:assert/strict';
import request from 'supertest';
import type { RailsRules } from '../../../../src/config/rails.ts';
import { whyLeftToRails } from '../../../../src/http/token/rails/who-answers.ts';
import { parseScopes } from '../../../../src/policy/scope.ts';
import { type RailsStandIn, railsToken, startRailsStandIn } from '../../../support/rails/stand-in.ts';
import { startTestServer, type TestServer } from '../../../support/server.ts';

const RULES: RailsRules = {
  mode: 'serve',
  comparePercent: 0,
  passServices: [],
  serveNamespaces: null,
  servePercent: 100,
  expectedDifferences: [],
};

describe('serving some top-level groups', () => {
  const rules = { ...RULES, serveNamespaces: ['acme', 'tools'] };
  const ROWS: readonly (readonly [scopes: readonly string[], left: string | null])[] = [
    [['repository:acme/app:pull'], null],
    [['repository:Acme/app:pull'], null],
    [['repository:acme/app:pull', 'repository:tools/x/y:pull,push'], null],
    [['repository:acme/app:pull', 'registry:catalog:*'], null],
    [['repository:acme/app:pull', 'repository:other/x:pull'], 'namespace'],
    [['repository:acme2/app:pull'], 'namespace'],
    [['repository:acmeapp:pull'], 'namespace'],
    [['repository:acme:pull'], 'namespace'],
    [['registry:catalog:*'], 'namespace'],
    [[], 'namespace'],
    // What can't be read may be about another group.
    [['repository:acme/app:pull', 'repository:other/../x:pull'], 'namespace'],
    [['repository:acme/app:pull', 'nonsense'], 'namespace'],
  ];
  for (const [scopes, left] of ROWS) {
    it(`${left === null ? 'answers' : 'leaves'} ${scopes.join(' ') || 'a request without scopes'}`, () => {
      assert.equal(whyLeftToRails(rules, parseScopes(scopes), { username: 'dev', network: 'x' }), left);
    });
  }
});

describe('serving a part of the clients', () => {
  const none = parseScopes([]);
  const isServed = (servePercent: number, username: string | null, network = '203.0.113.1'): boolean =>
    whyLeftToRails({ ...RULES, servePercent }, none, { username, network }) === null;

  it('serves all, or none', () => {
    for (let n = 0; n < 200; n++) {
      assert.ok(isServed(100, `user-${n}`));
      assert.ok(!isServed(0, `user-${n}`));
      assert.ok(isServed(100, null, `198.51.100.${n}`));
    }
  });

  it('gives one account the same answerer from everywhere, in any spelling', () => {
    for (let n = 0; n < 50; n++) {
      assert.equal(isServed(50, `user-${n}`, 'a'), isServed(50, `USER-${n}`, 'b'));
      assert.equal(isServed(50, null, `10.0.0.${n}`), isServed(50, null, `10.0.0.${n}`));
    }
  });

  it('takes jobs and OAuth tokens by their address, because they share a login name', () => {
    for (const login of ['gitlab-ci-token', 'GITLAB-CI-TOKEN', 'oauth2']) {
      const addresses = Array.from({ length: 200 }, (_, n) => `198.51.100.${n}`);
      const served = addresses.filter((address) => isServed(50, login, address));
      assert.ok(served.length > 60 && served.length < 140, `${served.length} of 200`);
      assert.ok(served.every((address) => isServed(50, null, address)));
    }
  });

  it('serves about as many as it should, and keeps those when there are more', () => {
    const names = Array.from({ length: 2000 }, (_, n) => `user-${n}`);
    const served = names.filter((name) => isServed(30, name));
    assert.ok(served.length > 500 && served.length < 700, `${served.length} of 2000`);
    assert.ok(served.every((name) => isServed(31, name)));
  });
});

describe("a server beside Rails without a GitLab's database", () => {
  let rails: RailsStandIn;
  let server: TestServer;
  let rules: RailsRules = RULES;
  const TOKEN = railsToken({ access: [], exp: 1 });
  before(async () => {
    rails = await startRailsStandIn(() => TOKEN);
    server = await startTestServer({
      environment: { CELLPASS_GITLAB_RAILS_URL: rails.url },
      railsRules: () => rules,
    });
  });
  after(async () => {
    await server.close();
    await rails.close();
  });
  beforeEach(() => {
    rules = RULES;
    rails.forget();
  });

  it('only passes on while it observes, wrong credentials included', async () => {
    rules = { ...RULES, mode: 'observe' };
    for (const as of [undefined, ['x', 'y'] as const]) {
      const answer = await server.ask({ ...(as && { as }) });
      assert.deepEqual(answer.body, JSON.parse(String(TOKEN.body)));
    }
    const { status, body } = await request(server.admin).get('/admin/v1/gitlab/differences');
    assert.equal(status, 409);
    assert.match(body.errors[0].message, /CELLPASS_GITLAB_DATABASE_URL/);
  });

  for (const status of [200, 201, 400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504]) {
    it(`gives a ${status} of Rails byte for byte while it observes`, async () => {
      rules = { ...RULES, mode: 'observe' };
      rails.behave(() => ({ ...TOKEN, status }));
      const answer = await server.ask({ as: ['x', 'y'], scope: 'repository:acme/app:pull' });
      assert.deepEqual([answer.status, answer.text], [status, String(TOKEN.body)]);
      rails.behave(() => TOKEN);
    });
  }

  for (const status of [202, 204, 301, 302, 304, 307]) {
    it(`gives 503 for a ${status} of Rails without a token while it observes`, async () => {
      rules = { ...RULES, mode: 'observe' };
      rails.behave(() => ({ status, headers: { Location: 'https://evil.example/' } }));
      assert.equal((await server.ask()).status, 503);
      rails.behave(() => TOKEN);
    });
  }

  it('passes on what it can not read while it observes', async () => {
    rules = { ...RULES, mode: 'observe' };
    const { app } = server;
    const requests = [
      request(app).get('/jwt/auth').set('Authorization', 'Basic !!!'),
      request(app).get('/jwt/auth?service=a&service=b'),
      request(app).post('/jwt/auth').type('json').send({ a: 1 }),
      request(app).post('/jwt/auth').type('form').send({ grant_type: 'refresh_token', refresh_token: 'x' }),
      request(app).get('/jwt/auth').auth('x', 'glpat-damaged.01.0z1234567'),
    ];
    for (const one of requests) assert.equal((await one).headers['cellpass-answered-by'], 'rails');
    assert.equal(rails.seen.length, requests.length);
    assert.equal(rails.seen[2]?.body, '{"a":1}');
    assert.equal(rails.seen[2]?.headers['content-type'], 'application/json');
  });

  it('passes on services, and answers the rest from its own directory', async () => {
    rules = { ...RULES, passServices: ['dependency_proxy', 'other'] };
    for (const service of ['dependency_proxy', 'other']) {
      assert.equal((await server.ask({ service })).headers['cellpass-answered-by'], 'rails');
    }
    const own = await server.ask({ scope: 'repository:acme/app:pull' });
    assert.equal(own.status, 403);
    assert.equal(own.headers['cellpass-answered-by'], undefined);
  });

  it('leaves the rest of the groups, and of the clients, to Rails', async () => {
    rules = { ...RULES, serveNamespaces: ['acme'] };
    const statusOf = async (scope: string): Promise<string | undefined> =>
      (await server.ask({ scope })).headers['cellpass-answered-by'];
    assert.equal(await statusOf('repository:acme/app:pull'), undefined);
    assert.equal(await statusOf('repository:other/app:pull'), 'rails');
    rules = { ...RULES, servePercent: 0 };
    assert.equal(await statusOf('repository:acme/app:pull'), 'rails');
    const { text } = await request(server.admin).get('/metrics');
    for (const reason of ['namespace', 'percent'])
      assert.match(text, new RegExp(`cellpass_gitlab_passed_on_total\\{reason="${reason}"\\} 1`));
  });

  it('lets a 401 of Rails through where the request was left to it', async () => {
    rules = { ...RULES, serveNamespaces: ['acme'] };
    rails.behave(() => ({
      status: 401,
      headers: { 'Content-Type': 'application/json' },
      body: '{"errors":[1]}',
    }));
    const answer = await server.ask({ as: ['x', 'y'], scope: 'repository:other/app:pull' });
    assert.deepEqual([answer.status, answer.text], [401, '{"errors":[1]}']);
    rails.behave(() => TOKEN);
  });
});
