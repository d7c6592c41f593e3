import assert from 'node:assert/strict';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  createTopologyService,
  type TopologyService,
  type TopologyServiceCalls,
} from '../../src/cells/topology-service/client.ts';
import { CellpassError } from '../../src/errors.ts';

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

/** Longer than any test: no answer here is late because the machine is busy. */
const NEVER_MS = 60_000;

const STRANGER = { network: '192.0.2.1', gone: () => new AbortController().signal };

const SILENT = { error: () => undefined };

const isUnavailable = (error: unknown): boolean =>
  error instanceof CellpassError && error.code === 'unavailable';

describe('the client of the Topology Service', () => {
  let server: Server;
  let service: TopologyService;
  let asked: Asked[];
  let nowMs: number;
  let answer: (response: ServerResponse, value: string) => void;

  const proxy = (response: ServerResponse, value: string): void => {
    response.end(JSON.stringify({ action: 'PROXY', proxy: { address: `${value}.EXAMPLE.com` } }));
  };
  const status =
    (code: number, body = '{}') =>
    (response: ServerResponse) => {
      response.writeHead(code, { 'Content-Type': 'application/json' }).end(body);
    };

  let calls: TopologyServiceCalls;
  const serviceOf = (timeoutMs: number): TopologyService => {
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}`;
    const tls = { caFile: null, certificate: null };
    return createTopologyService({ url, timeoutMs, tls, log: SILENT, monotonicMs: () => nowMs, calls });
  };

  beforeEach(async () => {
    calls = { answered: 0, failed: 0, notAsked: 0 };
    asked = [];
    nowMs = 0;
    answer = proxy;
    server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const body: { claims: { route: string }[] } = JSON.parse(Buffer.concat(chunks).toString());
      asked.push({ method: request.method ?? '', path: request.url ?? '', body });
      answer(response, body.claims[0]?.route ?? '');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    service = serviceOf(NEVER_MS);
  });

  afterEach(async () => {
    server.closeAllConnections();
    server.close();
    await service.close();
  });

  it('asks for a route, and hears the host of a cell', async () => {
    assert.equal(await service.classify('acme', STRANGER), 'acme.example.com');
    assert.deepEqual(asked, [
      {
        method: 'POST',
        path: '/v1/classify',
        body: { claims: [{ route: 'acme' }, { redirectRoute: 'acme' }] },
      },
    ]);
  });

  it('hears from a 404 that nobody claims a name', async () => {
    answer = status(404);
    assert.equal(await service.classify('nobody', STRANGER), null);
  });

  it('remembers a claim for a minute, and that there is none for ten seconds', async () => {
    await service.classify('acme', STRANGER);
    answer = status(404);
    await service.classify('nobody', STRANGER);
    nowMs = 9999;
    await service.classify('acme', STRANGER);
    await service.classify('nobody', STRANGER);
    assert.equal(asked.length, 2);
    nowMs = 10_000;
    await service.classify('acme', STRANGER);
    await service.classify('nobody', STRANGER);
    assert.equal(asked.length, 3);
    nowMs = 60_000;
    assert.equal(
      await service.classify('acme', STRANGER),
      null,
      'asked again, and nobody claims it any more',
    );
  });

  it('forgets the oldest names, and none that is claimed for those that are not', async () => {
    await service.classify('acme', STRANGER);
    answer = status(404);
    for (let at = 0; at < 200; at++) {
      await Promise.all(
        Array.from({ length: 51 }, (_, more) => service.classify(`nobody-${at}-${more}`, STRANGER)),
      );
    }
    const before = asked.length;
    await service.classify('acme', STRANGER);
    await service.classify('nobody-199-50', STRANGER);
    assert.equal(asked.length, before);
    await service.classify('nobody-0-0', STRANGER);
    assert.equal(asked.length, before + 1);
  }).timeout(60_000);

  it('asks once for what many want to know at the same time', async () => {
    await Promise.all(Array.from({ length: 50 }, () => service.classify('acme', STRANGER)));
    assert.equal(asked.length, 1);
  });

  describe('with its places', () => {
    let held: ServerResponse[];
    beforeEach(() => {
      held = [];
      answer = (response) => held.push(response);
    });
    const from = (network: string) => ({ network, gone: () => new AbortController().signal });
    const untilHeld = async (count: number): Promise<void> => {
      while (held.length < count) await new Promise((resolve) => setImmediate(resolve));
    };
    const release = (): void => {
      for (const response of held.splice(0)) proxy(response, 'x');
    };

    it('has 64 questions open and no more; the others wait for their turn', async () => {
      const hosts = Array.from({ length: 70 }, (_, at) =>
        service.classify(`name-${at}`, from(`192.0.2.${at % 35}`)),
      );
      await untilHeld(64);
      assert.equal(service.shareStats().waiting, 6);
      answer = proxy;
      release();
      assert.equal((await Promise.all(hosts)).length, 70);
      assert.equal(asked.length, 70);
    });

    it('leaves places to others, however much one address asks', async () => {
      const crowd = Array.from({ length: 500 }, (_, at) =>
        service.classify(`crowd-${at}`, from('192.0.2.1')),
      );
      await untilHeld(8);
      const other = service.classify('acme', from('192.0.2.2'));
      await untilHeld(9);
      assert.equal(asked.length, 9);
      answer = proxy;
      release();
      await Promise.all([...crowd, other]);
    });

    it('answers 503 to who waits longer than the time-out, and tells others nothing of it', async () => {
      const hasty = serviceOf(200);
      try {
        const crowd = Array.from({ length: 20 }, (_, at) =>
          hasty.classify(`crowd-${at}`, from('192.0.2.1')).catch((error: unknown) => error),
        );
        for (const error of await Promise.all(crowd)) {
          assert.ok(error instanceof CellpassError);
          assert.deepEqual([error.code, error.reason], ['unavailable', 'topology_service']);
        }
      } finally {
        await hasty.close();
      }
    });

    it('gives up the place of a client that has gone', async () => {
      const crowd = Array.from({ length: 9 }, (_, at) => service.classify(`crowd-${at}`, from('192.0.2.1')));
      await untilHeld(8);
      const gone = new AbortController();
      const waiting = service.classify('gone', { network: '192.0.2.1', gone: () => gone.signal });
      const refused = assert.rejects(waiting, isUnavailable);
      gone.abort();
      await refused;
      answer = proxy;
      release();
      await Promise.all(crowd);
      assert.ok(!asked.some(({ body }) => JSON.stringify(body).includes('gone')));
    });
  });

  const FAILURE_ROWS: [what: string, answer: (response: ServerResponse) => void][] = [];
  const FAILURES: typeof FAILURE_ROWS = [
    ['an error', status(500)],
    ['a redirect', (response) => response.writeHead(302, { Location: '/v1/classify' }).end()],
    ['what is no JSON', status(200, 'cell-2.example.com')],
    ['another action', status(200, '{"action":"FIRST_CELL"}')],
    ['no address', status(200, '{"action":"PROXY","proxy":{}}')],
    ['an address that is no host', status(200, '{"action":"PROXY","proxy":{"address":"http://x/y"}}')],
    ...[
      ':secret@cell-2.example.com',
      '@cell-2.example.com',
      'cell-2.example.com?',
      'cell-2.example.com#',
      'cell-2.example.com\\',
      'cell-2.exam\nple.com',
      'cell%2d2.example.com',
      'cell-2.example.com ',
      'cell-2.example.com:99999',
      'cell-2.example.com, cell-1.example.com',
      '::1',
      'a'.repeat(261),
    ].map((address): (typeof FAILURE_ROWS)[number] => [
      `the address ${JSON.stringify(address)}`,
      status(200, JSON.stringify({ action: 'PROXY', proxy: { address } })),
    ]),
    ['an unknown action with an address', status(200, '{"action":"TELEPORT","proxy":{"address":"a"}}')],
    ['an action that is a number', status(200, '{"action":1,"proxy":{"address":"a"}}')],
    ['an address that is a number', status(200, '{"action":"PROXY","proxy":{"address":127}}')],
    ['a 404 with a list', status(404, '[]')],
    [
      'a 404 of another type',
      (response) => response.writeHead(404, { 'Content-Type': 'application/json-seq' }).end('{}'),
    ],
    [
      'half an answer',
      (response) => {
        response.writeHead(200, { 'Content-Length': '100' }).write('{"action":');
        setImmediate(() => response.destroy());
      },
    ],
    ['JSON of a great depth', status(200, '['.repeat(60_000))],
    ['a 404 that is no JSON', (response) => response.writeHead(404).end('<html>')],
    ['an endless answer', status(200, ' '.repeat(70_000))],
    ['nothing, and hangs up', (response) => response.destroy()],
  ];
  for (const [what, failing] of FAILURES) {
    it(`takes ${what} for a failed look-up, which it does not remember`, async () => {
      answer = failing;
      await assert.rejects(service.classify('acme', STRANGER), isUnavailable);
      answer = proxy;
      assert.equal(await service.classify('acme', STRANGER), 'acme.example.com');
    });
  }

  const SPELLINGS = [
    'cell-2.example.com.',
    'CELL-2.example.com.:8443',
    'Cell-2.Example.COM:',
    'cell-2.example.com:1',
  ];
  for (const address of SPELLINGS) {
    it(`reads cell-2.example.com in ${address}`, async () => {
      answer = status(200, JSON.stringify({ action: 'PROXY', proxy: { address } }));
      assert.equal(await service.classify('acme', STRANGER), 'cell-2.example.com');
    });
  }

  it('gives up within the time-out where the answer comes one byte at a time', async () => {
    answer = (response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      const drip = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(drip));
    };
    const hasty = serviceOf(300);
    try {
      await assert.rejects(hasty.classify('acme', STRANGER), isUnavailable);
    } finally {
      await hasty.close();
    }
  });

  it('takes nothing within the time-out for a failed look-up, which it does not remember', async () => {
    answer = () => undefined;
    const hasty = serviceOf(1000);
    try {
      await assert.rejects(hasty.classify('acme', STRANGER), isUnavailable);
      answer = proxy;
      assert.equal(await hasty.classify('acme', STRANGER), 'acme.example.com');
    } finally {
      await hasty.close();
    }
  });

  it('stops asking after five failures in a row, and tries one at a time until it is back', async () => {
    answer = status(500);
    for (let at = 0; at < 5; at++) await assert.rejects(service.classify('acme', STRANGER), isUnavailable);
    await assert.rejects(service.classify('acme', STRANGER), isUnavailable);
    assert.equal(asked.length, 5, 'nobody waits for a service that is down');
    assert.deepEqual([calls, service.isAway()], [{ answered: 0, failed: 5, notAsked: 1 }, true]);
    nowMs = 2000;
    await assert.rejects(service.classify('acme', STRANGER), isUnavailable);
    await assert.rejects(service.classify('acme', STRANGER), isUnavailable);
    assert.equal(asked.length, 6);
    nowMs = 4000;
    answer = proxy;
    const [first, second] = await Promise.allSettled([
      service.classify('acme', STRANGER),
      service.classify('tools', STRANGER),
    ]);
    assert.equal(first?.status, 'fulfilled');
    assert.equal(second?.status, 'rejected');
    assert.equal(await service.classify('tools', STRANGER), 'tools.example.com');
    assert.deepEqual([calls, service.isAway()], [{ answered: 2, failed: 6, notAsked: 3 }, false]);
  });
});
