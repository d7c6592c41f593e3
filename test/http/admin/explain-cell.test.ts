import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import request from 'supertest';
import { stringify } from 'yaml';
import { mintRoutableToken } from '../../../src/cells/routable-token.ts';
import { until } from '../../support/processes/child.ts';
import { createRandom, type Random } from '../../support/random.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';
import { startTopologyStandIn, type TopologyStandIn } from '../../support/topology/service.ts';

const SELF = 2;
const SEED = 20_261_128;
const PASSWORD = randomBytes(12).toString('hex');
const routable = (c: bigint, prefix = 'glpat-'): string => mintRoutableToken(prefix, { c, o: 1n, u: 11n });
const SCOPES = ['read_registry', 'write_registry'];
const NAMES = ['acme', 'tools', 'gitlab-org', 'former', 'unheard'];
/** By the name of the token in the directory; `old` and `opaque` name no cell. */
const TOKENS: Readonly<Record<string, string>> = {
  one: routable(1n),
  two: routable(2n),
  three: routable(3n),
  huge: routable(36n ** 13n - 1n),
  beyond: routable(2n ** 53n + 1n),
  zero: routable(0n),
  old: `glpat-${randomBytes(10).toString('hex')}`,
  opaque: randomBytes(20).toString('hex'),
  expired: routable(2n),
  'expired elsewhere': routable(1n),
};
const DEPLOY: Readonly<Record<string, string>> = {
  'deploy-one': routable(1n, 'gldt-'),
  'deploy-two': routable(2n, 'gldt-'),
  'deploy-old': `gldt-${randomBytes(10).toString('hex')}`,
};

const DIRECTORY = {
  users: [{ username: 'alice', id: 11, password: PASSWORD }],
  groups: NAMES.map((path) => ({ path, members: [{ user: 'alice', role: 'developer' }] })),
  projects: NAMES.flatMap((path) => [
    { path: `${path}/private`, visibility: 'private' },
    { path: `${path}/public`, visibility: 'public' },
  ]),
  access_tokens: Object.entries(TOKENS).map(([name, token]) => ({
    kind: 'personal',
    scopes: SCOPES,
    user: 'alice',
    name,
    token,
    ...(name.startsWith('expired') && { expires_at: '2020-01-01' }),
  })),
  deploy_tokens: Object.entries(DEPLOY).map(([username, token]) => ({
    username,
    scopes: SCOPES,
    group: 'acme',
    token,
  })),
};

/** What of an answer and of its explanation must be the same. */
interface Met {
  /** The cell that answers, where another one does; null: this one, or an error. */
  readonly elsewhere: number | null;
  readonly status: number;
  readonly subject: string | null;
  readonly access: readonly string[];
}

const entriesOf = (access: readonly { name: string; actions: string[] }[]): readonly string[] =>
  access.map(({ name, actions }) => `${name}:${actions.join(',')}`);

