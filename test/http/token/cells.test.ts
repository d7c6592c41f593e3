import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import request from 'supertest';
import { stringify } from 'yaml';
import { mintRoutableToken } from '../../../src/cells/routable-token.ts';
import { freePort } from '../../support/database/postgres.ts';
import { readMetrics } from '../../support/metrics.ts';
import { type Ask, startTestServer, type TestServer } from '../../support/server.ts';

const PASSWORD = randomBytes(12).toString('hex');
const token = (c: bigint, prefix = 'glpat-'): string => mintRoutableToken(prefix, { c, o: 1n, u: 11n });
const SECRETS = {
  one: token(1n),
  two: token(2n),
  twoUnknown: token(2n),
  three: token(3n),
  deployOld: `gldt-${randomBytes(10).toString('hex')}`,
  deployTwo: token(2n, 'gldt-'),
  jobTwo: token(2n, 'glcbt-'),
  old: `glpat-${randomBytes(10).toString('hex')}`,
};
const PAT = { kind: 'personal', scopes: ['read_registry', 'write_registry'], user: 'alice' };
const DEPLOY = { username: 'deployer', scopes: ['read_registry'] };

/**
 * The same people in both cells, as nobody would have it: so that only the kind of a credential
 * tells them apart.
 */
const directory = (group: string) => ({
  users: [{ username: 'alice', id: 11, password: PASSWORD }],
  groups: [{ path: group, members: [{ user: 'alice', role: 'developer' }] }],
  projects: [
    { path: `${group}/private`, id: 101, visibility: 'private', job_token_allowlist: 'anyone' },
    { path: `${group}/public`, id: 102, visibility: 'public' },
  ],
  access_tokens: [
    { ...PAT, name: 'one', token: SECRETS.one },
    { ...PAT, name: 'two', token: SECRETS.two },
    { ...PAT, name: 'three', token: SECRETS.three },
    { ...PAT, name: 'old', token: SECRETS.old },
  ],
  deploy_tokens: [
    { ...DEPLOY, group, token: SECRETS.deployOld },
    { ...DEPLOY, username: 'deployer-two', group, token: SECRETS.deployTwo },
  ],
  job_tokens: [{ project: `${group}/private`, user: 'alice', token: SECRETS.jobTwo }],
});

const LOGIN = {
  password: ['alice', PASSWORD],
  'wrong password': ['alice', 'guessed'],
  'old token': ['alice', SECRETS.old],
  'deploy token': ['deployer', SECRETS.deployOld],
  'deploy token of 2': ['deployer-two', SECRETS.deployTwo],
  'token of 1': ['alice', SECRETS.one],
  'token of 2': ['alice', SECRETS.two],
  'unknown token of 2': ['alice', SECRETS.twoUnknown],
  'token of 3': ['alice', SECRETS.three],
  'job of 2': ['gitlab-ci-token', SECRETS.jobTwo],
} as const satisfies Record<string, readonly [string, string]>;
type LoginName = keyof typeof LOGIN;

const FOR_TWO = /^cell 2 takes only access tokens, deploy tokens and CI job tokens that were made for it/;
const FOR_ONE = /^cell 1 takes every credential but tokens that were made for another cell/;

