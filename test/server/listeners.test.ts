import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import Koa from 'koa';
import { loadConfig } from '../../src/config/load.ts';
import { listenOnTcp } from '../../src/http/listener/server.ts';
import type { UnreadRequest } from '../../src/http/listener/unread-requests.ts';
import type { RequestState } from '../../src/http/request-state.ts';
import { createCertificate } from '../../src/server/certificate.ts';
import { type Closers, closeAll } from '../../src/server/closers.ts';
import { bindAdminListener, bindMetricsListener, bindPublicListener } from '../../src/server/listeners.ts';

const quiet = () => undefined;
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
const certificate = createCertificate(null);

describe('a listener that is bound', () => {
  const opened: Closers = [];
  const inputs = { certificate, log, closers: opened };
  const app = new Koa<RequestState>();
  app.use((ctx) => {
    ctx.body = 'ready';
  });
  afterEach(() => closeAll(opened));

  const listeners: [variable: string, bind: typeof bindMetricsListener][] = [
    ['CELLPASS_LISTEN', bindPublicListener],
    ['CELLPASS_ADMIN_LISTEN', bindAdminListener],
    ['CELLPASS_METRICS_LISTEN', bindMetricsListener],
  ];
  for (const [variable, bind] of listeners) {
    it(`${variable}: answers 503 until it has an app, and knows the port it was given`, async () => {
      const listener = await bind(loadConfig({ [variable]: '127.0.0.1:0' }), inputs);
      assert.match(listener?.address ?? '', /^127\.0\.0\.1:[1-9]\d*$/);
      assert.equal(listener?.url, `http://${listener?.address}`);
      const early = await fetch(`${listener?.url}/readyz`);
      assert.deepEqual([early.status, early.headers.get('retry-after')], [503, '1']);
      assert.match(await early.text(), /the server is starting/);
      listener?.answerWith({ app, observeUnread: quiet });
      assert.equal(await (await fetch(`${listener?.url}/readyz`)).text(), 'ready');
    });

    it(`${variable}: a port in use is refused by this name`, async () => {
      const holder = createServer().listen(0, '127.0.0.1');
      await once(holder, 'listening');
      const { port } = holder.address() as AddressInfo;
      try {
        await assert.rejects(bind(loadConfig({ [variable]: `127.0.0.1:${port}` }), inputs), {
          code: 'conflict',
          message: `${variable}: can't listen on 127.0.0.1:${port}: another process listens there: stop it, or choose another address`,
        });
      } finally {
        holder.close();
      }
    });
  }

  it('closes before what was opened in between, which its last answers need', async () => {
    const closed: string[] = [];
    const listener = await bindPublicListener(loadConfig({ CELLPASS_LISTEN: '127.0.0.1:0' }), inputs);
    opened.push(async () => {
      const isOpen = await fetch(`${listener.url}/`).then(
        () => true,
        () => false,
      );
      closed.push(isOpen ? 'database first' : 'listener first');
    });
    listener.answerWith({ app, observeUnread: quiet });
    await closeAll(opened);
    assert.deepEqual(closed, ['listener first']);
  });

  it('prints an IPv6 address in brackets', async function () {
    const listener = await bindPublicListener(loadConfig({ CELLPASS_LISTEN: '[::1]:0' }), inputs).catch(
      () => null,
    );
    if (listener === null) return this.skip();
    assert.match(listener.address, /^\[::1\]:[1-9]\d*$/);
  });

  const refusals: [code: string, advice: RegExp][] = [
    ['EACCES', /from 1024 on, or give the process CAP_NET_BIND_SERVICE/],
    ['EADDRNOTAVAIL', /no such address: choose/],
    ['EAFNOSUPPORT', /no IPv6: choose an IPv4 address/],
    ['ENOTFOUND', /no such host name: choose/],
  ];
  for (const [code, advice] of refusals) {
    it(`says what to do at ${code}`, async () => {
      const server = createServer();
      server.listen = () => {
        setImmediate(() => server.emit('error', Object.assign(new Error(`listen ${code}`), { code })));
        return server;
      };
      await assert.rejects(listenOnTcp(server as HttpServer, { host: '127.0.0.1', port: 443 }), {
        code: 'conflict',
        message: advice,
      });
    });
  }
});

describe('the listener of the metrics', () => {
  const opened: Closers = [];
  const sockets: Socket[] = [];
  after(async () => {
    for (const socket of sockets) socket.destroy();
    await closeAll(opened);
  });

  it('takes no more connections than the others may', async () => {
    const config = loadConfig({ CELLPASS_METRICS_LISTEN: '127.0.0.1:0' });
    const connections = { ...config.limits.connections, total: 1 };
    const metrics = new Koa<RequestState>();
    const unread: string[] = [];
    const observeUnread = ({ reason }: UnreadRequest): void => void unread.push(reason);
    metrics.use((ctx) => {
      ctx.body = 'metrics';
    });
    const listener = await bindMetricsListener(
      { ...config, limits: { ...config.limits, connections } },
      { certificate, log, closers: opened },
    );
    listener?.answerWith({ app: metrics, observeUnread });
    const port = Number(listener?.address.split(':').at(-1));
    const ask = async (): Promise<string> => {
      const socket = connect(port, '127.0.0.1');
      sockets.push(socket);
      socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
      const [answer] = await once(socket, 'data');
      return String(answer).slice(0, 'HTTP/1.1 200'.length);
    };
    assert.deepEqual([await ask(), await ask()], ['HTTP/1.1 200', 'HTTP/1.1 503']);
    assert.deepEqual(unread, ['connections']);
  });
});
