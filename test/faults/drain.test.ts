import assert from 'node:assert/strict';
import { join } from 'node:path';
import { startPostgres } from '../support/database/postgres.ts';
import { newSecret } from '../support/directory/town.ts';
import { until } from '../support/processes/child.ts';
import { workersOf } from '../support/processes/children.ts';
import { makeSite, type Server, type Site } from '../support/processes/site.ts';
import { type Balancer, startBalancer } from './balancer.ts';
import { type Crowd, startCrowd } from './crowd.ts';

const TOKEN = newSecret('glpat-');
const DIRECTORY = JSON.stringify({
  version: 1,
  users: [{ username: 'alice' }],
  projects: [{ path: 'alice/app' }],
  access_tokens: [{ name: 'a', kind: 'personal', user: 'alice', scopes: ['api'], token: TOKEN }],
});
const PATH = `/jwt/auth?service=container_registry&scope=${encodeURIComponent('repository:alice/app:pull')}`;
const CLIENTS = 8;
const SOME = 100;

describe('replicas under load', function () {
  this.timeout(60_000);
  let site: Site;
  let servers: Server[];
  let balancer: Balancer | undefined;
  let crowd: Crowd | undefined;
  before(async () => {
    site = await makeSite('postgresql');
  });
  after(() => site.remove());

  const startReplicas = async (workers: number): Promise<void> => {
    // Start one after the other: the first server creates the master key, and the second one finds
    // it.
    servers = [];
    for (const name of ['data', 'other']) {
      servers.push(
        await site.serve({
          CELLPASS_WORKERS: String(workers),
          CELLPASS_DRAIN_SECONDS: '1',
          CELLPASS_DATA_DIR: join(site.dir, name),
        }),
      );
    }
    const applied = await site.run(['directory', 'apply', '-f', '-'], { input: DIRECTORY });
    assert.equal(applied.code, 0, applied.stderr);
    balancer = await startBalancer(servers.map(({ url }) => url));
    const authorization = `Basic ${Buffer.from(`x:${TOKEN}`).toString('base64')}`;
    crowd = startCrowd({ origin: balancer.url, clients: CLIENTS, path: PATH, headers: { authorization } });
    await crowd.more(SOME);
  };
  afterEach(async () => {
    await crowd?.stop();
    await balancer?.close();
    await Promise.all(servers.map((server) => server.stop()));
  });
  const assertOnlyTokens = (failuresAtMost: number): void => {
    assert.deepEqual([...crowd!.statuses.keys()], [200]);
    assert.ok(crowd!.failures.length <= failuresAtMost, crowd!.failures.join('\n'));
  };

  for (const workers of [1, 2]) {
    it(`lose no request when one ends by SIGTERM and comes back, with ${workers} process(es) each`, async () => {
      await startReplicas(workers);
      const [first] = servers;
      assert.equal(await first!.stop(), 0);
      await crowd!.more(SOME);
      servers[0] = await site.serve({ CELLPASS_LISTEN: `127.0.0.1:${first!.port}` });
      await until(
        () => (balancer!.ready().length === 2 ? true : undefined),
        () => 'it is not ready again',
      );
      await crowd!.more(SOME);
      assertOnlyTokens(0);
    });
  }

  it('lose what a worker was at when it is killed, and no more', async () => {
    await startReplicas(2);
    const [victim] = workersOf(servers[0]!.child.pid!);
    process.kill(victim!, 'SIGKILL');
    await crowd!.more(SOME);
    await until(
      () => (workersOf(servers[0]!.child.pid!).length === 2 ? true : undefined),
      () => 'no new worker came',
    );
    await crowd!.more(SOME);
    assertOnlyTokens(CLIENTS);
  });
});

describe('a server that drains', function () {
  this.timeout(30_000);
  it('says that it is not ready, goes on, and ends every connection with its answer', async () => {
    const site = await makeSite('postgresql');
    try {
      const server = await site.serve({ CELLPASS_DRAIN_SECONDS: '2' });
      const ended = server.stop();
      await until(
        async () => ((await fetch(`${server.url}/readyz`)).status === 503 ? true : undefined),
        () => 'it is still ready',
      );
      const response = await fetch(`${server.url}/.well-known/jwks.json`);
      assert.equal(response.status, 200);
      assert.equal(response.headers.get('connection'), 'close');
      assert.equal(await ended, 0);
    } finally {
      await site.remove();
    }
  });
});

describe('a server whose PostgreSQL is frozen', function () {
  this.timeout(60_000);
  it('ends at SIGTERM all the same, and with 0', async () => {
    const postgres = await startPostgres();
    const site = await makeSite('postgresql');
    try {
      const server = await site.serve({ CELLPASS_DATABASE_URL: await postgres.createDatabase() });
      postgres.freeze();
      await fetch(`${server.url}/jwt/auth?service=container_registry`);
      const startedAt = performance.now();
      assert.equal(await server.stop(), 0);
      assert.ok(performance.now() - startedAt < 20_000);
    } finally {
      postgres.thaw();
      await site.remove();
      await postgres.stop();
    }
  });
});