describe('two cells', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cellpass-cells-'));
  const file = join(folder, 'cells.yaml');
  const servers: TestServer[] = [];
  let ports: readonly [number, number];

  const topology = (more: object = {}) => ({
    cells: [
      { id: 1, legacy: true, url: `http://127.0.0.1:${ports[0]}`, namespaces: ['gitlab-org'] },
      { id: 2, url: `http://127.0.0.1:${ports[1]}`, namespaces: ['acme'] },
    ],
    ...more,
  });
  const start = async (id: 1 | 2, group: string): Promise<TestServer> => {
    const server = await startTestServer({
      environment: { CELLPASS_CELL: String(id), CELLPASS_CELLS_FILE: file },
      port: ports[id - 1] ?? 0,
    });
    servers.push(server);
    await server.apply(directory(group));
    return server;
  };

  before(async () => {
    ports = [await freePort(), await freePort()];
    writeFileSync(file, stringify(topology()));
    await start(1, 'gitlab-org');
    await start(2, 'acme');
  });

  after(async () => {
    for (const server of servers) await server.close();
    rmSync(folder, { recursive: true });
  });

  /** What came of it: `cell-2 acme/private:pull`, or the status and the message. */
  async function outcome(server: TestServer, asked: Ask): Promise<string> {
    const { status, body } = await server.ask(asked);
    if (status !== 200) return `${status} ${body.errors[0].message}`;
    const claims = JSON.parse(Buffer.from(body.token.split('.')[1], 'base64url').toString());
    const access = claims.access.map(
      ({ name, actions }: { name: string; actions: string[] }) => `${name}:${actions}`,
    );
    return [claims.cell, claims.sub || 'nobody', ...access].join(' ');
  }

  const pull = (name: string): string => `repository:${name}:pull`;
  const push = (name: string): string => `repository:${name}:pull,push`;
  const ROWS: readonly [login: LoginName | 'nobody', scopes: readonly string[], expected: string | RegExp][] =
    [
      // docker login
      ['password', [], 'cell-1 alice'],
      ['old token', [], 'cell-1 alice'],
      ['deploy token', [], 'cell-1 deployer'],
      ['token of 1', [], 'cell-1 alice'],
      ['token of 2', [], 'cell-2 alice'],
      ['job of 2', [], 'cell-2 alice'],
      ['wrong password', [], /^401 invalid username or password$/],
      ['unknown token of 2', [], /^401 invalid username or password$/],
      ['token of 3', [], /^401 invalid username or password$/],
      ['deploy token of 2', [], 'cell-2 deployer-two'],
      // In the legacy cell
      ['password', [push('gitlab-org/private')], 'cell-1 alice gitlab-org/private:pull,push'],
      ['old token', [push('gitlab-org/private')], 'cell-1 alice gitlab-org/private:pull,push'],
      ['deploy token', [pull('gitlab-org/private')], 'cell-1 deployer gitlab-org/private:pull'],
      ['token of 1', [push('gitlab-org/private')], 'cell-1 alice gitlab-org/private:pull,push'],
      ['token of 2', [push('gitlab-org/private')], FOR_ONE],
      ['deploy token of 2', [pull('gitlab-org/private')], FOR_ONE],
      ['job of 2', [pull('gitlab-org/private')], FOR_ONE],
      ['wrong password', [pull('gitlab-org/public')], /^401 invalid username or password$/],
      ['token of 2', [pull('gitlab-org/public')], 'cell-1 nobody gitlab-org/public:pull'],
      ['unknown token of 2', [pull('gitlab-org/public')], 'cell-1 nobody gitlab-org/public:pull'],
      ['token of 2', [push('gitlab-org/public')], 'cell-1 nobody gitlab-org/public:pull'],
      ['token of 3', [pull('gitlab-org/public')], /^401 invalid username or password$/],
      // In the other cell
      ['token of 2', [push('acme/private')], 'cell-2 alice acme/private:pull,push'],
      ['job of 2', [push('acme/private')], 'cell-2 alice acme/private:pull,push'],
      ['password', [push('acme/private')], FOR_TWO],
      ['old token', [push('acme/private')], FOR_TWO],
      ['deploy token', [pull('acme/private')], FOR_TWO],
      ['deploy token of 2', [pull('acme/private')], 'cell-2 deployer-two acme/private:pull'],
      ['token of 1', [push('acme/private')], FOR_TWO],
      ['token of 1', [pull('acme/nothing-there')], FOR_TWO],
      ['password', [pull('acme/public')], 'cell-2 nobody acme/public:pull'],
      ['wrong password', [pull('acme/public')], 'cell-2 nobody acme/public:pull'],
      ['old token', [push('acme/public')], 'cell-2 nobody acme/public:pull'],
      ['deploy token', [pull('acme/public')], 'cell-2 nobody acme/public:pull'],
      ['token of 1', [pull('acme/public'), pull('acme/private')], 'cell-2 nobody acme/public:pull'],
      ['unknown token of 2', [pull('acme/public')], /^401 invalid username or password$/],
      ['nobody', [pull('acme/public')], 'cell-2 nobody acme/public:pull'],
      ['nobody', [pull('acme/private')], /^403 access forbidden$/],
      // A mount from the other cell ends in a plain upload.
      [
        'token of 2',
        [push('acme/private'), pull('gitlab-org/private')],
        'cell-2 alice acme/private:pull,push',
      ],
      [
        'token of 2',
        [pull('acme/private'), pull('gitlab-org/private')],
        /^400 the scopes are of repositories in several cells/,
      ],
    ];

  describe('explain', () => {
    const explained = async (at: 1 | 2, body: object) => {
      const server = servers[at - 1];
      assert.ok(server);
      return (await request(server.admin).post('/admin/v1/explain').send(body)).body.cell;
    };
    const [ONE, TWO] = [pull('gitlab-org/private'), pull('acme/private')];
    const CASES: readonly (readonly [
      at: 1 | 2,
      body: {
        readonly as: string;
        readonly scopes: readonly string[];
        readonly token_scopes?: readonly string[];
      },
      answers: number | null,
      takes: boolean | null,
      because: RegExp,
    ])[] = [
      [1, { as: 'user:alice', scopes: [ONE] }, 1, true, /^this cell answers, and decides as shown here$/],
      [
        1,
        { as: 'user:alice', scopes: [TWO] },
        2,
        false,
        /^cell 2 answers, .*; cell 2 takes only access tokens/,
      ],
      [
        2,
        { as: 'user:alice', scopes: [TWO] },
        2,
        false,
        /^this cell answers.*; cell 2 takes only access tokens/,
      ],
      [2, { as: 'user:alice', scopes: [] }, 1, true, /^cell 1 answers/],
      [
        1,
        { as: 'user:alice', scopes: [TWO], token_scopes: ['api'] },
        2,
        null,
        /depends on the cell that the token names/,
      ],
      [1, { as: 'token:1', scopes: [TWO] }, 2, false, /cell 2 takes only/],
      [1, { as: 'token:2', scopes: [TWO] }, 2, true, /^cell 2 answers/],
      [2, { as: 'deploy-token:deployer-two', scopes: [TWO] }, 2, true, /^this cell answers/],
      [
        2,
        { as: 'deploy-token:deployer', scopes: [TWO] },
        2,
        false,
        /that name no cell are for the legacy cell/,
      ],
      [2, { as: 'anonymous', scopes: [TWO] }, 2, true, /^this cell answers/],
      [1, { as: 'anonymous', scopes: [ONE, TWO] }, null, null, /in several cells/],
    ];
    for (const [at, body, answers, takes, because] of CASES) {
      it(`says at cell ${at} what ${body.as} meets for ${body.scopes.join(' ') || 'nothing'}`, async () => {
        const cell = await explained(at, body);
        assert.deepEqual([cell.self, cell.answers, cell.takes_credentials], [at, answers, takes]);
        assert.match(cell.because, because);
      });
    }
  });

  for (const [login, scope, expected] of ROWS) {
    it(`${login} asks ${scope.join(' ') || 'for nothing'}: ${String(expected)}, whichever cell is asked`, async () => {
      const asked = { scope, ...(login !== 'nobody' && { as: LOGIN[login] }) };
      for (const server of servers) {
        const found = await outcome(server, asked);
        if (typeof expected === 'string') assert.equal(found, expected);
        else assert.match(found.replace(/^401 (?=cell)/, ''), expected);
      }
    });
  }

  it('takes a form as it takes a header, and passes it on', async () => {
    for (const server of servers) {
      const ask = (username: string, password: string, scope: string) =>
        request(server.app)
          .post('/jwt/auth')
          .type('form')
          .send({ grant_type: 'password', service: 'container_registry', scope, username, password });
      const { status, body } = await ask(...LOGIN['token of 2'], push('acme/private'));
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal((await ask(...LOGIN.password, push('acme/private'))).status, 401);
      assert.equal((await ask(...LOGIN.password, pull('acme/public'))).status, 200);
      assert.equal((await ask(...LOGIN['unknown token of 2'], pull('acme/public'))).status, 401);
      assert.equal((await ask(...LOGIN.password, '')).status, 200);
    }
  });

  it('tells each the same of a private project and of none', async () => {
    for (const server of servers) {
      const answers = [];
      for (const name of ['acme/private', 'acme/nothing-there']) {
        const { status, body, headers } = await server.ask({ as: LOGIN['token of 1'], scope: pull(name) });
        answers.push({ status, message: body.errors[0].message, challenge: headers['www-authenticate'] });
      }
      assert.deepEqual(answers[0], answers[1]);
      assert.equal(answers[0]?.challenge, 'Basic realm="cellpass", charset="UTF-8"');
    }
  });

  it("writes both cells' names into the log, and the same request id into header, body and log of the cell that answered", async () => {
    const [one, two] = servers;
    const { headers, body } = await one!.ask({ as: LOGIN.password, scope: pull('acme/private') });
    const id = headers['x-request-id'];
    assert.ok(body.errors[0].detail.endsWith(`request ${id}`));
    assert.equal(one!.log.at(-1)?.['forwarded_to'], 2);
    assert.equal(two!.log.at(-1)?.['request_id'], id);
    assert.equal(two!.log.at(-1)?.['reason'], 'wrong_cell');
  });
});

