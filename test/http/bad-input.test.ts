import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createConnection } from 'node:net';
import request from 'supertest';
import { loadConfig } from '../../src/config/load.ts';
import { assertError } from '../support/reading.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const { limits } = loadConfig({});
const basic = (text: string | Uint8Array): string =>
  `Basic ${Buffer.from(text as string).toString('base64')}`;

describe('bad input', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.apply({
      users: [{ username: 'alice', password: 'correct horse' }],
      projects: [{ path: 'alice/app', visibility: 'public' }],
    });
  });
  after(() => server.close());

  const get = (query: string) => request(server.app).get(`/jwt/auth?service=container_registry${query}`);
  const post = (form: string) => request(server.app).post('/jwt/auth').type('form').send(form);

  describe('in the Authorization header', () => {
    const refused: [what: string, header: string][] = [
      ['is not base64', 'Basic !!!'],
      ['has no colon', basic('alice')],
      ['is empty', 'Basic '],
      ['is invalid UTF-8', basic(new Uint8Array([0x61, 0x3a, 0xff]))],
      ['has a NUL in the name', basic('al\0ice:correct horse')],
      ['has a NUL in the password', basic('alice:correct\0 horse')],
    ];
    for (const [what, header] of refused) {
      it(`is 401 when it ${what}`, async () => {
        assertError(
          await get('&scope=repository:alice/app:pull').set('Authorization', header),
          401,
          'UNAUTHORIZED',
        );
      });
    }

    it('is as good as none when it is of another scheme', async () => {
      await get('&scope=repository:alice/app:pull').set('Authorization', 'Bearer abc').expect(200);
    });
  });

  describe('in the lengths', () => {
    const credentials: [what: string, username: string, password: string, status: number][] = [
      ['a user name at the limit', 'a'.repeat(limits.usernameBytes), 'x', 401],
      ['a user name over the limit', 'a'.repeat(limits.usernameBytes + 1), 'x', 400],
      ['a user name over the limit in bytes', 'å'.repeat(limits.usernameBytes / 2 + 1), 'x', 400],
      ['a password at the limit', 'alice', 'a'.repeat(limits.passwordBytes), 401],
      ['a password over the limit', 'alice', 'a'.repeat(limits.passwordBytes + 1), 400],
    ];
    for (const [what, username, password, status] of credentials) {
      it(`${what} is ${status}, by GET and by POST`, async () => {
        const code = status === 400 ? 'SIZE_INVALID' : 'UNAUTHORIZED';
        assertError(await get('').set('Authorization', basic(`${username}:${password}`)), status, code);
        const form = new URLSearchParams({
          grant_type: 'password',
          service: 'container_registry',
          username,
          password,
        });
        assertError(await post(form.toString()), status, code);
      });
    }

    it('64 long scopes are answered, also by name in the token', async () => {
      const long = `alice/app/${'a'.repeat(220)}`;
      const scopes = Array.from({ length: 64 }, (_, n) => `&scope=repository:${long}${n}:pull,push`).join('');
      const { body } = await get(scopes).set('Authorization', basic('alice:correct horse')).expect(200);
      assert.equal((await server.verify(body.token)).access.length, 64);
    });

    it('65 scopes are refused, however they come', async () => {
      const scopes = Array.from({ length: 65 }, () => 'repository:alice/app:pull');
      assertError(await get(scopes.map((scope) => `&scope=${scope}`).join('')), 400, 'SIZE_INVALID');
      assertError(await get(`&scope=${scopes.join('+')}`), 400, 'SIZE_INVALID');
      const form = new URLSearchParams({
        grant_type: 'password',
        username: 'a',
        password: 'b',
        scope: scopes.join(' '),
      });
      assertError(await post(form.toString()), 400, 'SIZE_INVALID');
    });

    it('sizes are looked at before credentials', async () => {
      const scopes = Array.from({ length: 65 }, () => '&scope=repository:alice/app:pull').join('');
      assertError(await get(scopes).set('Authorization', basic('alice:wrong')), 400, 'SIZE_INVALID');
    });

    const POST = 'POST /jwt/auth HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n';
    const bodies: [what: string, parts: readonly string[]][] = [
      ['that is declared, and never sent', [`${POST}Content-Length: ${limits.bodyBytes + 1}\r\n\r\n`]],
      [
        'that comes in chunks',
        [
          `${POST}Transfer-Encoding: chunked\r\n\r\n`,
          ...Array.from({ length: 5 }, () => `4000\r\n${'y'.repeat(0x4000)}\r\n`),
        ],
      ],
    ];
    for (const [what, parts] of bodies) {
      it(`a body over the limit ${what} is 400, and the connection is closed`, async () => {
        const answer = await exchange(server, parts);
        assert.deepEqual([answer.status, answer.body.errors[0]['code']], [400, 'SIZE_INVALID']);
        assert.match(answer.head, /^connection: close$/im);
      });
    }

    it("a body that ends before it is all there is nobody's fault but the client's", async () => {
      const { port } = server.app.address() as AddressInfo;
      const socket = createConnection(port, '127.0.0.1');
      socket.write(`${POST}Content-Length: 100\r\n\r\ngrant_type=`);
      await once(socket, 'connect');
      const noted = () => server.log.find(({ reason }) => reason === 'body_cut_off');
      const deadline = Date.now() + 10_000;
      while (noted() === undefined) {
        assert.ok(Date.now() < deadline, 'not in the log');
        // Whatever is answered meanwhile comes later.
        await get('');
        socket.destroy();
      }
      assert.deepEqual([noted()?.['level'], noted()?.['status']], ['info', 400]);
    });

    it('a body at the limit is read', async () => {
      const form = 'grant_type=password&username=a&password=b&x=';
      assertError(await post(form.padEnd(limits.bodyBytes, 'y')), 401, 'UNAUTHORIZED');
      assertError(await post(form.padEnd(limits.bodyBytes + 1, 'y')), 400, 'SIZE_INVALID');
    });
  });

  describe('that is no request at all', () => {
    const rows: [what: string, text: string, status: number, code: string][] = [
      [
        'a query of 1 MB',
        `GET /jwt/auth?scope=${'a'.repeat(1_000_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
        431,
        'SIZE_INVALID',
      ],
      [
        'a header of 1 MB',
        `GET /jwt/auth HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(1_000_000)}\r\n\r\n`,
        431,
        'SIZE_INVALID',
      ],
      ['garbage', 'hello there\r\n\r\n', 400, 'INVALID'],
      [
        'two lengths',
        'POST /jwt/auth HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
        400,
        'INVALID',
      ],
    ];
    for (const [what, text, status, code] of rows) {
      it(`${what} is ${status} with a body like every other error`, async () => {
        const answer = await exchange(server, [text]);
        const [error] = answer.body.errors;
        assert.deepEqual(
          [answer.status, error['code'], Object.keys(error)],
          [status, code, ['code', 'message', 'detail']],
        );
        assert.match(error['detail'] ?? '', /^request [0-9a-f-]{36}$/);
        assert.match(answer.head, /^content-type: application\/json/im);
      });
    }
  });

  describe('in scopes', () => {
    const dropped = [
      '*',
      'repository:a',
      'repository::pull',
      'repository:alice/app',
      'repository:alice/app:',
      'invalid:aa:bb',
      'repository:alice/app:foo',
      'repository:reg.example.com:5000/alice/app:pull',
      'repository:alice//app:pull',
      'repository:alice/app/:pull',
      'repository:alice/../app:pull',
      'repository:alice/app%2fx:pull',
      'repository:alice/app\0:pull',
      'repository:\u212aelvin/app:pull',
      'repository:alice/ａpp:pull',
      'repository:alice/app:pull:',
      ':::',
      'registry:catalog:pull',
      'registry:nothing:*',
    ];
    for (const scope of dropped) {
      it(`${JSON.stringify(scope)} is dropped`, async () => {
        const { body } = await get(`&scope=${encodeURIComponent(scope)}`)
          .set('Authorization', basic('alice:correct horse'))
          .expect(200);
        assert.deepEqual((await server.verify(body.token)).access, []);
      });
    }

    it('invalid UTF-8 is dropped', async () => {
      const { body } = await get('&scope=repository:alice/%ff%fe:pull&scope=%E0%A4%A')
        .set('Authorization', basic('alice:correct horse'))
        .expect(200);
      assert.deepEqual((await server.verify(body.token)).access, []);
    });

    it('upper case is the same name in lower case', async () => {
      const { body } = await get('&scope=repository:Alice/APP:pull').expect(200);
      assert.deepEqual((await server.verify(body.token)).access[0]?.name, 'alice/app');
    });
  });

  describe('in the service', () => {
    const services: [what: string, query: string][] = [
      ['missing', ''],
      ['empty', 'service='],
      ['unknown', 'service=other'],
      ['two at once', 'service=container_registry&service=other'],
      ['a prototype of everything', 'service=__proto__'],
    ];
    for (const [what, query] of services) {
      it(`${what} is 404`, async () => {
        const response = await request(server.app).get(`/jwt/auth?${query}&scope=repository:alice/app:pull`);
        assertError(response, 404, 'UNSUPPORTED');
      });
    }

    it('the same one twice is the same one', async () => {
      await get('&service=container_registry&scope=repository:alice/app:pull').expect(200);
    });
  });

  describe('in the form', () => {
    const forms: [what: string, type: string, body: string, status: number][] = [
      ['no grant type', 'application/x-www-form-urlencoded', 'username=alice&password=correct+horse', 404],
      ['another grant type', 'application/x-www-form-urlencoded', 'grant_type=client_credentials', 404],
      [
        'JSON',
        'application/json',
        '{"grant_type":"password","username":"alice","password":"correct horse"}',
        404,
      ],
      ['nothing', 'application/x-www-form-urlencoded', '', 404],
      [
        'a refresh token',
        'application/x-www-form-urlencoded',
        'grant_type=refresh_token&refresh_token=x',
        401,
      ],
      ['nobody', 'application/x-www-form-urlencoded', 'grant_type=password&service=container_registry', 401],
      [
        'a NUL',
        'application/x-www-form-urlencoded',
        'grant_type=password&username=alice%00&password=correct+horse',
        401,
      ],
      [
        'invalid UTF-8',
        'application/x-www-form-urlencoded',
        'grant_type=password&username=alice&password=%ff',
        401,
      ],
    ];
    for (const [what, type, body, status] of forms) {
      it(`${what} is ${status}, and never an anonymous token`, async () => {
        const response = await request(server.app).post('/jwt/auth').set('Content-Type', type).send(body);
        assertError(response, status, status === 404 ? 'UNSUPPORTED' : 'UNAUTHORIZED');
      });
    }
  });

  it('in paths and methods is a JSON error, with the methods that a path takes', async () => {
    assertError(await request(server.app).get('/nowhere'), 404, 'UNSUPPORTED');
    assertError(await request(server.app).get('/jwt/auth/x'), 404, 'UNSUPPORTED');
    assertError(await request(server.app).get('/%E0%A4%A'), 404, 'UNSUPPORTED');
    for (const method of ['put', 'patch', 'delete', 'options'] as const) {
      const response = await request(server.app)[method]('/jwt/auth');
      assertError(response, 405, 'UNSUPPORTED');
      assert.equal(response.headers['allow'], 'HEAD, GET, POST');
    }
  });

  it('HEAD is GET without a body', async () => {
    const path = '/jwt/auth?service=container_registry&scope=repository:alice/app:pull';
    for (const query of [path, `${path},push`, '/jwt/auth', '/nowhere']) {
      const [get, head] = [await request(server.app).get(query), await request(server.app).head(query)];
      assert.deepEqual([head.status, head.text], [get.status, undefined]);
      assert.equal(head.headers['content-type'], get.headers['content-type']);
    }
  });
});

interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: { readonly errors: readonly [Record<string, string>] };
}

/** Sends bytes as they are, and reads until the server closes. */
async function exchange(server: TestServer, parts: readonly string[]): Promise<Answer> {
  const { port } = server.app.address() as AddressInfo;
  const socket = createConnection(port, '127.0.0.1');
  let answer = '';
  socket.setEncoding('utf8').on('data', (chunk) => {
    answer += chunk;
  });
  // The server may close while we still write.
  socket.on('error', () => undefined);
  for (const part of parts) socket.write(part);
  await once(socket, 'close');
  const [head = '', body = ''] = answer.split('\r\n\r\n');
  return { status: Number(head.split(' ')[1]), head, body: JSON.parse(body) };
}
