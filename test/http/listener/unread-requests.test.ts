import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { createHttpServer, readTls } from '../../../src/http/listener/server.ts';
import { observeUnread, type UnreadRequest } from '../../../src/http/listener/unread-requests.ts';
import { makeTls } from '../../support/processes/tls.ts';

type Line = Readonly<Record<string, unknown>> & { readonly level: string };

type Site = Parameters<typeof makeTls>[0];

describe('requests that Node refuses before they are read', () => {
  let server: Server;
  let registry: Registry;
  let lines: Line[];
  let nowMs: number;
  let observe: (request: UnreadRequest) => void;
  before(async () => {
    server = createHttpServer((_request, response) => void response.end('hello'), {
      headerBytes: 8192,
      tls: null,
      observeUnread: (request) => observe(request),
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach(() => {
    registry = new Registry();
    lines = [];
    nowMs = 0;
    const record = (level: string) => (fields: object) => void lines.push({ level, ...fields });
    const log = { info: record('info'), warn: record('warn') };
    observe = observeUnread({ registry, log, monotonicMs: () => nowMs });
  });

  /** Sends the bytes and reads until the server closes. */
  async function send(bytes: string | Buffer): Promise<{ status: number; id: string }> {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    let answer = '';
    socket.setEncoding('utf8').on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('error', () => undefined);
    socket.write(bytes);
    await once(socket, 'close');
    const [head = '', body = ''] = answer.split('\r\n\r\n');
    return {
      status: Number(head.split(' ')[1]),
      id: String(JSON.parse(body).errors[0].detail).replace('request ', ''),
    };
  }

  const count = async (reason: string): Promise<number> => {
    const [metric] = await registry.getMetricsAsJSON();
    const values = (metric?.values ?? []) as { labels: { reason: string }; value: number }[];
    return values.find(({ labels }) => labels.reason === reason)?.value ?? 0;
  };

  const CLIENT_HELLO = Buffer.from('16030100c8010000c40303', 'hex');
  const PROXY_V2 = Buffer.concat([
    Buffer.from('\r\n\r\n\0\r\nQUIT\n'),
    Buffer.from('2111000c7f0000017f00000100500050', 'hex'),
  ]);
  const rows: [what: string, bytes: string | Buffer, status: number, reason: string, hint: RegExp | null][] =
    [
      ['TLS on a plain port', CLIENT_HELLO, 400, 'tls_on_a_plain_port', /CELLPASS_TLS_CERT/],
      [
        'PROXY protocol 1',
        'PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n',
        400,
        'proxy_protocol',
        /PROXY/,
      ],
      ['PROXY protocol 2', PROXY_V2, 400, 'proxy_protocol', /X-Forwarded-For/],
      ['what is no HTTP', 'hello\r\n\r\n', 400, 'not_http', null],
      ['a header that is none', 'GET / HTTP/1.1\r\nHost : x\r\n\r\n', 400, 'not_http', null],
      ['large headers', `GET / HTTP/1.1\r\nX: ${'x'.repeat(9000)}\r\n\r\n`, 431, 'headers_too_large', null],
    ];
  for (const [what, bytes, status, reason, hint] of rows) {
    it(`${what}: ${status}, counted, and in the log with the id that the client got`, async () => {
      const answer = await send(bytes);
      assert.equal(answer.status, status);
      assert.equal(await count(reason), 1);
      const [line, ...others] = lines;
      assert.deepEqual(others, []);
      assert.deepEqual(
        [line?.['request_id'], line?.['reason'], line?.['status'], line?.['client']],
        [answer.id, reason, status, '127.0.0.1'],
      );
      if (hint === null) assert.deepEqual([line?.level, line?.['hint']], ['info', undefined]);
      else assert.match(String(line?.['hint']), hint);
      assert.ok(!JSON.stringify(line).includes('xxx'), 'nothing of what the client sent');
    });
  }

  it('plain HTTP on a TLS port: counted, with a hint; the client gets no answer that it could read', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'cellpass-unread-'));
    const { CELLPASS_TLS_CERT: certFile, CELLPASS_TLS_KEY: keyFile } = await makeTls(
      { dir } as Site,
      'localhost',
    );
    const tlsServer = createHttpServer((_request, response) => void response.end('hello'), {
      headerBytes: 8192,
      tls: readTls({ certFile, keyFile }),
      observeUnread: (request) => observe(request),
    });
    try {
      await new Promise<void>((resolve) => tlsServer.listen(0, '127.0.0.1', resolve));
      for (const bytes of ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'hello hello hello\r\n']) {
        const socket = connect((tlsServer.address() as AddressInfo).port, '127.0.0.1');
        socket.on('error', () => undefined).resume();
        socket.write(bytes);
        await once(socket, 'close');
      }
      assert.deepEqual(
        lines.map(({ level, reason, status }) => [level, reason, status]),
        [
          ['warn', 'plain_http_on_a_tls_port', null],
          ['info', 'tls_handshake', null],
        ],
      );
      assert.match(String(lines[0]?.['hint']), /https/);
      assert.equal(await count('tls_handshake'), 1);
    } finally {
      tlsServer.closeAllConnections();
      tlsServer.close();
      await rm(dir, { recursive: true });
    }
  });

  it('fill no log: ten lines a minute, all of them counted, and the next line says how many are missing', async () => {
    const request: UnreadRequest = { reason: 'not_http', status: 400, requestId: 'id', client: '192.0.2.1' };
    for (let sent = 0; sent < 25; sent++) observe(request);
    assert.equal(lines.length, 10);
    nowMs = 59_999;
    observe(request);
    assert.equal(lines.length, 10);
    nowMs = 60_000;
    observe(request);
    assert.deepEqual([lines.length, lines.at(-1)?.['not_logged']], [11, 16]);
    observe(request);
    assert.equal(lines.at(-1)?.['not_logged'], undefined);
    assert.equal(await count('not_http'), 28);
  });
});
