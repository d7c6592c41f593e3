import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { RequestListener, Server } from 'node:http';
import { get as httpsGet } from 'node:https';
import { type AddressInfo, createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toClientAddress, trustIn } from '../../../src/http/client-address.ts';
import type { ConnectionBounds } from '../../../src/http/listener/connections.ts';
import { createHttpServer, readTls, type ServerPeriods } from '../../../src/http/listener/server.ts';
import type { Site } from '../../support/processes/site.ts';
import { makeTls } from '../../support/processes/tls.ts';

const REQUEST = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const POST = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n';
/** As long as a test may take. */
const LONG_MS = 60_000;
const PATIENT: ServerPeriods = {
  headersMs: LONG_MS,
  requestMs: LONG_MS,
  keepAliveMs: LONG_MS,
  stallMs: 0,
  checkMs: 10,
};
const BOUNDS: ConnectionBounds = { total: 3, perAddress: 2, isTrusted: () => false, refusalMs: LONG_MS };
const answer: RequestListener = (_request, response) => void response.end('hello');

describe('connections', () => {
  const opened: { server: Server; sockets: Socket[] }[] = [];
  afterEach(() => {
    for (const { server, sockets } of opened.splice(0)) {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      server.close();
    }
  });

  interface Started {
    /** A new connection, from this loopback address. */
    readonly connect: (from?: string) => Promise<Client>;
  }

  async function start(
    periods: Partial<ServerPeriods>,
    connections?: Partial<ConnectionBounds>,
    listener = answer,
  ): Promise<Started> {
    const server = createHttpServer(listener, {
      headerBytes: 8192,
      tls: null,
      periods: { ...PATIENT, ...periods },
      ...(connections && { connections: { ...BOUNDS, ...connections } }),
    });
    const sockets: Socket[] = [];
    opened.push({ server, sockets });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    return {
      async connect(localAddress = '127.0.0.1') {
        const socket = createConnection({ port, host: '127.0.0.1', localAddress });
        sockets.push(socket);
        await once(socket, 'connect');
        return new Client(socket);
      },
    };
  }

  describe('that are slow', () => {
    const rows: [what: string, periods: Partial<ServerPeriods>, sent: string, drip: string][] = [
      ['to say anything', { headersMs: 100 }, '', ''],
      ['with the request line', { headersMs: 100 }, 'GET /', 'x'],
      ['with the headers, byte by byte', { headersMs: 100 }, 'GET / HTTP/1.1\r\nX: ', 'x'],
      ['with the body, byte by byte', { requestMs: 100, headersMs: 100 }, `${POST}\r\n`, 'x'],
    ];
    for (const [what, periods, sent, drip] of rows) {
      it(`${what} are told 408 and closed`, async () => {
        const { connect } = await start(periods, {}, (request, response) => {
          request
            .resume()
            .on('end', () => response.end())
            .on('error', () => undefined);
        });
        const client = await connect();
        client.write(sent);
        const dripping = setInterval(() => client.write(drip), 20);
        const text = await client.untilClosed();
        clearInterval(dripping);
        assert.match(text, /^HTTP\/1\.1 408 /);
        assert.match(text, /"code":"INVALID","message":"the request took too long to arrive"/);
      });
    }

    it('to read the answer are closed', async () => {
      let begin = (): void => undefined;
      const answering = new Promise<void>((resolve) => {
        begin = resolve;
      });
      const { connect } = await start({ stallMs: 100 }, {}, (_request, response) => {
        // More than the system takes off the server's hands.
        response.end(Buffer.alloc(32 * 1024 * 1024));
        begin();
      });
      const client = await connect();
      client.socket.pause();
      client.write(REQUEST);
      await answering;
      await until(async () => (await countOf(opened[0]?.server)) === 0);
    });

    it('to ask again are closed', async () => {
      const { connect } = await start({ keepAliveMs: 100 });
      const client = await connect();
      assert.match(await client.ask(), /^HTTP\/1\.1 200 /);
      await client.untilClosed();
    });
  });

  describe('that are too many', () => {
    it('from one address are told 503, and others are answered', async () => {
      const { connect } = await start({}, {});
      const [first, second] = [await connect(), await connect()];
      const third = await connect();
      const refusal = await third.ask();
      assert.match(refusal, /^HTTP\/1\.1 503 /);
      assert.match(refusal, /^retry-after: 1\r$/im);
      assert.match(refusal, /^connection: close\r$/im);
      assert.match(refusal, /^content-type: application\/json/im);
      assert.match(refusal, /\{"errors":\[\{"code":"UNAVAILABLE","message":"too many connections"/);
      assert.match(await (await connect('127.0.0.2')).ask(), /^HTTP\/1\.1 200 /);
      for (const client of [first, second]) assert.match(await client.ask(), /^HTTP\/1\.1 200 /);
    });

    it('in all are told 503, whoever they are', async () => {
      const { connect } = await start({}, {});
      const addresses = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];
      for (const address of addresses) assert.match(await (await connect(address)).ask(), /^HTTP\/1\.1 200 /);
      assert.match(await (await connect('127.0.0.4')).ask(), /^HTTP\/1\.1 503 /);
    });

    it('from a trusted proxy are only too many in all', async () => {
      const isTrusted = trustIn(['127.0.0.1/32']);
      assert.equal(isTrusted(toClientAddress('127.0.0.2')), false);
      const { connect } = await start({}, { isTrusted });
      for (let n = 0; n < BOUNDS.total; n++) assert.match(await (await connect()).ask(), /^HTTP\/1\.1 200 /);
      assert.match(await (await connect()).ask(), /^HTTP\/1\.1 503 /);
    });

    it('count before their TLS handshake, which a client may never finish', async () => {
      const dir = await mkdtemp(join(tmpdir(), 'cellpass-connections-'));
      const files = await makeTls({ dir } as Site, 'localhost');
      const tls = readTls({ certFile: files.CELLPASS_TLS_CERT, keyFile: files.CELLPASS_TLS_KEY });
      await rm(dir, { recursive: true });
      const server = createHttpServer(answer, {
        headerBytes: 8192,
        tls,
        periods: PATIENT,
        connections: { ...BOUNDS, total: 20, perAddress: 5, refusedAtOnce: 8 },
      });
      const sockets: Socket[] = [];
      opened.push({ server, sockets });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const { port } = server.address() as AddressInfo;
      const silent = Array.from({ length: 30 }, () => {
        const socket = createConnection({ port, host: '127.0.0.1' });
        socket.on('error', () => undefined);
        sockets.push(socket);
        return socket;
      });
      const statusFrom = (localAddress: string): Promise<number | undefined> =>
        new Promise((resolve, reject) => {
          const options = { port, host: '127.0.0.1', localAddress, rejectUnauthorized: false, agent: false };
          httpsGet(options, (response) => resolve(response.resume().statusCode)).on('error', reject);
        });
      // Five are admitted, and two wait for their 503; the server closes the others at once.
      await until(async () => silent.filter(({ closed }) => closed).length === 30 - 5 - 2);
      assert.equal(await statusFrom('127.0.0.2'), 200);
      silent.find(({ closed }) => !closed)?.destroy();
      await until(async () => (await countOf(server)) === 6);
    });

    it('make room when they close', async () => {
      const { connect } = await start({}, {});
      const first = await connect();
      await first.ask();
      await (await connect()).ask();
      assert.match(await (await connect()).ask(), /^HTTP\/1\.1 503 /);
      first.socket.destroy();
      await until(async () => /^HTTP\/1\.1 200 /.test(await (await connect()).ask()));
    });

    it('that the system refuses are reported, and end nothing', async () => {
      const errors: Error[] = [];
      const server = createHttpServer(answer, {
        headerBytes: 8192,
        tls: null,
        onAcceptError: (error) => errors.push(error),
      });
      opened.push({ server, sockets: [] });
      const beforeListening = new Error('listen EACCES');
      server.emit('error', beforeListening);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const refused = [new Error('accept EMFILE'), new Error('accept ENFILE')];
      for (const error of refused) server.emit('error', error);
      assert.deepEqual(errors, refused);
    });

    it('and say nothing are closed soon', async () => {
      const { connect } = await start({}, { total: 1, refusalMs: 50 });
      const first = await connect();
      const idle = await connect();
      assert.equal(await idle.untilClosed(), '');
      assert.match(await first.ask(), /^HTTP\/1\.1 200 /);
    });
  });
});

/** A connection that sends bytes as they are. */
class Client {
  readonly socket: Socket;
  #text = '';

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('utf8').on('data', (chunk) => {
      this.#text += chunk;
    });
    // The server may close while we still write.
    socket.on('error', () => undefined);
  }

  write(text: string): void {
    if (this.socket.writable) this.socket.write(text);
  }

  /** What has come by the end. */
  async untilClosed(): Promise<string> {
    if (!this.socket.closed) await once(this.socket, 'close');
    return this.#text;
  }

  /** One request and its answer, as text. */
  async ask(): Promise<string> {
    this.#text = '';
    this.write(REQUEST);
    await until(async () => /\r\n\r\n[\s\S]/.test(this.#text) || this.socket.closed);
    return this.#text;
  }
}

async function until(check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await check())) {
    assert.ok(Date.now() < deadline, 'took too long');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function countOf(server: Server | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    if (server === undefined) return resolve(0);
    server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
  });
}
