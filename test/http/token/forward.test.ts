import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Cell } from '../../../src/cells/topology.ts';
import { CellpassError } from '../../../src/errors.ts';
import { createForwarder, type Forwarder } from '../../../src/http/token/forward.ts';

/** Longer than any test. */
const LONG_MS = 60_000;

describe('a request that waited before it is forwarded', () => {
  let silent: Server;
  let sockets: Socket[];
  let forwarder: Forwarder;
  before(async () => {
    sockets = [];
    silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
  });
  after(() => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  afterEach(() => forwarder.close());

  const forward = (waitedMs: number, password = 'glpat-token') => {
    const cell: Cell = {
      id: 2,
      legacy: false,
      url: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`,
      registryUrl: null,
      issuer: null,
      topologyHosts: [],
      audiences: [],
      namespaces: [],
    };
    const incoming = {
      form: null,
      credentials: { username: 'alice', password },
      webPage: null,
      search: '',
      authorization: 'Basic eDp5',
      userAgent: '',
      clientAddress: '192.0.2.1',
      network: '192.0.2.1',
      startedAtMs: performance.now() - waitedMs,
    };
    return forwarder.forward(incoming, { cell, self: 1, takesCredentials: true });
  };
  const isAway = (error: unknown): boolean => error instanceof CellpassError && error.reason === 'cell_away';

  it('has less time for the other cell, so that the client has its answer within 4 s', async () => {
    forwarder = createForwarder({ deadlineMs: LONG_MS });
    await assert.rejects(forward(LONG_MS + 800), isAway);
    await assert.rejects(forward(2 * LONG_MS), isAway);
  });

  it('has its whole time where it waited little, or where its secret may be a password', async () => {
    forwarder = createForwarder({ deadlineMs: 50, passwordDeadlineMs: 200 });
    for (const [waitedMs, password, leastMs] of [
      [800, 'glpat-token', 45],
      [5000, 'correct horse', 195],
    ] as const) {
      const begun = performance.now();
      await assert.rejects(forward(waitedMs, password), isAway);
      assert.ok(performance.now() - begun >= leastMs);
    }
  });
});
