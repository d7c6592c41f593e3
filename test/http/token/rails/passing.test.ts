import assert from 'node:assert/strict';
import request, { type Response } from 'supertest';
import { type GitlabTestServer, startGitlabServer } from '../../../support/gitlab/server.ts';
import {
  json,
  type RailsStandIn,
  type RawAnswer,
  railsToken,
  startRailsStandIn,
} from '../../../support/rails/stand-in.ts';

const DEV = 'glpat-example-dev-0000001';
const GRANULAR = 'glpat-example-fine-000001';
const OAUTH = 'an-oauth-token-of-some-length';
const JOB = 'glcbt-64_exampleexampleexample';
const PASSWORD = 'correct horse battery';
const DIRECTORY = {
  users: [
    { username: 'dev', id: 1, password: PASSWORD },
    { username: 'ldap', id: 2, password: PASSWORD },
  ],
  groups: [
    { path: 'acme', id: 10 },
    { path: 'other', id: 11 },
  ],
  projects: [
    { path: 'acme/app', id: 100, members: [{ user: 'dev', role: 'developer' }] },
    { path: 'other/app', id: 101, members: [{ user: 'dev', role: 'developer' }] },
  ],
  access_tokens: [
    { kind: 'personal', name: 'dev', user: 'dev', scopes: ['api'], token: DEV },
    { kind: 'personal', name: 'fine', user: 'dev', scopes: ['api'], token: GRANULAR },
  ],
  job_tokens: [{ id: 7, project: 'acme/app', user: 'dev', token: JOB }],
};
const SCOPE = 'repository:acme/app:pull';
/** What only GitLab has. */
const GITLAB_ALONE = `
  INSERT INTO identities (user_id, provider, extern_uid) VALUES (2, 'ldapmain', 'uid=ldap');
  UPDATE personal_access_tokens SET granular = true WHERE name = 'fine';
  UPDATE p_ci_builds SET scoped_user_id = 2;
  INSERT INTO oauth_access_tokens (token) VALUES (encode(sha512('${OAUTH}'), 'hex'))`;

type Login = readonly [username: string, password: string];

