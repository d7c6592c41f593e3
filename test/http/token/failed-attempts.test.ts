import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import request from 'supertest';
import { loadConfig } from '../../../src/config/load.ts';
import { createMasterKey } from '../../../src/keys/master-key.ts';
import type { Database } from '../../../src/store/database/drivers.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { freePort, sharedPostgres } from '../../support/database/postgres.ts';
import {
  guess,
  guessToken,
  LIMITS,
  logIn,
  newAddress,
  SECRETS,
  serversToFailAt,
  statusesOf,
  times,
  VALID_TOKENS,
} from '../../support/failing.ts';
import { until } from '../../support/processes/child.ts';
import { assertError } from '../../support/reading.ts';
import type { TestServer } from '../../support/server.ts';

const PULL = 'repository:acme/app:pull';
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

describe('failed attempts', () => {
  let url: string;
  let queries = 0;
  const start = serversToFailAt();
  let server: TestServer;
  let replica: TestServer;

  const countingDatabase = (): Database => {
    const database = openPostgres(url);
    return {
      ...database,
      query: (statement, params) => {
        const name = typeof statement === 'string' ? '' : statement.name;
        // What runs in the background has its own.
        if (/^((find|ask|read)-|failed_attempts:)/.test(name)) queries += 1;
        return database.query(statement, params);
      },
    };
  };

  before(async function () {
    this.timeout(60_000);
    url = await (await sharedPostgres()).createMigratedDatabase();
    const masterKey = await createMasterKey(randomBytes(32), 'the key of both');
    const options = {
      limits: { failedAttempts: LIMITS },
      openDatabase: async () => countingDatabase(),
      masterKey,
    };
    server = await start(options);
    replica = await start(options, null);
  });

  describe('by default', () => {
    let usual: TestServer;
    before(async () => {
      const { failedAttempts } = loadConfig({}).limits;
      usual = await start({ limits: { failedAttempts } });
    });

    it('are 30 in 3 minutes: then 429 for passwords, right or wrong, with when to come back', async () => {
      const ip = newAddress();
      assert.deepEqual(await statusesOf(31, () => guess(usual, 'bob', ip)), [...times(30, 401), 429]);
      const refused = await logIn(usual, 'bob', ip);
      const message = assertError(refused, 429, 'TOOMANYREQUESTS');
      assert.equal(message, 'too many failed attempts: try again later, or use a token');
      const seconds = Number(refused.headers['retry-after']);
      assert.ok(seconds > 120 && seconds <= 180, `${seconds} s`);
      assert.equal(refused.headers['www-authenticate'], undefined);
    });

    it('of one account lock out nobody else behind the same address', async () => {
      const ip = newAddress();
      await statusesOf(31, () => guess(usual, 'alice', ip));
      assert.equal((await logIn(usual, 'bob', ip)).status, 200);
    });

    it('of many accounts lock out the address', async () => {
      const ip = newAddress();
      for (let n = 0; n < 30; n++) assert.equal((await guess(usual, `user-${n}`, ip)).status, 401);
      assertError(await logIn(usual, 'bob', ip), 429, 'TOOMANYREQUESTS');
    });

    it('of tokens are as many', async () => {
      const ip = newAddress();
      assert.deepEqual(await statusesOf(31, () => guessToken(usual, ip)), [...times(30, 401), 429]);
    });
  });

  describe('from one address', () => {
    const ip = newAddress();
    before(async () => {
      const names = Array.from({ length: LIMITS.perAddress }, (_, n) => `user-${n}`);
      for (const name of names) assert.equal((await guess(server, name, ip)).status, 401);
    });

    it('limit it, whoever it says it is', async () => {
      for (const name of ['user-0', 'bob', 'nobody', '']) {
        assertError(await guess(server, name, ip), 429, 'TOOMANYREQUESTS');
      }
      assertError(await guessToken(server, ip), 429, 'TOOMANYREQUESTS');
    });

    for (const [what, username, token] of VALID_TOKENS) {
      it(`are nothing to ${what} from the same address`, async () => {
        assert.equal((await server.ask({ as: [username, token], scope: PULL, ip })).status, 200);
      });
    }

    it('are nothing to nobody', async () => {
      assert.equal((await server.ask({ scope: PULL, ip })).status, 200);
    });

    it('are nothing to whoever is elsewhere', async () => {
      assert.equal((await logIn(server, 'bob', newAddress())).status, 200);
    });

    it('are known to every replica', async () => {
      assertError(await logIn(replica, 'bob', ip), 429, 'TOOMANYREQUESTS');
      const other = newAddress();
      assert.deepEqual(await statusesOf(LIMITS.perAddress, () => guessToken(server, other)), times(10, 401));
      assertError(await guessToken(replica, other), 429, 'TOOMANYREQUESTS');
    });

    it('are said once in the log and counted once, and the cause is said with each request', async () => {
      const warnings = server.log.filter(({ message }) => message === 'too many failed attempts');
      assert.deepEqual(
        warnings.filter(({ network }) => network === ip).map(({ level, by }) => [level, by]),
        [['warn', 'address']],
      );
      const refused = server.log.filter(({ client, status }) => client === ip && status === 429);
      assert.ok(refused.length > 0);
      assert.ok(refused.every(({ reason }) => reason === 'too_many_failures'));
      const { text } = await request(server.admin).get('/metrics');
      assert.match(text, /^cellpass_lockouts_total\{by="address"\} 2$/m);
    });
  });

  describe('of one account from one address', () => {
    it('limit it there, under any spelling, and neither another account there nor the account elsewhere', async () => {
      const ip = newAddress();
      assert.deepEqual(await statusesOf(LIMITS.perAccount, () => guess(server, 'BOB', ip)), times(4, 401));
      assertError(await logIn(server, 'bob', ip), 429, 'TOOMANYREQUESTS');
      assertError(await logIn(replica, 'Bob', ip), 429, 'TOOMANYREQUESTS');
      assert.equal((await logIn(server, 'alice', ip)).status, 200);
      assert.equal((await logIn(server, 'bob', newAddress())).status, 200);
      assert.equal((await guess(server, 'bob', ip, SECRETS.token)).status, 200);
    });

    it('are one number, by its name and by its e-mail address', async () => {
      const ip = newAddress();
      const logins = ['bob', 'bob@example.com', 'Bob@Example.com', 'BOB'];
      for (const login of logins) assert.equal((await guess(server, login, ip)).status, 401);
      for (const login of logins) assertError(await logIn(server, login, ip), 429, 'TOOMANYREQUESTS');
      assert.equal((await logIn(server, 'alice', ip)).status, 200);
    });

    it('are forgotten by its name when it succeeds by its e-mail address', async () => {
      const ip = newAddress();
      for (let round = 0; round < 2; round++) {
        assert.deepEqual(await statusesOf(3, () => guess(server, 'bob', ip)), times(3, 401));
        assert.equal((await logIn(server, 'bob@example.com', ip)).status, 200);
      }
    });

    it('are forgotten when it succeeds', async () => {
      const ip = newAddress();
      for (let round = 0; round < 2; round++) {
        assert.deepEqual(await statusesOf(3, () => guess(server, 'bob', ip)), times(3, 401));
        assert.equal((await logIn(server, 'bob', ip)).status, 200);
      }
    });

    const others: [what: string, username: string, secret: string][] = [
      ['another account', 'alice', SECRETS.password],
      ['a token under its name', 'bob', SECRETS.token],
    ];
    for (const [what, username, secret] of others) {
      it(`are not forgotten when ${what} succeeds`, async () => {
        const ip = newAddress();
        assert.deepEqual(await statusesOf(3, () => guess(server, 'bob', ip)), times(3, 401));
        assert.equal((await guess(server, username, ip, secret)).status, 200);
        assert.deepEqual(await statusesOf(2, () => guess(server, 'bob', ip)), [401, 429]);
      });
    }

    it('are not those of its address, which no success makes forget', async () => {
      const ip = newAddress();
      for (let round = 0; round < 3; round++) {
        assert.deepEqual(await statusesOf(3, () => guess(server, 'bob', ip)), times(3, 401));
        assert.equal((await logIn(server, 'bob', ip)).status, 200);
      }
      assert.deepEqual(await statusesOf(2, () => guess(server, 'bob', ip)), [401, 429]);
    });

    it('are as many when they come all at once', async () => {
      const ip = newAddress();
      const answers = await Promise.all(Array.from({ length: 40 }, () => guess(server, 'bob', ip)));
      const count = (status: number) => answers.filter((answer) => answer.status === status).length;
      assert.deepEqual([count(401), count(429)], [LIMITS.perAccount, 40 - LIMITS.perAccount]);
    });
  });

  describe('with the same secret', () => {
    const post = (username: string, password: string, ip: string) =>
      request(server.app)
        .post('/jwt/auth')
        .set('X-Forwarded-For', ip)
        .type('form')
        .send({ grant_type: 'password', service: 'container_registry', username, password });

    it('count once for the POST and the GET of one client', async () => {
      const ip = newAddress();
      for (let attempt = 0; attempt < LIMITS.perAccount; attempt++) {
        const password = randomBytes(8).toString('hex');
        assertError(await post('bob', password, ip), 401, 'UNAUTHORIZED');
        if (attempt < LIMITS.perAccount - 1)
          assert.equal((await guess(server, 'bob', ip, password)).status, 401);
      }
      assertError(await logIn(server, 'bob', ip), 429, 'TOOMANYREQUESTS');
    });

    it('count again before long, because each costs a hash', async () => {
      const ip = newAddress();
      const statuses = await statusesOf(20, () => guess(server, 'bob', ip, 'the same'));
      assert.deepEqual(statuses, [...times(13, 401), ...times(7, 429)]);
    });
  });

  describe('do not count', () => {
    const rows: [what: string, ask: (ip: string) => request.Test, status: number][] = [
      ['nobody', (ip) => server.ask({ ip }), 403],
      ['an empty name with an empty password', (ip) => server.ask({ as: ['', ''], ip }), 403],
      ['a name with an empty password', (ip) => server.ask({ as: ['bob', ''], ip }), 401],
      ['no Basic credentials', (ip) => server.ask({ ip }).set('Authorization', 'Basic !'), 401],
      ['control characters', (ip) => server.ask({ ip }).set('Authorization', basic('bob:\0')), 401],
      [
        'a token with a wrong checksum',
        (ip) => server.ask({ as: ['bob', `glpat-${'a'.repeat(27)}.00.000000`], ip }),
        401,
      ],
      [
        'a refresh token',
        (ip) =>
          request(server.app)
            .post('/jwt/auth')
            .set('X-Forwarded-For', ip)
            .type('form')
            .send({ grant_type: 'refresh_token', refresh_token: 'x' }),
        401,
      ],
    ];
    for (const [what, ask, status] of rows) {
      it(`for ${what}`, async () => {
        const ip = newAddress();
        assert.deepEqual(
          await statusesOf(LIMITS.perAddress + 2, async () => ask(ip)),
          times(LIMITS.perAddress + 2, status),
        );
        assert.equal((await logIn(server, 'bob', ip)).status, 200);
      });
    }
  });

  describe('cost', () => {
    const costOf = async (ask: () => Promise<unknown>): Promise<number> => {
      const before = queries;
      await ask();
      return queries - before;
    };

    it('a valid token nothing, nor nobody', async () => {
      const ip = newAddress();
      assert.equal(await costOf(async () => server.ask({ as: ['bob', SECRETS.token], scope: PULL, ip })), 1);
      assert.equal(await costOf(async () => server.ask({ scope: PULL, ip })), 1);
    });

    it('a wrong token two more queries, and none once the address is known to be limited', async () => {
      const ip = newAddress();
      assert.equal(await costOf(() => guessToken(server, ip)), 3);
      await statusesOf(LIMITS.perAddress, () => guessToken(server, ip));
      assert.equal(await costOf(() => guessToken(server, ip)), 1);
      assert.equal(await costOf(() => guess(server, 'bob', ip)), 1);
    });
  });

  describe('that are over', () => {
    it('end by themselves', async () => {
      const failedAttempts = { perAddress: 2, perAccount: 2, seconds: 2 };
      const brief = await start({ limits: { failedAttempts } });
      const ip = newAddress();
      // On a busy machine the first may be over before the last is counted.
      const limited = await until(
        async () => {
          const answers = await Promise.all(Array.from({ length: 3 }, () => guessToken(brief, ip)));
          return answers.find(({ status }) => status === 429);
        },
        () => 'not limited',
      );
      assert.match(limited.headers['retry-after'] ?? '', /^[12]$/);
      await until(
        async () => ((await logIn(brief, 'bob', ip)).status === 200 ? true : undefined),
        () => 'still limited',
      );
    });
  });

  describe('in another cell, to which they were passed on', () => {
    const folder = mkdtempSync(join(tmpdir(), 'cellpass-failed-'));
    let one: TestServer;
    let two: TestServer;
    before(async () => {
      const ports = [await freePort(), await freePort()];
      const file = join(folder, 'cells.yaml');
      const cells = ports.map((port, n) => ({
        id: n + 1,
        legacy: n === 0,
        url: `http://127.0.0.1:${port}`,
        namespaces: [`group-${n + 1}`],
      }));
      writeFileSync(file, JSON.stringify({ cells }));
      const optionsOf = (id: 1 | 2) => ({
        environment: { CELLPASS_CELL: String(id), CELLPASS_CELLS_FILE: file },
        limits: { failedAttempts: LIMITS },
        port: ports[id - 1]!,
      });
      one = await start(optionsOf(1));
      two = await start(optionsOf(2), null);
    });
    after(() => rmSync(folder, { recursive: true }));

    it("count there, as the client's, and the 429 comes back as it is", async () => {
      const ip = newAddress();
      assert.deepEqual(await statusesOf(LIMITS.perAccount, () => guess(two, 'bob', ip)), times(4, 401));
      for (const asked of [two, one]) {
        const refused = await logIn(asked, 'bob', ip);
        assertError(refused, 429, 'TOOMANYREQUESTS');
        assert.match(refused.headers['retry-after'] ?? '', /^\d+$/);
      }
      assert.equal((await logIn(two, 'bob', newAddress())).status, 200);
    });
  });

  describe('switched off', () => {
    it('are any number', async () => {
      const off = await start({
        limits: { failedAttempts: { perAddress: 0, perAccount: 0, seconds: 180 } },
      });
      const ip = newAddress();
      assert.deepEqual(await statusesOf(40, () => guessToken(off, ip)), times(40, 401));
      assert.equal((await guess(off, 'bob', ip)).status, 401);
      assert.equal((await logIn(off, 'bob', ip)).status, 200);
    });
  });

  describe('that can not be counted', () => {
    it('are 503, never 401 and never 500, and valid tokens go on', async () => {
      const broken = await start({ limits: { failedAttempts: LIMITS } });
      await broken.database.execute('DROP TABLE failed_attempts');
      const ip = newAddress();
      for (const refused of [await guess(broken, 'bob', ip), await guessToken(broken, ip)]) {
        assertError(refused, 503, 'UNAVAILABLE');
        assert.match(refused.headers['retry-after'] ?? '', /^\d+$/);
      }
      assert.equal((await guess(broken, 'bob', ip, SECRETS.token)).status, 200);
    });
  });
});
