import assert from 'node:assert/strict';
import { createHmac, createPublicKey, type KeyObject } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { Agent, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { needs } from '../support/e2e/bench.ts';
import {
  type FakeCell,
  newKey,
  REALM,
  type Router,
  routed,
  SERVICE,
  sendRaw,
  startCell,
  startRouter,
} from '../support/e2e/haproxy.ts';
import { debianTool } from '../support/e2e/tools.ts';
import { until } from '../support/processes/child.ts';

const HEAD = 'Host: registry.example.com\r\nConnection: close\r\n';
const MEBIBYTE = 1024 * 1024;

describe('the registry router', function () {
  this.timeout(60_000);
  const haproxy = needs(() => debianTool('haproxy'));
  let one: FakeCell;
  let two: FakeCell;
  let router: Router;
  before(async () => {
    [one, two] = [await startCell(1), await startCell(2)];
    router = await startRouter({ haproxy: haproxy(), cells: [routed(one, 'town'), routed(two, 'acme')] });
  });
  after(async () => {
    await router?.stop();
    await one?.stop();
    await two?.stop();
  });
  afterEach(function () {
    if (this.currentTest?.state === 'failed')
      console.log(router.child.output().split('\n').slice(-20).join('\n'));
  });

  const ask = async (path: string, headers: Record<string, string> = {}) => {
    const response = await fetch(`${router.url}${path}`, { headers });
    return { status: response.status, body: (await response.json()) as { issuer?: number } };
  };
  const timed = async <T>(asking: () => Promise<T>) => {
    const begun = performance.now();
    const answer = await asking();
    return { answer, tookMs: performance.now() - begun };
  };
  const raw = (requestLine: string, ...headers: string[]) =>
    sendRaw(
      router.port,
      `${requestLine} HTTP/1.1\r\n${HEAD}${headers.map((line) => `${line}\r\n`).join('')}\r\n`,
    );
  const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
  const seen = () => [one, two].map(({ registry }) => registry.received.length);

  describe('without a token', () => {
    const rows: readonly [target: string, cell: number][] = [
      ['/v2/', 1],
      ['/v2', 1],
      ['/v2/_catalog', 1],
      ['/v2/acme/app/manifests/latest', 2],
      ['/v2/ACME/app/manifests/latest', 2],
      ['/v2/%61cme/app/manifests/latest', 2],
      ['/v2/acme%2Fapp/manifests/latest', 2],
      ['/v2/acme', 2],
      ['/v2/acme?x=/v2/town/', 2],
      ['/v2/town/app/tags/list', 1],
      ['/v2/acmes/app/manifests/latest', 1],
      ['/v2/acm/app/manifests/latest', 1],
      ['/v2/%2561cme/app/manifests/latest', 1],
      ['/v2/nobody/acme/manifests/latest', 1],
      ['/gitlab/v1/repositories/acme/app/', 1],
    ];
    for (const [target, registry] of rows) {
      it(`${target} goes to cell ${registry}`, async () => {
        const { status, body } = await raw(`GET ${target}`);
        assert.equal(status, 401);
        assert.match(body, new RegExp(`"registry":${registry}\\b`));
      });
    }

    const ambiguous = [
      '/v2/acme/../town/x',
      '/v2/acme/%2e%2E/town/x',
      '/v2/acme/./x',
      '/v2/..',
      '//v2/acme/x',
      '/v2//acme/x',
      '/v2/%2facme/x',
      '/v2/acme\\x',
      '/v2/acme%5cx',
      '/v2/acme%00/x',
      '/v2/acme%0d%0aX/x',
      '/v2/acme/%zz',
    ];
    for (const target of ambiguous) {
      it(`${target} goes to no cell`, async () => {
        const before = seen();
        const { status, body } = await raw(`GET ${target}`);
        assert.equal(status, 400);
        assert.match(JSON.parse(body).errors[0].code, /^(NAME_)?INVALID$/);
        assert.deepEqual(seen(), before);
      });
    }

    it('a request that can’t be parsed goes to no cell', async () => {
      const before = seen();
      for (const requestLine of ['GET /v2/acme#/x', 'GET http://evil/v2/acme/x', 'CONNECT /v2/', 'GET']) {
        assert.equal((await raw(requestLine)).status, 400, requestLine);
      }
      assert.equal((await raw('GET /v2/', 'Authorization : Bearer x')).status, 400);
      assert.deepEqual(seen(), before);
    });

    it('passwords are not passed on to a registry', async () => {
      const { body } = await raw('GET /v2/acme/app/tags/list', 'Authorization: Basic YWxpY2U6c2VjcmV0');
      assert.match(body, /"registry":2\b/);
      assert.equal(two.registry.received.at(-1)?.headers.authorization, undefined);
    });

    it('a path of neither registries nor issuers is 404', async () => {
      for (const path of ['/', '/v1/', '/v22/', '/jwt/authx', '/metrics', '/admin/v1/keys', '/healthz']) {
        const { status, body } = await ask(path);
        assert.deepEqual(
          [status, (body as { errors: { code: string }[] }).errors[0]?.code],
          [404, 'UNSUPPORTED'],
          path,
        );
      }
    });
  });

  describe('with a token', () => {
    it('goes to the cell of the token, whatever the path', async () => {
      for (const cell of [one, two]) {
        const headers = bearer(await cell.sign());
        for (const path of ['/v2/', '/v2/acme/app/tags/list', '/v2/town/app/tags/list', '/gitlab/v1/']) {
          assert.deepEqual(await ask(path, headers), { status: 200, body: { registry: cell.id } }, path);
        }
      }
    });

    it('of 25 KB passes, and arrives whole', async () => {
      const access = Array.from({ length: 64 }, (_, at) => ({
        type: 'repository',
        name: `acme/${at}${'x'.repeat(240)}`,
        actions: ['pull'],
      }));
      const token = await two.sign({ access });
      assert.ok(token.length > 25_000 && token.length < 30_000, `${token.length}`);
      assert.equal((await ask('/v2/', bearer(token))).status, 200);
      assert.equal(two.registry.received.at(-1)?.headers.authorization, `Bearer ${token}`);
    });

    it('reads the scheme as the registry does', async () => {
      const token = await two.sign();
      for (const line of [`authorization: bearer ${token}`, `AUTHORIZATION:   BEARER ${token}  `]) {
        assert.match((await raw('GET /v2/', line)).body, /"registry":2\b/);
      }
    });

    const keyFile = () => join(router.dir, 'keys');
    const hs256 = async (secret: string | Buffer) => {
      const [head, payload] = [{ alg: 'HS256' }, { cell: 'cell-2' }].map((part) =>
        Buffer.from(JSON.stringify(part)).toString('base64url'),
      );
      return `${head}.${payload}.${createHmac('sha256', secret).update(`${head}.${payload}`).digest('base64url')}`;
    };
    const keyOf = async (cell: number) =>
      (await readdir(keyFile())).find((name) => name.startsWith(`cell-${cell}-`))!;
    const unsigned = (alg: string, signature: string) =>
      [{ alg }, { cell: 'cell-2' }]
        .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
        .concat(signature)
        .join('.');
    const forged = (payload: string, header = '{"alg":"RS256"}') =>
      [header, payload, 'x'].map((part) => Buffer.from(part).toString('base64url')).join('.');
    const publicPem = (key: KeyObject) => createPublicKey(key).export({ type: 'spki', format: 'pem' });

    const refused: readonly [what: string, lines: () => Promise<readonly string[]>][] = [
      ['of a cell that is unknown', async () => [`Bearer ${await two.sign({ cell: 'cell-3' })}`]],
      ['of one cell that claims another', async () => [`Bearer ${await one.sign({ cell: 'cell-2' })}`]],
      ['without a cell', async () => [`Bearer ${await two.sign({ cell: undefined })}`]],
      ['with a number for a cell', async () => [`Bearer ${await two.sign({ cell: 2 })}`]],
      ['with a list of cells', async () => [`Bearer ${await two.sign({ cell: ['cell-2'] })}`]],
      ['with a cell in capitals', async () => [`Bearer ${await two.sign({ cell: 'CELL-2' })}`]],
      ['of a key that nobody published', async () => [`Bearer ${await two.sign({}, newKey())}`]],
      [
        'with a signature that is not its own',
        async () => {
          const [head, payload] = (await two.sign({ a: 1 })).split('.');
          return [`Bearer ${head}.${payload}.${(await two.sign({ a: 2 })).split('.')[2]}`];
        },
      ],
      ['with alg none', async () => [`Bearer ${unsigned('none', '')}`]],
      ['with alg none and a signature', async () => [`Bearer ${unsigned('none', 'AAAA')}`]],
      ['with a huge number that nobody signed', async () => [`Bearer ${forged('{"cell":1e999999999}')}`]],
      [
        'with a huge number before the cell',
        async () => [`Bearer ${forged('{"n":1e-999999999,"cell":"cell-2"}')}`],
      ],
      ['with a huge number in its header', async () => [`Bearer ${forged('{}', '{"alg":1e999999999}')}`]],
      ['with JSON that is cut off', async () => [`Bearer ${forged('{"cell":')}`]],
      [
        "with HS256 over the path of the key's file, as the configuration has it",
        async () => [`Bearer ${await hs256(`keys/${await keyOf(2)}`)}`],
      ],
      [
        "with HS256 over the whole path of the key's file",
        async () => [`Bearer ${await hs256(join(keyFile(), await keyOf(2)))}`],
      ],
      [
        "with HS256 over the content of the key's file",
        async () => [`Bearer ${await hs256(await readFile(join(keyFile(), await keyOf(2))))}`],
      ],
      ['with HS256 over the public key', async () => [`Bearer ${await hs256(publicPem(two.key) as string)}`]],
      [
        'with RS512 by the right key',
        async () => [
          `Bearer ${await new SignJWT({ cell: 'cell-2' }).setProtectedHeader({ alg: 'RS512' }).sign(two.key)}`,
        ],
      ],
      [
        'with PS256 by the right key',
        async () => [
          `Bearer ${await new SignJWT({ cell: 'cell-2' }).setProtectedHeader({ alg: 'PS256' }).sign(two.key)}`,
        ],
      ],
      ['that is missing', async () => ['Bearer']],
      ['that is empty', async () => ['Bearer ']],
      ['that is none', async () => ['Bearer x']],
      ['of two parts', async () => [`Bearer ${(await two.sign()).split('.').slice(0, 2).join('.')}`]],
      ['of four parts', async () => [`Bearer ${await two.sign()}.AAAA`]],
      ['after two spaces', async () => [`Bearer  ${await two.sign()}`]],
      ['after a tab', async () => [`Bearer\t${await two.sign()}`]],
      ['after no space', async () => [`Bearer${await two.sign()}`]],
      ['in two pieces', async () => [`Bearer ${(await two.sign()).replace('.', ' .')}`]],
      ['with another after it', async () => [`Bearer ${await two.sign()} ${await one.sign()}`]],
      ['with another after a comma', async () => [`Bearer ${await two.sign()}, Bearer ${await one.sign()}`]],
      ['on two lines', async () => [`Bearer ${(await two.sign()).replace('.', '.\r\n ')}`]],
      ['twice', async () => [`Bearer ${await two.sign()}`, `Bearer ${await two.sign()}`]],
      ['of another cell before it', async () => [`Bearer ${await one.sign()}`, `Bearer ${await two.sign()}`]],
      ['beside a password', async () => ['Basic YTpi', `Bearer ${await two.sign()}`]],
      ['before a password', async () => [`Bearer ${await two.sign()}`, 'Basic YTpi']],
      ['beside an empty header', async () => ['', `Bearer ${await two.sign()}`]],
    ];
    for (const [what, lines] of refused) {
      it(`is refused ${what}`, async () => {
        const before = seen();
        const headers = (await lines()).map((value) => `Authorization: ${value}`);
        const answer = await raw('GET /v2/acme/app/manifests/latest', ...headers);
        assert.equal(answer.status, 401, answer.body);
        assert.equal(answer.headers.get('content-type'), 'application/json');
        assert.equal(JSON.parse(answer.body).errors[0].code, 'UNAUTHORIZED');
        assert.equal(
          answer.headers.get('www-authenticate'),
          `Bearer realm="${REALM}",service="${SERVICE}",scope="repository:acme/app:pull",error="invalid_token"`,
        );
        assert.deepEqual(seen(), before);
      });
    }

    it('is asked for by the scope that the registry would ask for', async () => {
      const rows: readonly [requestLine: string, scope: string][] = [
        ['GET /v2/', ''],
        ['GET /v2/_catalog', ''],
        ['HEAD /v2/a/b/manifests/x', 'repository:a/b:pull'],
        ['POST /v2/a/b/c/blobs/uploads/', 'repository:a/b/c:pull,push'],
        ['PATCH /v2/a/b/blobs/uploads/1', 'repository:a/b:pull,push'],
        ['PUT /v2/a/b/manifests/x', 'repository:a/b:pull,push'],
        ['DELETE /v2/a/b/manifests/x', 'repository:a/b:delete'],
        ['GET /v2/a"b/c/manifests/x', ''],
        [`GET /v2/a/${'b'.repeat(300)}/manifests/x`, ''],
      ];
      for (const [requestLine, scope] of rows) {
        const challenge = (await raw(requestLine, 'Authorization: Bearer x')).headers.get('www-authenticate');
        assert.equal(/scope="([^"]*)"/.exec(challenge ?? '')?.[1] ?? '', scope, requestLine);
      }
    });
  });

  describe('to issuers', () => {
    for (const path of ['/jwt/auth/', '//jwt/auth', '/jwt//auth', '/auth/token', '//auth//token/']) {
      it(`${path} goes like /jwt/auth`, async () => {
        const answer = await ask(`${path}?scope=repository:acme/app:pull`);
        assert.deepEqual(answer, { status: 200, body: { issuer: 2 } });
      });
    }

    const near: readonly [query: string, issuer: number][] = [
      ['service=x', 1],
      ['scope=repository:acme/app:pull', 2],
      ['scope=repository%3Aacme%2Fapp%3Apull%2Cpush', 2],
      ['scope=repository:ACME/app:pull', 2],
      ['scope=repository(plugin):acme/app:pull', 2],
      ['service=x&scope=repository:acme/app:pull&scope=repository:town/app:pull', 2],
      ['scope=repository:town/app:pull', 1],
      ['scope=repository:acmes/app:pull', 1],
      ['scope=registry:catalog:*', 1],
      ['scope=%zz', 1],
      ['scope=', 1],
    ];
    for (const [query, issuer] of near) {
      it(`?${query} goes to that of cell ${issuer}`, async () => {
        assert.deepEqual(await ask(`/jwt/auth?${query}`), { status: 200, body: { issuer } });
      });
    }

    it('goes credentials and all', async () => {
      await ask('/jwt/auth?scope=repository:acme/app:pull', { Authorization: 'Basic YTpi' });
      const { url, headers } = two.issuer.received.at(-1)!;
      assert.deepEqual(
        [url, headers.authorization, headers.host],
        ['/jwt/auth?scope=repository:acme/app:pull', 'Basic YTpi', `127.0.0.1:${two.issuer.port}`],
      );
      assert.equal((await ask('/.well-known/jwks.json')).status, 200);
    });

    for (const [near, far] of [
      [1, 2],
      [2, 1],
    ] as const) {
      it(`goes to the issuer of cell ${far} while that of cell ${near} is away`, async () => {
        const cell = near === 1 ? one : two;
        const query = near === 1 ? '' : '?scope=repository:acme/app:pull';
        await cell.issuer.stop();
        const answers = [await ask(`/jwt/auth${query}`), await ask(`/jwt/auth${query}`)];
        await cell.issuer.start();
        for (const answer of answers) assert.deepEqual(answer, { status: 200, body: { issuer: far } });
        await until(
          async () => (await ask(`/jwt/auth${query}`)).body.issuer === near || undefined,
          () => `the issuer of cell ${near} did not come back`,
        );
      });
    }

    it('delays only the requests to the cell whose issuer is silent, by less than 4 s', async () => {
      two.issuer.freeze(true);
      const waiting = timed(() => ask('/jwt/auth?scope=repository:acme/app:pull'));
      const others = await Promise.all(Array.from({ length: 8 }, () => timed(() => ask('/jwt/auth'))));
      const { answer, tookMs } = await waiting;
      two.issuer.freeze(false);
      for (const other of others) {
        assert.deepEqual(other.answer, { status: 200, body: { issuer: 1 } });
        assert.ok(other.tookMs < 3000, `${other.tookMs} ms`);
      }
      assert.equal(answer.status, 503);
      assert.ok(tookMs < 4000, `${tookMs} ms`);
      await until(
        async () => (await ask('/jwt/auth?scope=repository:acme/app:pull')).body.issuer === 2 || undefined,
        () => 'the issuer of cell 2 did not come back',
      );
    });

    it('passes 64 long scopes', async () => {
      const scope = Array.from(
        { length: 64 },
        (_, at) => `scope=repository:acme/${at}${'x'.repeat(240)}:pull`,
      ).join('&');
      assert.equal((await ask(`/jwt/auth?${scope}`)).status, 200);
    });

    it('tells issuers and registries the client’s address, whatever the client sends', async () => {
      const claims = {
        'X-Forwarded-For': '10.0.0.1',
        'X-Real-IP': '10.0.0.1',
        Forwarded: 'for=10.0.0.1;host=evil',
        'X-Forwarded-Host': 'evil',
        'X-Forwarded-Proto': 'gopher',
      };
      await ask('/v2/acme/app/tags/list', claims);
      const last = () => [one, two].map(({ issuer }) => issuer.received.at(-1)!);
      await ask('/jwt/auth', claims);
      await ask('/jwt/auth?scope=repository:acme/app:pull', claims);
      for (const { headers } of [two.registry.received.at(-1)!, ...last()]) {
        assert.deepEqual(
          ['x-forwarded-for', 'x-real-ip', 'forwarded', 'x-forwarded-host', 'x-forwarded-proto'].map(
            (name) => headers[name],
          ),
          ['127.0.0.1', undefined, undefined, `127.0.0.1:${router.port}`, 'https'],
        );
      }
    });
  });

  it('streams uploads', async () => {
    const token = await two.sign();
    const before = two.registry.received.length;
    const status = new Promise<number | undefined>((resolve, reject) => {
      const upload = httpRequest(`${router.url}/v2/acme/app/blobs/uploads/1`, {
        method: 'PATCH',
        headers: bearer(token),
      });
      upload.on('error', reject).on('response', (response) => resolve(response.resume().statusCode));
      upload.write(Buffer.alloc(MEBIBYTE));
      until(
        () => ((two.registry.received[before]?.bytes ?? 0) > 0 ? true : undefined),
        () => 'nothing arrived while the client was still sending',
      ).then(() => {
        for (let sent = 1; sent < 64; sent += 1) upload.write(Buffer.alloc(MEBIBYTE));
        upload.end();
      }, reject);
    });
    assert.equal(await status, 200);
    assert.equal(two.registry.received[before]?.bytes, 64 * MEBIBYTE);
  });

  it('reloads without a failed request', async () => {
    const headers = bearer(await two.sign());
    const agent = new Agent({ keepAlive: true });
    let asked = 0;
    let running = true;
    const statuses = new Map<string, number>();
    const count = (what: string): void => {
      statuses.set(what, (statuses.get(what) ?? 0) + 1);
    };
    const once = () =>
      new Promise<void>((resolve) => {
        httpRequest(
          `${router.url}/v2/`,
          { headers, agent: asked++ % 2 === 0 ? agent : false },
          (response) => {
            response.resume().on('end', () => resolve(count(String(response.statusCode))));
          },
        )
          .on('error', (error) => resolve(count(error.message)))
          .end();
      });
    const client = async () => {
      while (running) await once();
    };
    const clients = Array.from({ length: 8 }, client);
    for (let reloads = 0; reloads < 3; reloads += 1) {
      const before = asked;
      await router.reload();
      await until(
        () => asked > before + 200 || undefined,
        () => 'no requests any longer',
      );
    }
    running = false;
    await Promise.all(clients);
    agent.destroy();
    assert.deepEqual([...statuses.keys()], ['200'], JSON.stringify([...statuses]));
  });
});

