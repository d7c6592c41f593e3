import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { ClientTlsFiles } from '../../src/cells/topology.ts';
import { createTopologyService, type TopologyService } from '../../src/cells/topology-service/client.ts';
import { CellpassError } from '../../src/errors.ts';
import { until } from '../support/processes/child.ts';
import {
  makeTestCa,
  serverTls,
  startTopologyStandIn,
  type TestCa,
  type TopologyStandIn,
} from '../support/topology/service.ts';

const ASKER = { network: '192.0.2.1', gone: () => new AbortController().signal };
const NO_FILES: ClientTlsFiles = { caFile: null, certificate: null };
const isUnavailable = (error: unknown): boolean =>
  error instanceof CellpassError && error.code === 'unavailable' && error.reason === 'topology_service';

const newest = (name: string): object => ({ claims: [{ route: name }, { redirectRoute: name }] });
const older = (kind: string, name: string): object => ({ claim: { [kind]: name } });

describe('the generations of the Topology Service', () => {
  let standIn: TopologyStandIn;
  let service: TopologyService;
  let nowMs: number;
  const bodies = (): readonly unknown[] => standIn.asked.map(({ body }) => body);
  const open = (url: string, tls = NO_FILES, timeoutMs = 60_000): TopologyService =>
    createTopologyService({ url, timeoutMs, tls, log: { error: () => undefined }, monotonicMs: () => nowMs });

  beforeEach(async () => {
    nowMs = 0;
    standIn = await startTopologyStandIn();
    standIn.routes.set('acme', 'Cell-2.Example.com:8443');
    standIn.redirects.set('formerly', 'cell-2.example.com');
    service = open(standIn.url);
  });
  afterEach(async () => {
    await service.close();
    await standIn.close();
  });
  const ask = (name: string): Promise<string | null> => service.classify(name, ASKER);

  it('the newest is asked once for both claims, and names a host in any spelling', async () => {
    assert.deepEqual(
      [await ask('acme'), await ask('formerly'), await ask('nobody')],
      ['cell-2.example.com', 'cell-2.example.com', null],
    );
    assert.deepEqual(bodies(), [newest('acme'), newest('formerly'), newest('nobody')]);
  });

  it('an older one is found out, asked for one claim after the other, and looked at again in an hour', async () => {
    standIn.setGeneration('older');
    assert.equal(await ask('acme'), 'cell-2.example.com');
    assert.equal(await ask('formerly'), 'cell-2.example.com');
    assert.deepEqual(bodies(), [
      newest('acme'),
      older('route', 'acme'),
      older('route', 'formerly'),
      older('redirectRoute', 'formerly'),
    ]);
    assert.equal(await ask('nobody'), null);
    standIn.setGeneration('newest');
    nowMs = 60 * 60_000;
    assert.equal(await ask('acme'), 'cell-2.example.com');
    assert.deepEqual(bodies().at(-1), newest('acme'));
  });

  it('one that is upgraded within the hour is asked in the newest form at once', async () => {
    standIn.setGeneration('older');
    await ask('acme');
    standIn.setGeneration('newest');
    assert.equal(await ask('formerly'), 'cell-2.example.com');
    assert.equal(await ask('nobody'), null);
    assert.deepEqual(bodies().slice(2), [older('route', 'formerly'), newest('formerly'), newest('nobody')]);
  });

  it('names are asked in lower case', async () => {
    assert.equal(await ask('ACME'), 'cell-2.example.com');
    assert.deepEqual(bodies(), [newest('acme')]);
  });

  it('one name that is refused in both forms turns nobody to the older form, nor stops the questions', async () => {
    const strict = await startReplies((body) => (JSON.stringify(body).includes('odd') ? 400 : null));
    const odd = open(strict.url);
    for (let n = 0; n < 8; n++) await assert.rejects(odd.classify('odd', ASKER), isUnavailable);
    assert.equal(odd.isAway(), false);
    assert.equal(await odd.classify('acme', ASKER), 'host.example.com');
    assert.deepEqual(strict.last(), newest('acme'));
    await odd.close();
    await strict.close();
  });

  it('one that drops what it does not know is asked in the older form', async () => {
    for (const nothing of [{}, { action: null, proxy: null }]) {
      const lenient = await startReplies((body) => ('claims' in body ? nothing : null));
      const client = open(lenient.url);
      assert.equal(await client.classify('acme', ASKER), 'host.example.com');
      assert.deepEqual(lenient.last(), older('route', 'acme'));
      await client.close();
      await lenient.close();
    }
  });

  describe('with certificates', () => {
    let ca: TestCa;
    let secured: TopologyStandIn;
    before(() => {
      ca = makeTestCa();
    });
    after(() => ca.remove());
    beforeEach(async () => {
      secured = await startTopologyStandIn({ tls: serverTls(ca) });
      secured.routes.set('acme', 'cell-2.example.com');
      secured.routes.set('again', 'cell-2.example.com');
    });
    afterEach(() => secured.close());

    it('shows its own, and trusts the one of the service', async () => {
      const client = open(secured.url, { caFile: ca.caFile, certificate: ca.issue('client') });
      assert.equal(await client.classify('acme', ASKER), 'cell-2.example.com');
      assert.match(secured.asked[0]?.client ?? '', /^[0-9A-F]+$/);
      await client.close();
    });

    const WRONG: readonly (readonly [what: string, tls: () => ClientTlsFiles])[] = [
      ['without one of its own', () => ({ caFile: ca.caFile, certificate: null })],
      ['where it does not trust the service', () => ({ caFile: null, certificate: ca.issue('client') })],
      [
        'with one of a stranger',
        () => {
          const stranger = makeTestCa();
          return { caFile: ca.caFile, certificate: stranger.issue('client') };
        },
      ],
    ];
    for (const [what, tls] of WRONG) {
      it(`is unavailable ${what}`, async () => {
        const client = open(secured.url, tls());
        await assert.rejects(client.classify('acme', ASKER), isUnavailable);
        await client.close();
      });
    }

    it('uses a new one as soon as the files change, and keeps the old one where they are wrong', async () => {
      const { certFile, keyFile } = ca.issue('client');
      const client = open(secured.url, { caFile: ca.caFile, certificate: { certFile, keyFile } });
      await client.classify('acme', ASKER);
      const first = secured.asked.at(-1)?.client;
      const [cert, key] = [certFile, keyFile].map((file) => readFileSync(file, 'utf8'));
      writeFileSync(keyFile, 'not a key');
      writeFileSync(keyFile, key ?? '');
      writeFileSync(certFile, cert ?? '');
      ca.issue('client');
      let n = 0;
      await until(
        async () => {
          n += 1;
          await client.classify(`fresh-${n}`, ASKER);
          return secured.asked.at(-1)?.client === first ? undefined : true;
        },
        () => 'the new certificate is not shown',
      );
      await client.close();
    });

    const DAMAGED: readonly (readonly [what: string, damage: (text: string) => string])[] = [
      ['empty', () => ''],
      ['cut off', (text) => text.slice(0, text.length / 2)],
      ['cut off in its second part', (text) => text + text.slice(0, text.length / 2)],
      ['another text', () => 'not PEM\n'],
      ['damaged', (text) => text.replace(/\n.{8}/, '\nAAAAAAAA')],
    ];
    const copied = (): ClientTlsFiles & { readonly files: readonly string[] } => {
      const { certFile, keyFile } = ca.issue('damaged');
      const caFile = join(ca.dir, 'copy.crt');
      writeFileSync(caFile, readFileSync(ca.caFile));
      return { caFile, certificate: { certFile, keyFile }, files: [caFile, certFile, keyFile] };
    };
    for (const [what, damage] of DAMAGED) {
      it(`refuses to begin with a file that is ${what}`, () => {
        const { files, ...tls } = copied();
        for (const file of files) {
          const whole = readFileSync(file, 'utf8');
          const broken = damage(whole);
          // A key is one block: what follows it is passed over.
          if (file.endsWith('.key') && broken.startsWith(whole)) continue;
          writeFileSync(file, broken);
          const opened = (): unknown => open(secured.url, tls);
          assert.throws(opened, /topology_service: the files for TLS can't be used/, file);
          writeFileSync(file, whole);
        }
      });
    }

    it('keeps the old files where one becomes empty, as it is while it is written', async () => {
      const { files, ...tls } = copied();
      const errors: unknown[] = [];
      const log = { error: (line: unknown) => errors.push(line) };
      const client = createTopologyService({ url: secured.url, timeoutMs: 5000, tls, log });
      for (const [at, file] of files.entries()) {
        const whole = readFileSync(file, 'utf8');
        writeFileSync(file, '');
        await until(
          async () => (errors.length > at ? true : undefined),
          () => `${file} is not refused`,
        );
        await client.classify(`name-${at}`, ASKER);
        assert.match(secured.asked.at(-1)?.client ?? '', /^[0-9A-F]+$/);
        writeFileSync(file, whole);
      }
      await client.close();
    }).timeout(20_000);

    it('trusts the CA that comes into the file, and no longer the one of before', async () => {
      const next = makeTestCa();
      const moved = await startTopologyStandIn({ tls: serverTls(next) });
      const caFile = join(ca.dir, 'changing.crt');
      writeFileSync(caFile, readFileSync(ca.caFile));
      const tls = { caFile, certificate: next.issue('client') };
      const [old, now] = [
        open(secured.url, { caFile, certificate: ca.issue('client') }),
        open(moved.url, tls),
      ];
      try {
        await old.classify('acme', ASKER);
        await assert.rejects(now.classify('acme', ASKER), isUnavailable);
        writeFileSync(caFile, readFileSync(next.caFile));
        await until(
          async () =>
            now.classify('acme', ASKER).then(
              () => true,
              () => {
                nowMs += 3000;
                return undefined;
              },
            ),
          () => 'the new CA is not trusted',
        );
        await assert.rejects(old.classify('again', ASKER), isUnavailable);
      } finally {
        await Promise.all([old.close(), now.close()]);
        await moved.close();
        next.remove();
      }
    }).timeout(20_000);

    it('refuses to begin with files that are wrong', () => {
      assert.throws(
        () => open(secured.url, { caFile: '/nowhere/ca.crt', certificate: null }),
        /topology_service: the files for TLS can't be used/,
      );
    });
  });

  it('one that takes the connection and never greets is unavailable in time', async () => {
    const silent: Server = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const client = open(`https://127.0.0.1:${(silent.address() as AddressInfo).port}`, NO_FILES, 500);
    const startedAt = performance.now();
    await assert.rejects(client.classify('acme', ASKER), isUnavailable);
    assert.ok(performance.now() - startedAt < 4000);
    await client.close();
    silent.close();
  });
});

interface Replies {
  readonly url: string;
  last(): unknown;
  close(): Promise<void>;
}

/** Answers a status, a body, or null: the host of a cell. */
async function startReplies(reply: (body: object) => number | object | null): Promise<Replies> {
  const { createServer: createHttp } = await import('node:http');
  const { json } = await import('node:stream/consumers');
  let last: unknown;
  const server = createHttp((request, response) => {
    void (async () => {
      const body = (await json(request)) as object;
      last = body;
      const given = reply(body);
      const status = typeof given === 'number' ? given : 200;
      const answer =
        typeof given === 'number'
          ? {}
          : (given ?? { action: 'PROXY', proxy: { address: 'host.example.com' } });
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
    })();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    last: () => last,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