/** A cell 1 whose neighbour is a stand-in that shows what reaches it. */
describe('a request for another cell', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cellpass-cells-'));
  const file = join(folder, 'cells.yaml');
  let neighbour: Server;
  let cell: TestServer;
  let seen: {
    readonly method: string;
    readonly url: string;
    readonly headers: IncomingMessage['headers'];
    readonly body: string;
  }[];
  let answer: (response: ServerResponse) => void;

  const write = (more: object = {}, self = 1): void => {
    const { port } = neighbour.address() as AddressInfo;
    const cells = [
      {
        id: 1,
        legacy: true,
        url: self === 1 ? 'http://127.0.0.1:9' : `http://127.0.0.1:${port}`,
        namespaces: ['gitlab-org'],
      },
      { id: 2, url: self === 1 ? `http://127.0.0.1:${port}` : 'http://127.0.0.1:9', namespaces: ['acme'] },
    ];
    writeFileSync(file, stringify({ cells, ...more }));
  };
  const json =
    (status: number, body: object, headers: Record<string, string> = {}) =>
    (response: ServerResponse) =>
      response
        .writeHead(status, { 'Content-Type': 'application/json', ...headers })
        .end(JSON.stringify(body));

  before(async () => {
    neighbour = createServer(async (incoming, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of incoming) chunks.push(chunk);
      const { method = '', url = '', headers } = incoming;
      seen.push({ method, url, headers, body: Buffer.concat(chunks).toString() });
      answer(response);
    });
    await new Promise<void>((resolve) => neighbour.listen(0, '127.0.0.1', resolve));
    write();
    cell = await startTestServer({
      environment: { CELLPASS_CELLS_FILE: file, CELLPASS_CELL: '1' },
      topologyPollMs: 20,
    });
  });

  beforeEach(() => {
    seen = [];
    answer = json(
      200,
      { token: 'a.b.c', access_token: 'a.b.c', expires_in: 300 },
      { 'X-Request-Id': 'theirs' },
    );
  });

  after(async () => {
    neighbour.closeAllConnections();
    neighbour.close();
    await cell.close();
    rmSync(folder, { recursive: true });
  });

  const scope = 'repository:acme/app:pull';
  const detail = 'request 123e4567-e89b-42d3-a456-426614174000';

  it('goes there as it came, with the credentials that the cell takes and the address of the client', async () => {
    const url = `/jwt/auth?service=container_registry&scope=${encodeURIComponent(scope)}&account=alice&x=%F0%9F%90%8B+y`;
    const { status, body, headers } = await request(cell.app)
      .get(url)
      .auth('alice', SECRETS.two)
      .set('X-Forwarded-For', '203.0.113.7');
    assert.equal(status, 200);
    assert.deepEqual(body, { token: 'a.b.c', access_token: 'a.b.c', expires_in: 300 });
    assert.equal(headers['x-request-id'], 'theirs');
    assert.equal(headers['cache-control'], 'no-store');
    const [{ method, url: got, headers: sent } = seen[0]!] = seen;
    assert.deepEqual([method, got], ['GET', url]);
    assert.equal(sent.authorization, `Basic ${Buffer.from(`alice:${SECRETS.two}`).toString('base64')}`);
    assert.equal(sent['x-forwarded-for'], '203.0.113.7');
    assert.equal(sent['cellpass-hop'], 'cell-1');
    assert.equal(sent['cellpass-credentials'], undefined);
  });

  it('goes there as the form that it came as', async () => {
    const form = `grant_type=password&username=alice&password=${SECRETS.two}&scope=${scope}&client_id=a+b%20c`;
    await request(cell.app).post('/jwt/auth?x=1').type('form').send(form);
    assert.deepEqual(
      seen.map(({ method, url, body }) => [method, url, body]),
      [['POST', '/jwt/auth?x=1', form]],
    );
  });

  for (const [name, [username, password]] of Object.entries({
    'a password': ['alice', PASSWORD],
    'a deploy token': ['deployer', SECRETS.deployOld],
    'an old token': ['alice', SECRETS.old],
    'a token of this cell': ['alice', SECRETS.one],
  })) {
    it(`goes there with a marker in the place of ${name}`, async () => {
      await cell.ask({ as: [username!, password!], scope });
      await request(cell.app)
        .post('/jwt/auth')
        .type('form')
        .send({ grant_type: 'password', username, password, scope });
      assert.equal(seen.length, 2);
      for (const { headers, url, body } of seen) {
        assert.equal(headers['cellpass-credentials'], 'held-back');
        assert.equal(headers.authorization, undefined);
        assert.ok(!`${url}${body}${JSON.stringify(headers)}`.includes(password!));
      }
      assert.equal(seen[1]?.body, new URLSearchParams({ grant_type: 'password', scope }).toString());
    });
  }

  it('goes there without the credentials that a client repeats in its query', async () => {
    const query = `scope=${encodeURIComponent(scope)}&user%6eame=alice&password=${PASSWORD}&pass%77ord=${PASSWORD}x&z=a+b`;
    for (const asked of [
      request(cell.app).get(`/jwt/auth?${query}`).auth('alice', PASSWORD),
      request(cell.app)
        .post(`/jwt/auth?${query}`)
        .type('form')
        .send({ grant_type: 'password', username: 'alice', password: PASSWORD, scope }),
    ]) {
      await asked;
      const { url, body, headers } = seen.at(-1)!;
      assert.equal(url, `/jwt/auth?${new URLSearchParams({ scope, z: 'a b' })}`);
      assert.ok(!`${body}${JSON.stringify(headers)}`.includes(PASSWORD));
    }
  });

  it('goes there with no marker where there were no credentials', async () => {
    await cell.ask({ scope });
    assert.equal(seen[0]?.headers['cellpass-credentials'], undefined);
  });

  const challenges = [
    'Bearer realm="https://evil.example/token",service="container_registry"',
    'Basic realm="evil", charset="UTF-8"',
    'Negotiate',
    '',
  ];
  for (const challenge of challenges) {
    it(`is answered with this cell's own challenge where the cell sends ${JSON.stringify(challenge)}`, async () => {
      const body = { errors: [{ code: 'UNAUTHORIZED', message: 'no', detail }] };
      answer = json(401, body, {
        ...(challenge !== '' && { 'WWW-Authenticate': challenge }),
        'Retry-After': 'Fri, 31 Dec 9999 23:59:59 GMT',
        'X-Request-Id': 'x'.repeat(65),
        Location: 'https://evil.example/',
        'Set-Cookie': 'a=b',
      });
      const { status, headers } = await cell.ask({ scope });
      assert.equal(status, 401);
      assert.equal(headers['www-authenticate'], 'Basic realm="cellpass", charset="UTF-8"');
      assert.deepEqual(
        [headers['retry-after'], headers['location'], headers['set-cookie']],
        [undefined, undefined, undefined],
      );
      assert.match(headers['x-request-id'] ?? '', /^[0-9a-f-]{36}$/);
    });
  }

  it("is 503 with a stranger's hop, too, but no error in the log, and has a reason of its own", async () => {
    const stranger = await startTestServer({
      environment: { CELLPASS_CELLS_FILE: file, CELLPASS_CELL: '1', CELLPASS_TRUSTED_PROXIES: '10.0.0.0/8' },
    });
    try {
      for (const [server, level, reason] of [
        [stranger, 'info', 'hop_of_a_stranger'],
        [cell, 'error', 'forwarding_loop'],
      ] as const) {
        const { status, body } = await server.ask({ scope }).set('Cellpass-Hop', 'cell-2');
        assert.deepEqual([status, body.errors[0].code], [503, 'UNAVAILABLE']);
        const line = server.log.at(-1);
        assert.deepEqual([line?.['level'], line?.['reason']], [level, reason]);
        const sample = `cellpass_requests_total{route="/jwt/auth",status="503",reason="${reason}"}`;
        assert.ok(((await readMetrics(server.admin)).get(sample) ?? 0) > 0);
      }
      assert.equal(seen.length, 0);
    } finally {
      await stranger.close();
    }
  });

  it('is not passed on a second time', async () => {
    const { status, body } = await cell.ask({ scope }).set('Cellpass-Hop', 'cell-2');
    assert.deepEqual([status, body.errors[0].code, seen.length], [503, 'UNAVAILABLE', 0]);
  });

  it('spends no look-up on a token that no cell can have issued, wherever it is asked for', async () => {
    const damaged = SECRETS.two.slice(0, -1) + (SECRETS.two.endsWith('0') ? '1' : '0');
    const { query } = cell.database;
    const statements: string[] = [];
    const isLookup = (name: string): boolean => name.startsWith('ask-');
    cell.database.query = ((statement, params) => {
      if (typeof statement === 'object') statements.push(statement.name);
      return query.call(cell.database, statement, params);
    }) as typeof query;
    const look = (password: string, username = 'alice') =>
      cell.ask({ as: [username, password], scope: 'repository:gitlab-org/app:pull' });
    try {
      for (const password of [damaged, SECRETS.three]) {
        for (const asked of [
          look(password),
          look(password, 'gitlab-ci-token'),
          cell.ask({ as: ['alice', password], scope }),
        ]) {
          const { status, body } = await asked;
          assert.deepEqual([status, body.errors[0].message], [401, 'invalid username or password']);
        }
      }
      assert.deepEqual([statements.filter(isLookup), seen], [[], []]);
      await look(SECRETS.one);
      assert.ok(statements.some(isLookup), 'others are looked up');
    } finally {
      cell.database.query = query;
    }
  });

  const REFUSALS: readonly [number, object, Record<string, string>][] = [
    [
      401,
      { errors: [{ code: 'UNAUTHORIZED', message: 'no', detail }] },
      { 'WWW-Authenticate': 'Basic realm="cellpass", charset="UTF-8"' },
    ],
    [403, { errors: [{ code: 'DENIED', message: 'no', detail }] }, {}],
    [503, { errors: [{ code: 'UNAVAILABLE', message: 'no', detail }] }, { 'Retry-After': '7' }],
  ];
  for (const [status, body, headers] of REFUSALS) {
    it(`is answered with the ${status} of that cell`, async () => {
      answer = json(status, body, headers);
      const answered = await cell.ask({ scope });
      assert.equal(answered.status, status);
      assert.deepEqual(answered.body, body);
      for (const [name, value] of Object.entries(headers))
        assert.equal(answered.headers[name.toLowerCase()], value);
    });
  }

  const BROKEN_ROWS: [what: string, answer: (response: ServerResponse) => void][] = [];
  const BROKEN: typeof BROKEN_ROWS = [
    ['a page', (response) => response.writeHead(502, { 'Content-Type': 'text/html' }).end('<html>')],
    ['a redirect', json(302, {}, { Location: 'https://example.com/' })],
    ...[201, 204, 304, 402, 407, 418, 451, 500, 502, 511].map((status): (typeof BROKEN_ROWS)[number] => [
      `the status ${status}, which no contract has`,
      json(status, {}),
    ]),
    [
      'an endless body',
      (response) => response.writeHead(200, { 'Content-Type': 'application/json' }).end(' '.repeat(300_000)),
    ],
    ['nothing, and hangs up', (response) => response.destroy()],
    [
      'half an answer',
      (response) => {
        response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '100' }).write('{');
        setImmediate(() => response.destroy());
      },
    ],
  ];
  for (const [what, broken] of BROKEN) {
    it(`is a 503 where the cell answers with ${what}`, async () => {
      answer = broken;
      const { status, body, headers } = await cell.ask({ scope });
      assert.equal(status, 503);
      assert.equal(body.errors[0].code, 'UNAVAILABLE');
      assert.equal(body.errors[0].message, 'cell 2, which answers this, is away or slow; try again');
      assert.ok(Number(headers['retry-after']) > 0);
    });
  }

  it('is a 503 within 4 s where the cell keeps still, and says so in the log', async () => {
    answer = () => undefined;
    const startedAt = performance.now();
    const { status } = await cell.ask({ scope });
    assert.equal(status, 503);
    assert.ok(performance.now() - startedAt < 4000);
    assert.equal(cell.log.at(-1)?.['reason'], 'cell_away');
  }).timeout(10_000);

  it('is counted by cell and answer', async () => {
    const outcomes = ['2xx', '4xx', 'failed'];
    const counts = async () => {
      const samples = await readMetrics(cell.admin);
      return outcomes.map(
        (outcome) => samples.get(`cellpass_forwarded_requests_total{cell="2",outcome="${outcome}"}`) ?? 0,
      );
    };
    const before = await counts();
    await cell.ask({ scope });
    answer = json(403, { errors: [{ code: 'DENIED', message: 'no', detail }] });
    await cell.ask({ scope });
    answer = (response) => response.destroy();
    await cell.ask({ scope });
    const after = await counts();
    assert.deepEqual(
      after.map((count, at) => count - (before[at] ?? 0)),
      [1, 1, 1],
    );
  });

  it('does not fail because a connection that was kept has been closed', async () => {
    await cell.ask({ scope });
    neighbour.closeIdleConnections();
    assert.equal((await cell.ask({ scope })).status, 200);
  });

  it('is answered with the URL of the cell where nothing is passed on, as soon as the file says so', async () => {
    write({ forwarding: false });
    await reloaded(cell);
    const { status, body } = await cell.ask({ scope });
    const { port } = neighbour.address() as AddressInfo;
    assert.equal(status, 421);
    assert.equal(body.errors[0].code, 'UNSUPPORTED');
    assert.match(body.errors[0].detail, new RegExp(`^http://127.0.0.1:${port}; request `));
    assert.equal(seen.length, 0);
  });

  it('is treated by the last good topology while the file is wrong', async () => {
    writeFileSync(file, 'cells: [');
    await logged(cell, 'the changed topology is invalid; keeping the last valid one');
    assert.equal((await cell.ask({ scope })).status, 421);
    write();
    await reloaded(cell);
    assert.equal((await cell.ask({ scope })).status, 200);
  });
});

/** Without sleeping for a fixed time: looks until it is there, and the test's own limit ends it. */
async function logged(server: TestServer, message: string): Promise<void> {
  const before = server.log.length;
  const found = (): boolean => server.log.slice(before).some((line) => line['message'] === message);
  while (!found()) await new Promise((resolve) => setTimeout(resolve, 5));
}

function reloaded(server: TestServer): Promise<void> {
  return logged(server, 'reloaded the topology');
}
