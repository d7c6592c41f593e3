import assert from 'node:assert/strict';
import { Agent, get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort, startPostgres } from '../support/database/postgres.ts';
import { newSecret } from '../support/directory/town.ts';
import { until } from '../support/processes/child.ts';
import { hashersOf, workersOf } from '../support/processes/children.ts';
import { makeSite, type Server, type Site } from '../support/processes/site.ts';

const WORKERS = 2;
const TOKEN = newSecret('glpat-');
const PASSWORD = 'correct horse';
const DIRECTORY = JSON.stringify({
  version: 1,
  users: [{ username: 'alice', password: PASSWORD }],
  projects: [{ path: 'alice/app' }],
  access_tokens: [{ name: 'a', kind: 'personal', user: 'alice', scopes: ['api'], token: TOKEN }],
});
const PATH = '/jwt/auth?service=container_registry&scope=repository:alice/app:pull';
/** Longer than a password may take, and less than a lost worker or hasher is given. */
const ANSWER_MS = 6500;
/** A process that hangs gets ten seconds; its successor must start, too. */
const REPLACED_MS = 25_000;
const EXIT_MS = 20_000;
/** When a client gives up. */
const IMPATIENT_MS = 7000;
/** Longer than the port is free while it changes hands, which the system does for no one else. */
const HANDOVER_MS = 50;

interface Answer {
  /** 0: no answer. */
  readonly status: number;
  readonly error: string;
}

/** Asks over a new connection, or over those of `agent`. */
function ask(url: string, secret: string, agent?: Agent): Promise<Answer> {
  return new Promise((resolve) => {
    const options = { auth: `alice:${secret}`, agent: agent ?? false, timeout: IMPATIENT_MS };
    const request = get(`${url}${PATH}`, options, (response) => {
      response.resume().on('end', () => resolve({ status: response.statusCode ?? 0, error: '' }));
    });
    // A connection that a worker had when it was killed may get no answer.
    request.on('timeout', () => request.destroy());
    request.on('error', (error: NodeJS.ErrnoException) => resolve({ status: 0, error: error.code ?? '' }));
  });
}

