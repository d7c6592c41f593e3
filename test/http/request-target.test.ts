import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { startTestServer, type TestServer } from '../support/server.ts';

describe("a request's target", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.close());

  async function ask(target: string): Promise<{ readonly status: number; readonly body: string }> {
    const socket = connect((server.app.address() as AddressInfo).port, '127.0.0.1');
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
    socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    await once(socket, 'close');
    const [head = '', body = ''] = text.split('\r\n\r\n');
    return { status: Number(head.split(' ')[1]), body };
  }

  const unreadable = ['http://[', 'http://[::1/jwt/auth', 'http://a:b@[x/', 'foo://x', 'http://a:99999/'];
  for (const target of unreadable) {
    it(`${target}: 400 with a request id, and a log line`, async () => {
      const lines = server.log.length;
      const { status, body } = await ask(target);
      assert.equal(status, 400);
      const [error] = JSON.parse(body).errors;
      assert.equal(error.code, 'INVALID');
      const line = server.log.slice(lines).find(({ message }) => message === 'request');
      assert.equal(error.detail, `request ${line?.['request_id']}`);
    });
  }

  const readable: [target: string, status: number][] = [
    ['/healthz', 200],
    ['http://other.example/healthz', 200],
    ['HTTPS://other.example:8443/healthz?x=1', 200],
    ['http://other.example', 404],
    ['*', 404],
  ];
  for (const [target, status] of readable) {
    it(`${target}: read as the path`, async () => assert.equal((await ask(target)).status, status));
  }
});