describe('a server with GitLab Rails beside it', () => {
  let rails: RailsStandIn;
  let server: GitlabTestServer;
  const TOKEN = railsToken({ aud: 'x', access: [], exp: 1 });

  before(async () => {
    rails = await startRailsStandIn();
    server = await startGitlabServer({
      mayWrite: false,
      environment: { CELLPASS_GITLAB_RAILS_URL: `${rails.url}/relative` },
      limits: { failedAttempts: { perAddress: 3, perAccount: 3, seconds: 180 } },
    });
    await server.apply(DIRECTORY);
    await server.gitlab.main.execute(GITLAB_ALONE);
  });
  after(async () => {
    await server.close();
    await rails.close();
  });
  beforeEach(() => {
    rails.forget();
    rails.behave(() => TOKEN);
  });

  let lastAddress = 0;
  const freshAddress = (): string => {
    lastAddress += 1;
    return `203.0.113.${lastAddress}`;
  };
  const askAs = (as: Login | null, more: { scope?: string; ip?: string; service?: string } = {}) =>
    server.ask({ scope: SCOPE, ip: freshAddress(), ...(as && { as }), ...more });

  describe('passes on another service', () => {
    it('unchanged, before it looks at cells and credentials', async () => {
      const target = '/jwt/auth?service=dependency_proxy&scope=%2A&account=x&offline_token=true';
      const answer = await request(server.app).get(target).set({
        Authorization: 'Basic !!!',
        'User-Agent': 'docker/27',
        Accept: 'text/x',
        'X-Forwarded-For': '203.0.113.250, 198.51.100.7',
      });
      assert.equal(answer.status, 200);
      assert.deepEqual(answer.body, JSON.parse(String(TOKEN.body)));
      const [one] = rails.seen;
      assert.equal(one?.method, 'GET');
      assert.equal(one?.target, `/relative${target}`);
      const { authorization, accept, ...headers } = one?.headers ?? {};
      assert.deepEqual([authorization, accept, headers['user-agent']], ['Basic !!!', 'text/x', 'docker/27']);
      assert.equal(headers['x-forwarded-for'], '198.51.100.7');
      assert.equal(headers['cellpass-hop'], 'rails');
      assert.equal(headers['cookie'], undefined);
    });

    it('also as a form', async () => {
      rails.behave(() => ({ status: 404 }));
      const body = 'service=dependency_proxy&grant_type=other&x=%20';
      const answer = await request(server.app)
        .post('/jwt/auth')
        .set('Content-Type', 'application/x-www-form-urlencoded; charset=utf-8')
        .send(body);
      assert.deepEqual([answer.status, answer.text], [404, '']);
      const [one] = rails.seen;
      assert.deepEqual([one?.method, one?.body], ['POST', body]);
      assert.equal(one?.headers['content-type'], 'application/x-www-form-urlencoded; charset=utf-8');
    });

    it('after the limits of sizes', async () => {
      for (const as of [['x'.repeat(300), 'y'] as const, ['x', 'y'.repeat(9000)] as const]) {
        assert.equal((await askAs(as, { service: 'dependency_proxy' })).status, 400);
      }
      const many = Array.from({ length: 65 }, (_, n) => `scope=repository:a/${n}:pull`).join('&');
      assert.equal((await request(server.app).get(`/jwt/auth?service=dependency_proxy&${many}`)).status, 400);
      assert.equal(rails.seen.length, 0);
    });

    it('says so in the log and in the metrics, without the credentials', async () => {
      const answer = await askAs(['someone', 'a-secret-password'], { service: 'dependency_proxy' });
      const line = server.log.findLast((one) => one['request_id'] === answer.headers['x-request-id']);
      assert.deepEqual([line?.['answered_by'], line?.['passed_on']], ['rails', 'service']);
      assert.doesNotMatch(JSON.stringify(server.log), /a-secret-password|someone/);
      const { text } = await request(server.admin).get('/metrics');
      assert.match(text, /cellpass_gitlab_passed_on_total\{reason="service"\} \d/);
    });

    it('and counts no attempt, however often it is refused', async () => {
      rails.behave(() => json(401, { errors: [] }));
      const ip = freshAddress();
      for (let n = 0; n < 8; n++)
        assert.equal((await askAs(['dev', `guess ${n}`], { service: 'dependency_proxy', ip })).status, 401);
      assert.equal((await askAs(['dev', PASSWORD], { ip })).status, 200);
    });
  });

  const THROUGH: readonly (readonly [what: string, answer: RawAnswer])[] = [
    ['a token', TOKEN],
    ['a token with another status', { ...TOKEN, status: 201 }],
    ['a refusal', json(403, { errors: [{ code: 'DENIED', message: 'access forbidden' }] })],
    [
      'bad credentials',
      json(401, { errors: [{ code: 'UNAUTHORIZED', message: 'HTTP Basic: Access denied.' }] }),
    ],
    ['a ban', { status: 403, headers: { 'Content-Type': 'text/plain' }, body: 'Forbidden\n' }],
    [
      'too many requests',
      { status: 429, headers: { 'Content-Type': 'text/plain', 'Retry-After': '31' }, body: 'Retry later\n' },
    ],
    ['an empty 404', { status: 404 }],
    ['an unprocessable request', json(422, {})],
    ['a page', { status: 500, headers: { 'Content-Type': 'text/html; charset=utf-8' }, body: '<html>oops' }],
    [
      'a proxy without a server',
      { status: 502, headers: { 'Content-Type': 'text/html' }, body: '<html>502' },
    ],
    [
      'bytes that are no text',
      { status: 400, headers: { 'Content-Type': 'text/plain' }, body: Buffer.from([0, 255, 128]) },
    ],
  ];
  for (const [what, given] of THROUGH) {
    it(`lets ${what} of Rails through, byte for byte`, async () => {
      rails.behave(() => given);
      const answer = await askAs(null, { service: 'dependency_proxy' }).buffer(true).parse(collect);
      assert.equal(answer.status, given.status);
      assert.deepEqual(answer.body, Buffer.from(given.body ?? ''));
      assert.equal(answer.headers['content-type'], given.headers?.['Content-Type']);
      assert.equal(answer.headers['retry-after'], given.headers?.['Retry-After']);
      // A browser takes nothing of it for a page of this server.
      assert.equal(answer.headers['x-content-type-options'], 'nosniff');
      assert.match(answer.headers['content-security-policy'] ?? '', /sandbox/);
      assert.equal(answer.headers['cache-control'], 'no-store');
    });
  }

  it('keeps its own challenge, whatever that of Rails says', async () => {
    rails.behave(() => ({
      ...json(401, {}),
      headers: {
        'Content-Type': 'application/json',
        'WWW-Authenticate': 'Bearer realm="https://evil.example/token"',
        'Set-Cookie': 'a=b',
        Location: 'https://evil.example',
      },
    }));
    const { headers } = await askAs(null, { service: 'dependency_proxy' });
    assert.match(headers['www-authenticate'] ?? '', /^Basic realm="cellpass"/);
    assert.deepEqual([headers['set-cookie'], headers['location']], [undefined, undefined]);
  });

  const NO_ANSWER: readonly (readonly [what: string, answer: RawAnswer | 'reset'])[] = [
    ['a redirect', { status: 302, headers: { Location: 'https://evil.example' } }],
    ['a redirect with a token', { ...TOKEN, status: 301, headers: { Location: '/' } }],
    ['"not modified"', { status: 304 }],
    ['no content', { status: 204 }],
    ['a page with 200', { status: 200, headers: { 'Content-Type': 'text/html' }, body: '<html>sign in' }],
    ['JSON without a token', json(200, { access_token: 'x' })],
    ['JSON whose token is no text', json(200, { token: 5 })],
    ['a list', { status: 200, headers: { 'Content-Type': 'application/json' }, body: '["token"]' }],
    ['more than an answer can be', { status: 400, body: 'x'.repeat(300_000) }],
    ['a broken connection', 'reset'],
  ];
  for (const [what, given] of NO_ANSWER) {
    it(`answers 503 where Rails gives ${what}`, async () => {
      rails.behave(() => given);
      const { status, body, headers } = await askAs(null, { service: 'dependency_proxy' });
      assert.equal(status, 503);
      assert.ok(Number(headers['retry-after']) > 0);
      assert.equal(body.errors[0].code, 'UNAVAILABLE');
      // For this request alone.
      assert.equal((await askAs(['x', DEV])).status, 200);
    });
  }

  describe('passes on what the database can not judge', () => {
    const UNJUDGED: readonly (readonly [what: string, as: Login, reason: string])[] = [
      ['a password of a user with LDAP', ['ldap', 'the directory knows'], 'external_identity'],
      ['a granular token', ['x', GRANULAR], 'granular_token'],
      ['an OAuth token', ['oauth2', OAUTH], 'oauth_token'],
      ['a job for two users', ['gitlab-ci-token', JOB], 'composite_identity'],
    ];
    for (const [what, as, reason] of UNJUDGED) {
      it(`${what}: Rails' answer, once`, async () => {
        for (const given of [TOKEN, json(403, { errors: [] }), { status: 429, body: 'Retry later' }]) {
          rails.forget();
          rails.behave(() => given);
          const answer = await askAs(as);
          assert.deepEqual([answer.status, answer.text], [given.status, String(given.body)]);
          assert.equal(rails.seen.length, 1);
          const line = server.log.findLast((one) => one['request_id'] === answer.headers['x-request-id']);
          assert.equal(line?.['passed_on'], reason);
        }
      });

      it(`${what}: a 401 looks like all others, and counts once`, async () => {
        rails.behave(() => json(401, { errors: [{ code: 'UNAUTHORIZED', message: 'of Rails' }] }));
        const own = await askAs(['dev', 'wrong']);
        const ip = freshAddress();
        const statuses: number[] = [];
        for (let n = 0; n < 6; n++) {
          const answer = await askAs([as[0], reason === 'external_identity' ? `guess ${n}` : as[1]], { ip });
          statuses.push(answer.status);
          if (answer.status !== 401) continue;
          assert.equal(answer.body.errors[0].message, own.body.errors[0].message);
          assert.equal(answer.headers['www-authenticate'], own.headers['www-authenticate']);
        }
        // A guess is worth no more than any other; what there is a record of is asked about again.
        if (reason === 'external_identity') {
          assert.deepEqual(statuses, [401, 401, 401, 429, 429, 429]);
          assert.equal(rails.seen.length, 3);
        } else assert.equal(statuses[0], 401);
      });
    }

    const SILENT: readonly (readonly [what: string, answer: RawAnswer])[] = [
      ['an empty 404', { status: 404 }],
      ['a failure', { status: 502, body: '<html>' }],
      ['too many requests', { status: 429, body: 'Retry later' }],
      ['a ban', { status: 403, headers: { 'Content-Type': 'text/plain' }, body: 'Forbidden' }],
    ];
    for (const [what, given] of SILENT) {
      it(`takes ${what} for no proof of a password: failures stay counted`, async () => {
        const ip = freshAddress();
        const guess = (answer: RawAnswer, password: string) => {
          rails.behave(() => answer);
          return askAs(['ldap', password], { ip });
        };
        const refused = json(401, { errors: [] });
        assert.equal((await guess(refused, `${what} 1`)).status, 401);
        assert.equal((await guess(refused, `${what} 2`)).status, 401);
        assert.equal((await guess(given, `${what} 3`)).status, given.status);
        assert.equal((await guess(refused, `${what} 4`)).status, 401);
        assert.equal((await guess(refused, `${what} 5`)).status, 429);
      });
    }

    it('but never a wrong secret', async () => {
      for (const as of [
        ['dev', 'wrong'],
        ['nobody', 'wrong'],
        ['x', 'glpat-unknown-0000000001'],
        ['gitlab-ci-token', 'glcbt-64_unknown'],
        ['x', 'gldt-unknown-000000001'],
        ['ldap', 'glpat-unknown-0000000002'],
      ] as const) {
        assert.equal((await askAs(as)).status, 401);
      }
      assert.equal(rails.seen.length, 0);
    });

    it('a first push, where no role may list it', async () => {
      const answer = await askAs(['x', DEV], { scope: 'repository:acme/app/new:push,pull' });
      assert.deepEqual([answer.status, answer.text], [200, String(TOKEN.body)]);
      const line = server.log.findLast((one) => one['request_id'] === answer.headers['x-request-id']);
      assert.equal(line?.['passed_on'], 'first_push');
      assert.equal(line?.['refused'], undefined);
      const refusal = await request(server.admin).get(`/admin/v1/refusals/${answer.headers['x-request-id']}`);
      assert.equal(refusal.status, 404);
      await server.gitlab.main.execute(
        "INSERT INTO container_repositories (project_id, name, created_at, updated_at) VALUES (100, 'new', now(), now())",
      );
      rails.forget();
      const next = await askAs(['x', DEV], { scope: 'repository:acme/app/new:push,pull' });
      assert.deepEqual((await server.verify(next.body.token)).access[0]?.actions, ['push', 'pull']);
      assert.equal(rails.seen.length, 0);
    });

    it('everything, where another service decides', async () => {
      await server.gitlab.main.execute(
        'UPDATE application_settings SET external_authorization_service_enabled = true',
      );
      try {
        for (const as of [null, ['x', DEV], ['dev', 'wrong']] as const) {
          assert.equal((await askAs(as)).text, String(TOKEN.body));
        }
        assert.equal(rails.seen.length, 3);
      } finally {
        await server.gitlab.main.execute(
          'UPDATE application_settings SET external_authorization_service_enabled = false',
        );
      }
    });
  });

  describe('never goes round in circles', () => {
    it('answers 503 to what was sent to Rails, whoever sends it', async () => {
      for (const hop of ['rails', 'cell-2, rails', 'rails,rails']) {
        for (const service of ['container_registry', 'dependency_proxy']) {
          const answer = await request(server.app)
            .get(`/jwt/auth?service=${service}`)
            .set('Cellpass-Hop', hop);
          assert.equal(answer.status, 503);
          assert.match(answer.body.errors[0].message, /CELLPASS_GITLAB_RAILS_URL must not lead to cellpass/);
        }
      }
      assert.equal(rails.seen.length, 0);
    });

    it('behind itself, answers 503', async () => {
      const { app } = server;
      rails.behave(async ({ target, headers }) => {
        const { body, status } = await request(app)
          .get(target.replace('/relative', ''))
          .set('Cellpass-Hop', String(headers['cellpass-hop']));
        return json(status, body);
      });
      const answer = await askAs(null, { service: 'dependency_proxy' });
      assert.equal(answer.status, 503);
      assert.equal(rails.seen.length, 1);
    });

    it('passes a request of another cell on to its own Rails', async () => {
      const answer = await request(server.app)
        .get('/jwt/auth?service=dependency_proxy')
        .set('Cellpass-Hop', 'cell-2');
      assert.equal(answer.status, 200);
      assert.deepEqual(
        rails.seen.map(({ headers }) => headers['cellpass-hop']),
        ['rails'],
      );
    });
  });
});

/** The whole body as bytes. */
function collect(response: Response, done: (error: Error | null, body: Buffer) => void): void {
  const chunks: Buffer[] = [];
  response.on('data', (chunk: Buffer) => chunks.push(chunk));
  response.on('end', () => done(null, Buffer.concat(chunks)));
}