describe('a process that hangs', function () {
  this.timeout(90_000);
  let site: Site;
  let server: Server;
  before(async () => {
    site = await makeSite('postgresql');
  });
  after(() => site.remove());
  beforeEach(async () => {
    server = await site.serve({ CELLPASS_WORKERS: String(WORKERS) });
    const applied = await site.run(['directory', 'apply', '-f', '-'], { input: DIRECTORY });
    assert.equal(applied.code, 0, applied.stderr);
  });
  afterEach(async () => {
    for (const pid of [...pids(), ...hashersOf(server.child.pid!)]) process.kill(pid, 'SIGCONT');
    await server.child.stop();
  });

  const pids = (): readonly number[] => workersOf(server.child.pid!);
  const assertStops = async (): Promise<void> => {
    const startedAt = performance.now();
    assert.equal(await server.stop(), 0);
    const tookMs = performance.now() - startedAt;
    assert.ok(tookMs < EXIT_MS, `${tookMs} ms`);
  };

  const askUntilAllWorkersAnswer = async (): Promise<readonly Answer[]> => {
    const seen: Answer[] = [];
    await until(
      async () => {
        const answer = await ask(server.url, TOKEN);
        seen.push(answer);
        if (answer.error === 'ECONNREFUSED') await delay(HANDOVER_MS);
        return answer.status === 200 && pids().length === WORKERS ? true : undefined;
      },
      () => JSON.stringify(seen.slice(-5)),
      REPLACED_MS,
    );
    return seen;
  };

  it('and hashes passwords is replaced; what waited gets 503, and tokens are given meanwhile', async () => {
    const [victim] = hashersOf(server.child.pid!);
    process.kill(victim!, 'SIGSTOP');
    const startedAt = performance.now();
    const logins = Array.from({ length: 4 }, () => ask(server.url, PASSWORD));
    assert.equal((await ask(server.url, TOKEN)).status, 200);
    for (const { status } of await Promise.all(logins)) assert.equal(status, 503);
    assert.ok(performance.now() - startedAt < ANSWER_MS);
    await until(
      async () => ((await ask(server.url, PASSWORD)).status === 200 ? true : undefined),
      () => 'passwords get no token again',
      REPLACED_MS,
    );
    assert.notEqual(hashersOf(server.child.pid!)[0], victim);
    await assertStops();
  });

  it('and answers clients is replaced', async () => {
    const [victim, other] = pids();
    process.kill(victim!, 'SIGSTOP');
    await until(
      () => (pids().length === WORKERS && !pids().includes(victim!) ? true : undefined),
      () => server.child.output().slice(-2000),
      REPLACED_MS,
    );
    assert.ok(pids().includes(other!));
    await until(
      () => (server.child.output().includes('a worker no longer answers') ? true : undefined),
      () => server.child.output(),
    );
    for (let i = 0; i < 2 * WORKERS; i++) assert.equal((await ask(server.url, TOKEN)).status, 200);
    await assertStops();
  });

  it('and answers clients does not keep the server from ending', async () => {
    process.kill(pids()[0]!, 'SIGSTOP');
    await assertStops();
  });

  it('and administers the others does not stop answers on open connections, and they outlive it', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    assert.equal((await ask(server.url, TOKEN, agent)).status, 200);
    const before = pids();
    server.child.signal('SIGSTOP');
    for (const until = performance.now() + 12_000; performance.now() < until; await delay(200))
      assert.equal((await ask(server.url, TOKEN, agent)).status, 200);
    server.child.signal('SIGCONT');
    agent.destroy();
    // Longer than it takes to ask every worker.
    await delay(3000);
    assert.deepEqual(pids(), before);
    assert.equal((await ask(server.url, PASSWORD)).status, 200);
    await assertStops();
  });

  it('or dies leaves the port to the primary, though all workers do it at once: 503 until one is back', async () => {
    for (const pid of pids()) process.kill(pid, 'SIGKILL');
    // Several clients, one of which may have to wait for a connection that was lost.
    const clients = await Promise.all([1, 2, 3].map(askUntilAllWorkersAnswer));
    for (const seen of clients) {
      // The port changes hands twice: from the workers to the primary, and back.
      const refusedAt = [...seen.keys()].filter((at) => seen[at]?.error === 'ECONNREFUSED');
      assert.ok(refusedAt.length <= 2, `${refusedAt.length} connections of one client were refused`);
      assert.ok(
        refusedAt.every((at) => !refusedAt.includes(at + 1)),
        `refused for over ${HANDOVER_MS} ms`,
      );
    }
    assert.ok(clients.flat().some(({ status }) => status === 503));
    await assertStops();
  });
});

describe('a server whose PostgreSQL is frozen', function () {
  this.timeout(90_000);
  for (const workers of [1, 2]) {
    it(`ends at SIGTERM, with records that wait to be written, with ${workers} process(es)`, async () => {
      const postgres = await startPostgres();
      const site = await makeSite('postgresql');
      try {
        const server = await site.serve({
          CELLPASS_WORKERS: String(workers),
          CELLPASS_DATABASE_URL: await postgres.createDatabase(),
        });
        const refused = Array.from({ length: 20 }, () => ask(server.url, 'guessed'));
        await Promise.all(refused);
        postgres.freeze();
        const startedAt = performance.now();
        await server.stop();
        const tookMs = performance.now() - startedAt;
        assert.ok(tookMs < EXIT_MS, `${tookMs} ms`);
      } finally {
        postgres.thaw();
        await site.remove();
        await postgres.stop();
      }
    });
  }
});

describe('a client that asks for metrics and reads nothing', function () {
  this.timeout(60_000);
  it('keeps the server neither from answering others nor from ending', async () => {
    const site = await makeSite('postgresql');
    const port = await freePort();
    const clients: Socket[] = [];
    try {
      const server = await site.serve({ CELLPASS_METRICS_LISTEN: `127.0.0.1:${port}` });
      for (let left = 5; left > 0; left--) {
        const client = connect(port, '127.0.0.1')
          .on('error', () => undefined)
          .pause();
        client.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(200));
        clients.push(client);
      }
      assert.equal((await fetch(`http://127.0.0.1:${port}/metrics`)).status, 200);
      const startedAt = performance.now();
      assert.equal(await server.stop(), 0);
      assert.ok(performance.now() - startedAt < EXIT_MS);
    } finally {
      for (const client of clients) client.destroy();
      await site.remove();
    }
  });
});
