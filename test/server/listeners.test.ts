import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import Koa from 'koa';
import { loadConfig } from '../../src/config/load.ts';
import type { UnreadRequest } from '../../src/http/listener/unread-requests.ts';
import type { RequestState } from '../../src/http/request-state.ts';
import { type Closers, closeAll } from '../../src/server/closers.ts';
import { openMetricsListener } from '../../src/server/listeners.ts';
import { freePort } from '../support/database/postgres.ts';

describe('the listener of the metrics', () => {
  const quiet = () => undefined;
  const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
  const opened: Closers = [];
  const sockets: Socket[] = [];
  after(async () => {
    for (const socket of sockets) socket.destroy();
    await closeAll(opened);
  });

  it('takes no more connections than the others may', async () => {
    const port = await freePort();
    const config = loadConfig({ CELLPASS_METRICS_LISTEN: `127.0.0.1:${port}` });
    const connections = { ...config.limits.connections, total: 1 };
    const metrics = new Koa<RequestState>();
    const unread: string[] = [];
    const observeUnread = ({ reason }: UnreadRequest): void => void unread.push(reason);
    metrics.use((ctx) => {
      ctx.body = 'metrics';
    });
    await openMetricsListener(
      { ...config, limits: { ...config.limits, connections } },
      { metrics, observeUnread },
      { log, closers: opened },
    );
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