describe('explain, where there are several cells', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cellpass-explain-cells-'));
  const file = join(folder, 'cells.yaml');
  let service: TopologyStandIn;
  let server: TestServer;
  let ids: ReadonlyMap<string, string>;
  let written = 0;

  /** Writes a topology of up to four cells, and waits until the server has read it. */
  const write = async (random: Random, more = random.below(4)): Promise<object> => {
    const others = [1, 3, 4].slice(0, more);
    const cells = [SELF, ...others];
    const legacy = random.pick(cells);
    const owner = new Map(NAMES.map((name) => [name, random.pick([...cells, 0])]));
    service.routes.clear();
    service.redirects.clear();
    const asksService = random.below(2) === 0;
    for (const [name, id] of owner) {
      if (!asksService || random.below(2) === 0) continue;
      if (id !== 0)
        (name === 'former' ? service.redirects : service.routes).set(name, `Cell-${id}.example.com:443`);
      owner.set(name, 0);
    }
    if (asksService && random.below(2) === 0) {
      service.routes.set('unheard', 'cell-99.example.com');
      owner.set('unheard', 0);
    }
    const topology = {
      cells: cells.map((id) => ({
        id,
        ...(id === legacy && { legacy: true }),
        url: `http://127.0.0.1:${9000 + id}`,
        topology_address: `cell-${id}.example.com`,
        namespaces: NAMES.filter((name) => owner.get(name) === id),
      })),
      forwarding: false,
      ...(asksService && { topology_service: { url: service.url, timeout_ms: 1000 } }),
    };
    written += 1;
    // In one step, so that it is read once.
    writeFileSync(`${file}.new`, stringify(topology));
    renameSync(`${file}.new`, file);
    const reloads = (): number =>
      server.log.filter(({ message }) => message === 'reloaded the topology').length;
    await until(
      async () => (reloads() >= written ? true : undefined),
      () => 'the topology is not read',
    );
    return topology;
  };

  before(async () => {
    service = await startTopologyStandIn();
    writeFileSync(file, stringify({ cells: [{ id: SELF, legacy: true, url: 'http://127.0.0.1:9002' }] }));
    server = await startTestServer({
      environment: { CELLPASS_CELL: String(SELF), CELLPASS_CELLS_FILE: file },
      topologyPollMs: 5,
    });
    await server.apply(DIRECTORY);
    const { body } = await request(server.admin).get('/admin/v1/tokens');
    ids = new Map(
      body.tokens.map(({ id, name, username }: Record<string, string>) => [name ?? username, id]),
    );
  });
  after(async () => {
    await server.close();
    await service.close();
    rmSync(folder, { recursive: true });
  });

  const asked = async (as: readonly [string, string] | null, scope: readonly string[]): Promise<Met> => {
    const { status, body } = await server.ask({ scope, ...(as && { as }) });
    const [, elsewhere] = /^cell (\d+) answers this/.exec(body.errors?.[0]?.message ?? '') ?? [];
    if (status !== 200)
      return {
        elsewhere: elsewhere === undefined ? null : Number(elsewhere),
        status,
        subject: null,
        access: [],
      };
    const { sub, access } = JSON.parse(Buffer.from(body.token.split('.')[1], 'base64url').toString());
    return { elsewhere: null, status, subject: sub || null, access: entriesOf(access) };
  };
  const explained = async (as: string, scopes: readonly string[]): Promise<Met> => {
    const { status, body } = await request(server.admin).post('/admin/v1/explain').send({ as, scopes });
    assert.equal(status, 200, JSON.stringify(body));
    const { cell, refusal, subject, access } = body;
    const isElsewhere = cell !== undefined && cell.answers !== null && cell.answers !== SELF;
    return {
      elsewhere: isElsewhere ? cell.answers : null,
      status: refusal?.status ?? 200,
      subject: refusal === null && subject.kind !== 'anonymous' ? subject.name : null,
      access: entriesOf(access),
    };
  };

  const CLIENTS: readonly (readonly [as: () => string, login: readonly [string, string] | null])[] = [
    [() => 'anonymous', null],
    [() => 'user:alice', ['alice', PASSWORD]],
    ...Object.entries(TOKENS).map(
      ([name, secret]) => [() => `token:${ids.get(name)}`, ['alice', secret]] as const,
    ),
    ...Object.entries(DEPLOY).map(
      ([name, secret]) => [() => `deploy-token:${name}`, [name, secret]] as const,
    ),
  ];

  it('says of any request the cell and the outcome that it meets', async () => {
    const random = createRandom(SEED);
    const scopeOf = (): string =>
      `repository:${random.pick(NAMES)}/${random.pick(['public', 'private', 'none'])}:${random.pick(['pull', 'push', 'pull,push', 'delete'])}`;
    const seen = new Map<number, number>();
    for (let round = 0; round < 25; round++) {
      const topology = await write(random);
      for (const [as, login] of CLIENTS) {
        const scopes = Array.from({ length: random.below(4) }, scopeOf);
        const real = await asked(login, scopes);
        seen.set(real.status, (seen.get(real.status) ?? 0) + 1);
        const where = `${as()} asks ${scopes.join(' ')} in ${JSON.stringify(topology)}`;
        assert.deepEqual(await explained(as(), scopes), real, where);
      }
    }
    for (const status of [200, 400, 401, 403, 421, 503])
      assert.ok((seen.get(status) ?? 0) > 0, `no request met ${status}`);
  }).timeout(120_000);

  it('does not name a cell where that depends on a token that is not known here', async () => {
    const random = createRandom(SEED);
    await write(random, 3);
    const { body } = await request(server.admin)
      .post('/admin/v1/explain')
      .send({ as: 'user:alice', token_scopes: ['read_registry'], scopes: [] });
    assert.deepEqual([body.cell.answers, body.cell.takes_credentials, body.refusal], [null, null, null]);
    assert.match(body.cell.because, /^which cell answers.* depends on the cell that the token names$/);
  });
});
