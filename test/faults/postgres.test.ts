import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import request, { type Response } from 'supertest';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { startPostgres, type TestPostgres } from '../support/database/postgres.ts';
import { type Relay, startRelay } from '../support/database/relay.ts';
import { ACME, LOGIN, type Login } from '../support/directory/acme.ts';
import { until } from '../support/processes/child.ts';
import { assertError, claimsOf } from '../support/reading.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const SCOPE = 'repository:acme/site:pull';
/** A client must have its answer within this time, whatever happens to the database. */
const BOUND_MS = 2000;
/** The server must work again within this time. */
const HEALED_MS = 5000;
/** More requests than the pool has connections. */
const CROWD = 30;
/** The number of connections that PostgreSQL accepts. */
const ALL_CONNECTIONS = 15;

/** A client with right credentials, and the subject of its token. */
type Visitor = readonly [name: string, subject: string, ask: () => Promise<Response>];

describe('a server whose PostgreSQL', () => {
  let postgres: TestPostgres;
  let relay: Relay;
  let server: TestServer;
  let url: string;
  before(async function () {
    this.timeout(60_000);
    postgres = await startPostgres(`max_connections=${ALL_CONNECTIONS}`);
    url = await postgres.createDatabase();
    relay = await startRelay(url);
    server = await startTestServer({
      openDatabase: async () => openPostgres(relay.url),
    });
    await server.apply(ACME);
  });
  after(async () => {
    postgres.thaw();
    await relay.mend();
    await server.close();
    await relay.close();
    await postgres.stop();
  });

  const get = (as?: Login) => async () => server.ask({ ...(as && { as }), scope: SCOPE });
  const post = ([username, password]: Login) => {
    return async () => {
      const form = {
        grant_type: 'password',
        service: 'container_registry',
        scope: SCOPE,
        username,
        password,
      };
      const { port } = server.app.address() as AddressInfo;
      return request(`http://127.0.0.1:${port}`)
        .post('/jwt/auth')
        .type('form')
        .send({ ...form, client_id: 'docker' });
    };
  };
  const visitors: readonly Visitor[] = [
    ['nobody', '', get()],
    ['a token', 'alice', get(LOGIN.api)],
    ['a password', 'bob', get(LOGIN.bob)],
    ['a deploy token', 'deployer', get(LOGIN.deployer)],
    ['a job', 'alice', get(LOGIN.job)],
    ['a password by POST', 'root', post(LOGIN.root)],
    ['a token by POST', 'alice', post(LOGIN.api)],
  ];
  const strangers: readonly Visitor[] = [
    ['a wrong password', '', get(['alice', 'guessed'])],
    ['a wrong password by POST', '', post(['bob', 'guessed'])],
    ['an unknown token', '', get(['alice', `glpat-${'x'.repeat(20)}`])],
  ];

  /** Checks that each answer comes in time and is right: a token for the right subject, or 503. */
  const visit = async (which: readonly Visitor[]): Promise<readonly number[]> =>
    Promise.all(
      which.map(async ([name, subject, ask]) => {
        const startedAt = performance.now();
        const response = await ask();
        const tookMs = performance.now() - startedAt;
        assert.ok(tookMs < BOUND_MS, `${name}: ${tookMs} ms`);
        if (response.status === 200) assert.equal((await claimsOf(server, response)).sub, subject, name);
        else if (response.status === 401)
          assert.ok(
            strangers.some(([who]) => who === name),
            name,
          );
        else assertAway(response);
        return response.status;
      }),
    );
  const assertServes = async (): Promise<void> => {
    for (const status of await visit(visitors)) assert.equal(status, 200);
    for (const [name, , ask] of strangers) assert.equal((await ask()).status, 401, name);
    await request(server.app).get('/readyz').expect(200);
  };
  const assertHeals = async (): Promise<void> => {
    await until(
      async () => ((await visit(visitors)).every((status) => status === 200) ? true : undefined),
      () => 'it does not heal',
      HEALED_MS,
    );
    await assertServes();
  };

  let release = async (): Promise<void> => undefined;
  const faults: [what: string, begin: () => Promise<void> | void, end: () => Promise<void> | void][] = [
    ['is stopped', () => postgres.crash(), () => postgres.start()],
    ['is frozen', () => postgres.freeze(), () => postgres.thaw()],
    ['loses its connections, and takes none', () => relay.cut(), () => relay.mend()],
    ['takes connections and never answers', () => relay.silence(), () => relay.mend()],
    ['answers by halves', () => relay.halve(), () => relay.mend()],
    ['answers after 1 s', () => relay.delay(1000), () => relay.mend()],
    [
      'waits for a lock',
      async () => {
        release = await lockOut(url);
      },
      () => release(),
    ],
    [
      'has all its connections taken',
      async () => {
        await relay.cut();
        release = await crowdOut(url);
        await relay.mend();
      },
      () => release(),
    ],
  ];
  for (const [what, begin, end] of faults) {
    it(`${what} answers 503 in time to every client, and recovers on its own`, async () => {
      await assertServes();
      await begin();
      try {
        // The half answer belongs to one client; the rest must reach no other.
        if (what === 'answers by halves') await visit(visitors.slice(0, 1));
        const crowd = Array.from({ length: CROWD }, (_, at) => [...visitors, ...strangers][at % 10]!);
        for (const status of await visit(crowd)) assert.equal(status, 503);
        const startedAt = performance.now();
        assertAway(await request(server.app).get('/readyz'));
        assert.ok(performance.now() - startedAt < BOUND_MS);
        await request(server.app).get('/healthz').expect(200);
      } finally {
        await end();
      }
      await assertHeals();
    });
  }

  it('takes 0.8 s for each answer is slow, and no more than that', async () => {
    await assertServes();
    relay.delay(800);
    for (const status of await visit(visitors)) assert.ok(status === 200 || status === 503);
    await relay.mend();
    await assertHeals();
  });

  it('takes 0.6 s for each of the many answers of a password that is wrong, answers in time', async () => {
    relay.delay(600);
    for (const status of await visit(strangers.slice(0, 1))) assert.ok([401, 503].includes(status));
    await relay.mend();
    await assertHeals();
  });

  it('is restarted again and again gives right answers or none, and heals', async () => {
    const answered = new Map<number, number>();
    let done = false;
    const asking = (async () => {
      while (!done) {
        for (const status of await visit(visitors)) answered.set(status, (answered.get(status) ?? 0) + 1);
        for (const [name, , ask] of strangers) assert.ok([401, 503].includes((await ask()).status), name);
      }
    })();
    for (let round = 0; round < 3; round++) {
      await postgres.crash();
      await postgres.start();
      await until(
        async () => ((await visit(visitors)).includes(200) ? true : undefined),
        () => 'it does not heal',
        HEALED_MS,
      );
    }
    done = true;
    await asking;
    assert.ok((answered.get(200) ?? 0) > 0);
    await assertHeals();
  });

  it('was frozen for a moment gives every client its own answer, and none of another’s', async () => {
    for (let round = 0; round < 3; round++) {
      const asking = Promise.all(Array.from({ length: 5 }, () => visit(visitors)));
      postgres.freeze();
      await visit(visitors.slice(0, 3));
      postgres.thaw();
      await asking;
    }
    await assertHeals();
  });
});

function assertAway(response: Response): void {
  assertError(response, 503, 'UNAVAILABLE');
  assert.match(response.headers['retry-after'] ?? '', /^[1-9]\d*$/);
  assert.equal(response.headers['www-authenticate'], undefined);
  assert.equal(response.body.token, undefined);
}

/** Holds a lock that every query of a token request waits for, as if the disk did not answer. */
async function lockOut(url: string): Promise<() => Promise<void>> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query('BEGIN; LOCK TABLE settings, directory_version IN ACCESS EXCLUSIVE MODE');
  return () => client.end();
}

/** Opens connections until PostgreSQL accepts no more. */
async function crowdOut(url: string): Promise<() => Promise<void>> {
  const clients: pg.Client[] = [];
  await until(
    async () => {
      const client = new pg.Client(url);
      client.on('error', () => undefined);
      await client.connect().then(
        () => clients.push(client),
        () => undefined,
      );
      return clients.length === ALL_CONNECTIONS ? true : undefined;
    },
    () => `only ${clients.length} connections`,
  );
  return async () => {
    await Promise.all(clients.map((client) => client.end()));
  };
}
