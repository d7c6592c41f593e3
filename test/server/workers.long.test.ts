import assert from 'node:assert/strict';
import { Agent, get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../support/database/postgres.ts';
import { parseMetrics, type Samples } from '../support/metrics.ts';
import { until } from '../support/processes/child.ts';
import { hashersOf, workersOf } from '../support/processes/children.ts';
import {
  ALICE,
  assertRefused,
  done,
  EXAMPLE,
  fetchJwks,
  makeSite,
  type Server,
  type Site,
  verify,
} from '../support/processes/site.ts';

const WORKERS = 2;
const PULL = 'repository:acme/web:pull';

describe('serve with several workers', function () {
  this.timeout(60_000);
  let site: Site;
  let server: Server;
  let metricsUrl: string;

  before(async () => {
    site = await makeSite('postgresql');
    const metricsListen = `127.0.0.1:${await freePort()}`;
    metricsUrl = `http://${metricsListen}`;
    server = await site.serve({
      CELLPASS_WORKERS: String(WORKERS),
      CELLPASS_METRICS_LISTEN: metricsListen,
    });
    await done(site, 'directory', 'apply', '-f', EXAMPLE);
  });

  after(() => site.remove());

  const workerPids = (): readonly number[] => workersOf(server.child.pid!);
  /** The workers that the log has seen answering. */
  const answering = (): ReadonlySet<unknown> =>
    new Set(
      server.child
        .output()
        .split('\n')
        .filter((line) => line.includes('"/jwt/auth"'))
        .map((line) => JSON.parse(line).worker),
    );

  it('gives tokens of one key set, by every worker', async () => {
    const jwks = await fetchJwks(server.url);
    // A new connection each time: the primary deals them out.
    for (let i = 0; i < 4 * WORKERS; i++) {
      const token = await freshToken(server.url);
      assert.equal((await verify(token, jwks)).sub, 'alice');
    }
    await until(
      () => (answering().size === WORKERS ? true : undefined),
      () => `answered by ${[...answering()]}`,
    );
  });

  it('applies a directory once, for all', async () => {
    await done(site, 'directory', 'apply', '-f', EXAMPLE);
    assert.equal(workerPids().length, WORKERS);
    assert.match(await done(site, 'keys', 'list'), /^active /m);
  });

  it('rotates once, and every worker signs with the new key within a second', async () => {
    const before = (await fetchJwks(server.url)).keys.length;
    await done(site, 'keys', 'rotate', '--force');
    await delay(1000);
    const jwks = await fetchJwks(server.url);
    assert.equal(jwks.keys.length, 2 * before);
    for (let i = 0; i < 4; i++) await verify(await freshToken(server.url), jwks);
  });

  const metrics = async () => parseMetrics(await (await fetch(`${metricsUrl}/metrics`)).text());
  const tokens = (samples: Samples) =>
    samples.get('cellpass_requests_total{route="/jwt/auth",status="200",reason="none"}') ?? 0;

  it('counts what all of them answer as one', async () => {
    const before = tokens(await metrics());
    for (let i = 0; i < 3 * WORKERS; i++) await freshToken(server.url);
    const samples = await metrics();
    assert.equal(tokens(samples) - before, 3 * WORKERS);
    assert.equal(samples.get('cellpass_processes'), WORKERS + 1);
    assert.equal(samples.get('cellpass_signing_keys{state="active"}'), 1);
    assert.equal([...samples.keys()].filter((name) => name.startsWith('cellpass_build_info')).length, 1);
    assert.ok(samples.get('process_cpu_seconds_total')! > 0);
  });

  it('shows the metrics, and whether it lives, without a token, and nothing else', async () => {
    const statuses = await Promise.all(
      ['/metrics', '/healthz', '/readyz', '/jwt/auth', '/admin/v1/keys', '/openapi.json'].map(
        async (path) => (await fetch(`${metricsUrl}${path}`)).status,
      ),
    );
    assert.deepEqual(statuses, [200, 200, 404, 404, 404, 404]);
  });

  it('forgets nothing that a worker counted when it is killed', async () => {
    const before = tokens(await metrics());
    process.kill(workerPids()[0]!, 'SIGKILL');
    const isComplete = (samples: Samples) => samples.get('cellpass_processes') === WORKERS + 1;
    await until(
      async () => {
        const samples = await metrics();
        assert.ok(tokens(samples) >= before, `${tokens(samples)} after ${before}`);
        return isComplete(samples) ? true : undefined;
      },
      () => 'no new worker came',
    );
    assert.equal(tokens(await metrics()), before);
  });

  it('goes on when a worker is killed, and starts another', async () => {
    const [victim, ...others] = workerPids();
    process.kill(victim!, 'SIGKILL');
    await until(
      () => {
        const pids = workerPids();
        return pids.length === WORKERS && !pids.includes(victim!) ? true : undefined;
      },
      () => 'no new worker came',
    );
    assert.ok(workerPids().includes(others[0]!));
    for (let i = 0; i < 2 * WORKERS; i++) await freshToken(server.url);
  });

  it('hashes the passwords of all of them in one process', async () => {
    // Each of them has answered a password.
    assert.ok(answering().size >= WORKERS);
    assert.equal(hashersOf(server.child.pid!).length, 1);
    assert.deepEqual(workerPids().flatMap(hashersOf), []);
  });

  it('answers 503 to the passwords whose hash is lost with that process, and goes on', async () => {
    const [victim] = hashersOf(server.child.pid!);
    process.kill(victim!, 'SIGSTOP');
    const login = ask(server.url);
    await until(
      async () =>
        (await metrics()).get('cellpass_password_checks{state="running"}') === 1 ? true : undefined,
      () => 'no password is being hashed',
    );
    process.kill(victim!, 'SIGKILL');
    const { status, retryAfter, body } = await login;
    assert.deepEqual([status, retryAfter], [503, '1'], body);
    await freshToken(server.url);
    const others = hashersOf(server.child.pid!);
    assert.equal(others.length, 1);
    assert.notEqual(others[0], victim);
  });

  it('ends all of them at SIGTERM, one that is still starting too, and exits with 0', async () => {
    const pids = [...workerPids(), ...hashersOf(server.child.pid!)];
    const startedAt = performance.now();
    assert.equal(await server.stop(), 0);
    assert.ok(performance.now() - startedAt < 10_000, 'it had to be forced');
    for (const pid of pids) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
    await assert.rejects(fetch(`${metricsUrl}/healthz`));
  });

  it('says in one line why it can not start', async () => {
    const tls = { CELLPASS_TLS_CERT: '/nowhere.crt', CELLPASS_TLS_KEY: '/nowhere.key' };
    assertRefused(await site.run(['serve'], { env: { CELLPASS_WORKERS: '2', ...tls } }), /nowhere/);
    const taken = await site.serve({ CELLPASS_DATA_DIR: `${site.dir}/other` });
    const env = { CELLPASS_WORKERS: '2', CELLPASS_LISTEN: `127.0.0.1:${taken.port}` };
    assertRefused(await site.run(['serve'], { env }), /another process listens there/);
  });
});

/** By a connection of its own. */
async function freshToken(url: string): Promise<string> {
  const { status, body } = await ask(url);
  assert.equal(status, 200, body);
  return JSON.parse(body).token;
}

interface Answer {
  readonly status: number | undefined;
  readonly retryAfter: string | undefined;
  readonly body: string;
}

/** By a connection of its own. */
async function ask(url: string): Promise<Answer> {
  const agent = new Agent();
  const query = new URLSearchParams({ service: 'container_registry', scope: PULL });
  try {
    return await new Promise<Answer>((resolve, reject) => {
      get(`${url}/jwt/auth?${query}`, { agent, auth: ALICE.join(':') }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        const { statusCode: status, headers } = response;
        response.on('end', () => resolve({ status, retryAfter: headers['retry-after'], body }));
      }).on('error', reject);
    });
  } finally {
    agent.destroy();
  }
}
