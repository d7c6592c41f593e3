import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { oneAtATime } from '../../../src/http/listener/one-at-a-time.ts';
import { createPlaces } from '../../../src/shares/places.ts';

describe('the requests of one connection', () => {
  let server: Server;
  let sockets: Socket[];
  let kept: ReturnType<typeof createPlaces>;
  let open: Set<ServerResponse>;
  let most: number;
  let begun: number;
  let isSlow: boolean;

  beforeEach(async () => {
    sockets = [];
    open = new Set();
    most = 0;
    begun = 0;
    isSlow = false;
    kept = createPlaces({ total: 5000, perHolder: 5000 });
    server = createServer(
      oneAtATime(
        (request, response) => {
          begun += 1;
          open.add(response);
          most = Math.max(most, open.size);
          response.once('finish', () => open.delete(response));
          let bytes = 0;
          request.on('data', (chunk: Buffer) => {
            bytes += chunk.length;
          });
          request.on('end', () => {
            if (!isSlow) setImmediate(() => response.end(`[${request.url} ${bytes}]`));
          });
        },
        { kept, holderOf: () => 'one' },
      ),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    server.closeAllConnections();
    server.close();
  });

  const connected = async (): Promise<Socket> => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    sockets.push(socket);
    socket.setEncoding('utf8').on('error', () => undefined);
    await once(socket, 'connect');
    return socket;
  };
  const get = (n: number): string => `GET /${n} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const post = (n: number): string => `POST /${n} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello`;
  const read = async (socket: Socket, done: (text: string) => boolean): Promise<string> => {
    let text = '';
    for await (const chunk of socket) {
      text += chunk;
      if (done(text)) break;
    }
    return text;
  };
  const until = async (check: () => boolean): Promise<void> => {
    const endsMs = Date.now() + 10_000;
    while (!check()) {
      assert.ok(Date.now() < endsMs, 'took too long');
      await new Promise((resolve) => setImmediate(resolve));
    }
  };

  it('are answered one after the other, in order, with their bodies', async () => {
    const count = 3000;
    const socket = await connected();
    socket.write(Array.from({ length: count }, (_, n) => (n % 2 === 0 ? get(n) : post(n))).join(''));
    const text = await read(socket, (so) => so.includes(`[/${count - 1} `));
    const answers = [...text.matchAll(/\[\/(\d+) (\d)\]/g)].map(([, path, bytes]) => `${path} ${bytes}`);
    assert.deepEqual(
      answers,
      Array.from({ length: count }, (_, n) => `${n} ${n % 2 === 0 ? 0 : 5}`),
    );
    assert.deepEqual([most, kept.held()], [1, 0]);
  });

  it('are not begun, nor kept, when the client goes away', async () => {
    isSlow = true;
    const socket = await connected();
    socket.write(Array.from({ length: 100 }, (_, n) => get(n)).join(''));
    await until(() => kept.held() === 99);
    socket.destroy();
    await once(socket, 'close');
    // Nobody reads the connection, so only an answer finds out that the client has gone.
    isSlow = false;
    for (const response of open) response.end('x'.repeat(1_000_000));
    await until(() => kept.held() === 0);
    assert.ok(begun < 10, `${begun}`);
  });

  it('are read no further meanwhile', async () => {
    isSlow = true;
    const socket = await connected();
    const all = Array.from({ length: 200_000 }, (_, n) => get(n)).join('');
    socket.write(all);
    await until(() => kept.held() > 0);
    // The rest waits in the buffers of the system, and then in the client's own.
    await until(() => socket.writableLength > 0);
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(kept.held() < 5000, `${kept.held()}`);
    assert.equal(begun, 1);
    assert.ok(!socket.destroyed);
  });

  it('of other connections do not wait for them', async () => {
    isSlow = true;
    const slow = await connected();
    slow.write(get(1) + get(2));
    await until(() => begun === 1);
    isSlow = false;
    const other = await connected();
    other.write(get(3));
    assert.match(await read(other, (text) => text.includes(']')), /\[\/3 0\]/);
  });

  it('that are over the share of their holder close the connection', async () => {
    isSlow = true;
    const first = await connected();
    for (let n = 0; n < 4999; n++) kept.take('one');
    first.write(get(0) + get(1));
    await until(() => kept.held() === 5000);
    const second = await connected();
    second.write(get(0) + get(1));
    second.resume();
    await once(second, 'close');
    assert.ok(!first.destroyed);
  });

  it('can end their connection', async () => {
    const socket = await connected();
    socket.write(`${get(0)}GET /1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    const text = await read(socket, () => false);
    assert.deepEqual(
      [...text.matchAll(/\[\/(\d)/g)].map(([, n]) => n),
      ['0', '1'],
    );
    await until(() => kept.held() === 0);
  });
});
