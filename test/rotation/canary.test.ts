import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import type { SigningKey } from '../../src/keys/signing-key.ts';
import type { ProbeAnswer } from '../../src/rotation/canary.ts';
import { type CanaryOptions, createProbe, type Registry } from '../../src/rotation/canary.ts';
import { closeKeyrings, startedCell } from '../support/keys.ts';

const NOW = new Date('2026-11-24T10:00:00Z');

/** Longer than any registry of a test takes on a busy machine. */
const LONG_MS = 20_000;

describe('the canary', () => {
  let key: SigningKey;
  const servers: Server[] = [];
  /** What registries were sent as tokens. */
  let sent: string[];

  before(async () => {
    key = (await (await startedCell()).start()).active();
  });
  after(closeKeyrings);
  beforeEach(() => {
    sent = [];
  });
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  async function serve(listener: RequestListener): Promise<string> {
    const server = createServer(listener);
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  const tokenIn = ({ headers }: IncomingMessage): string | undefined =>
    headers.authorization?.slice('Bearer '.length);
  /** A registry that answers 401 without a token, and `status` with one. */
  const registryThat = (status: number, headers = {}) =>
    serve((request, response) => {
      const token = tokenIn(request);
      assert.equal(request.url, '/v2/');
      if (token !== undefined) sent.push(token);
      response.writeHead(token === undefined ? 401 : status, headers).end();
    });

  async function probe(
    url: string,
    {
      service,
      isRouter = false,
      trusts = null,
      ...options
    }: Partial<CanaryOptions> & {
      readonly service?: Partial<Registry['service']>;
      readonly isRouter?: boolean;
      readonly trusts?: Registry['trusts'];
    } = {},
    shown = key,
  ): Promise<ProbeAnswer> {
    const registry = {
      name: 'eu-1',
      url,
      service: { name: 'images', kid: 'libtrust', x5c: true, ...service },
      isRouter,
      trusts,
    } as const;
    const [answer] = await createProbe({
      registries: () => [registry],
      issuer: 'cellpass',
      cell: 7,
      now: () => NOW,
      timeoutMs: LONG_MS,
      ...options,
    })(shown);
    return answer!;
  }

  it('is accepted by a registry that answers 200 to it and 401 without it', async () => {
    assert.deepEqual(await probe(await registryThat(200)), {
      registry: 'eu-1',
      outcome: 'accepted',
      because: 'accepted',
    });
  });

  it('grants nothing, to nobody, for a minute, and is for that registry alone', async () => {
    await probe(await registryThat(200));
    const [token = ''] = sent;
    const { access, sub, aud, iss, exp, cell } = decodeJwt(token);
    assert.deepEqual(
      { access, sub, aud, iss, cell },
      { access: [], sub: '', aud: 'images', iss: 'cellpass', cell: 'cell-7' },
    );
    assert.equal(exp, NOW.getTime() / 1000 + 60);
  });

  const missing: [title: string, service: Partial<Registry['service']>, lacks: () => string][] = [
    ['the CA', {}, () => `the CA ${key.certificate!.authorityId}`],
    ['the key by its libtrust id', { x5c: false }, () => `the key ${key.kid}`],
    ['the key by its thumbprint', { x5c: false, kid: 'thumbprint' }, () => `the key ${key.thumbprint}`],
  ];
  for (const [title, service, lacks] of missing) {
    it(`that is refused names what the registry lacks: ${title}`, async () => {
      const { outcome, because } = await probe(await registryThat(401), { service });
      assert.equal(outcome, 'refused');
      assert.ok(because.startsWith(`not yet: its trust doesn't contain ${lacks()}`), because);
      const { kid, x5c } = decodeProtectedHeader(sent[0]!);
      assert.equal(kid, service.kid === 'thumbprint' ? key.thumbprint : key.kid);
      assert.equal(x5c !== undefined, service.x5c !== false);
    });
  }

  const trusted: [trusts: Registry['trusts'], says: () => RegExp][] = [
    ['ca', () => new RegExp(`the CA ${key.certificate!.authorityId}`)],
    ['jwks', () => new RegExp(`the key ${key.kid}`)],
    ['key', () => new RegExp(`trusts one key.*export-cert ${key.kid}.*restart it.*rotate --force`)],
  ];
  for (const [trusts = null, says] of trusted) {
    it(`that is refused by a registry that trusts ${trusts} says what that one needs`, async () => {
      const { because } = await probe(await registryThat(401), { trusts });
      assert.match(because, says());
    });
  }

  it('that is refused names the imported certificate where the key has one', async () => {
    const imported = { ...key, certificate: { ...key.certificate!, authorityId: null } };
    const { because } = await probe(await registryThat(401), {}, imported);
    assert.match(because, /doesn't contain the imported certificate/);
  });

  it('that is refused by a router names the key, which is what a router knows', async () => {
    const { outcome, because } = await probe(await registryThat(401), { isRouter: true });
    assert.equal(outcome, 'refused');
    assert.match(because, new RegExp(`^not yet: it has no rule for the key ${key.kid}, `));
  });

  it('says nothing where everybody is let in', async () => {
    const open = await serve((_request, response) => response.end());
    const { outcome, because } = await probe(open);
    assert.equal(outcome, 'unreachable');
    assert.match(because, /without a token answered 200, not 401/);
  });

  it('says nothing where the registry is broken, silent, or away', async () => {
    assert.match((await probe(await registryThat(500))).because, /with a token answered 500/);
    const silent = await serve(() => undefined);
    assert.equal((await probe(silent, { timeoutMs: 50 })).outcome, 'unreachable');
    const gone = await registryThat(200);
    await new Promise((resolve) => servers.pop()?.close(resolve));
    assert.match((await probe(gone)).because, /does not answer/);
  });

  it('is sent to no other host: a redirect is not followed', async () => {
    const elsewhere = await registryThat(200);
    const turned = await serve((request, response) => {
      const status = tokenIn(request) === undefined ? 401 : 307;
      response.writeHead(status, { Location: `${elsewhere}/v2/` }).end();
    });
    const { outcome, because } = await probe(turned);
    assert.deepEqual([outcome, /with a token answered 307/.test(because), sent], ['unreachable', true, []]);
  });

  it('comes on connections of its own, so that after a reload the new process is asked', async () => {
    const url = await registryThat(200);
    let connections = 0;
    servers.at(-1)!.on('connection', () => {
      connections += 1;
    });
    await probe(url);
    await probe(url);
    assert.equal(connections, 4);
  });

  it('is answered for each registry, one broken or not', async () => {
    const urls = [await registryThat(200), 'http://127.0.0.1:1', await registryThat(401)];
    const registries = urls.map((url, i) => ({
      name: String(i),
      url,
      service: { name: 'images', kid: 'libtrust', x5c: true } as const,
    }));
    const answers = await createProbe({
      registries: () => registries,
      issuer: 'cellpass',
      cell: 1,
      now: () => NOW,
    })(key);
    assert.deepEqual(
      answers.map(({ registry, outcome }) => [registry, outcome]),
      [
        ['0', 'accepted'],
        ['1', 'unreachable'],
        ['2', 'refused'],
      ],
    );
  });
});