describe('the shares of sources at the registry router', function () {
  this.timeout(60_000);
  const haproxy = needs(() => debianTool('haproxy'));
  const bounds = ['--source-connections', '5', '--source-requests', '40', '--source-refusals', '10'];
  let cell: FakeCell;
  let router: Router;
  before(async () => {
    cell = await startCell(1);
    router = await startRouter({ haproxy: haproxy(), cells: [routed(cell, 'town')], options: bounds });
  });
  after(async () => {
    await router?.stop();
    await cell?.stop();
  });

  /** Resolves with the status, or with 0 if the connection is closed. */
  const ask = (localAddress: string, token?: string): Promise<{ status: number; retryAfter?: string }> =>
    new Promise((resolve) => {
      const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
      const options = {
        host: '127.0.0.1',
        port: router.port,
        localAddress,
        path: '/v2/',
        headers,
        agent: false,
      };
      const sent = httpRequest(options, (response) => {
        const retryAfter = response.headers['retry-after'];
        response.resume();
        resolve({ status: response.statusCode ?? 0, ...(retryAfter && { retryAfter }) });
      });
      sent.once('error', () => resolve({ status: 0 })).end();
    });

  it('bound its requests, and nobody else’s', async () => {
    const statuses: number[] = [];
    for (let n = 0; n < 45; n++) statuses.push((await ask('127.0.0.3')).status);
    assert.deepEqual(statuses.slice(0, 40), Array(40).fill(401));
    assert.deepEqual(statuses.slice(40), Array(5).fill(429));
    assert.equal((await ask('127.0.0.3')).retryAfter, '10');
    assert.equal((await ask('127.0.0.4')).status, 401);
  });

  it('bound its forged tokens, and then all its tokens, and nobody else’s', async () => {
    const forged = await cell.sign({}, newKey());
    const statuses: number[] = [];
    for (let n = 0; n < 15; n++) statuses.push((await ask('127.0.0.5', forged)).status);
    assert.deepEqual(statuses, [...Array(11).fill(401), ...Array(4).fill(429)]);
    const valid = await cell.sign();
    assert.equal((await ask('127.0.0.5', valid)).status, 429);
    assert.equal((await ask('127.0.0.5')).status, 401, 'a request without a token costs nothing');
    assert.equal((await ask('127.0.0.6', valid)).status, 200);
  });

  it('bound its connections, and nobody else’s', async () => {
    const sockets = Array.from({ length: 8 }, () => {
      const socket = connect({ host: '127.0.0.1', port: router.port, localAddress: '127.0.0.7' });
      socket.on('error', () => undefined).resume();
      return socket;
    });
    await until(
      () => (sockets.filter(({ closed }) => closed).length === 3 ? true : undefined),
      () => `${sockets.filter(({ closed }) => closed).length} are closed`,
    );
    assert.equal((await ask('127.0.0.7')).status, 0);
    assert.equal((await ask('127.0.0.8')).status, 401);
    for (const socket of sockets) socket.destroy();
  });
});
