import assert from 'node:assert/strict';
import argon2 from 'argon2';
import fc from 'fast-check';
import request, { type Response } from 'supertest';
import {
  DIRECTORY,
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
} from '../support/failing.ts';
import { assertError } from '../support/reading.ts';
import type { TestServer } from '../support/server.ts';

const PULL = 'repository:acme/app:pull';

describe('security checks: clients that guess, and clients that flood', () => {
  const start = serversToFailAt();

  describe('security check 17: a client that fails too often does not learn which users exist', () => {
    it('every refusal reads the same', async () => {
      const server = await start({ limits: { failedAttempts: LIMITS } });
      const ip = newAddress();
      await statusesOf(LIMITS.perAddress, () => guessToken(server, ip));
      const answers: Response[] = [];
      for (const [username, password] of [
        ['bob', 'wrong'],
        ['bob', SECRETS.password],
        ['bob@example.com', SECRETS.password],
        ['nobody', 'wrong'],
        ['', 'wrong'],
        ['bob', `${SECRETS.token}x`],
        ['puller', 'gldt-unknown'],
        ['gitlab-ci-token', 'unknown'],
      ] as const) {
        answers.push(await guess(server, username, ip, password));
      }
      const withoutRequest = answers.map(({ status, text, headers }) => [
        status,
        text.replace(/request [0-9a-f-]{36}/, ''),
        Object.keys(headers).sort(),
      ]);
      assert.equal(withoutRequest[0]?.[0], 429);
      for (const answer of withoutRequest) assert.deepEqual(answer, withoutRequest[0]);
    });
  });

  describe('security check 23: a client cannot choose the address that its failures count for', () => {
    it('X-Forwarded-For is ignored where no proxy is trusted', async () => {
      const server = await start({
        environment: { CELLPASS_TRUSTED_PROXIES: '192.0.2.0/24' },
        limits: { failedAttempts: LIMITS },
      });
      const spoofed = await statusesOf(LIMITS.perAddress + 1, () => guessToken(server, newAddress()));
      assert.deepEqual(spoofed, [...times(LIMITS.perAddress, 401), 429]);
    });

    it('entries before that of a trusted proxy are ignored', async () => {
      const server = await start({ limits: { failedAttempts: LIMITS } });
      const ip = newAddress();
      const spoofed = await statusesOf(LIMITS.perAddress + 1, () =>
        guessToken(server, `${newAddress()}, ${ip}`),
      );
      assert.deepEqual(spoofed, [...times(LIMITS.perAddress, 401), 429]);
    });

    it('no header breaks the server', async () => {
      const server = await start({ limits: { failedAttempts: { ...LIMITS, perAddress: 0 } } });
      const header = fc.oneof(
        fc
          .array(
            fc.constantFrom('192.0.2.1', '::1', '127.0.0.1', 'x', '', '[::1]:1', '1.2', '::ffff:1.2.3.4'),
            {
              maxLength: 40,
            },
          )
          .map((hops) => hops.join(',')),
        fc.string({ unit: 'grapheme-ascii', maxLength: 200 }),
      );
      await fc.assert(
        fc.asyncProperty(header, async (value) => {
          const { status } = await server.ask({ as: ['bob', 'glpat-unknown'], ip: value.trim() });
          assert.equal(status, 401);
        }),
        { numRuns: 50 },
      );
    });
  });

  describe('security check 39: failed attempts do not lock out others', () => {
    let server: TestServer;
    before(async () => {
      server = await start({ limits: { failedAttempts: LIMITS } });
    });

    it('the same account at another address still logs in', async () => {
      const attacker = newAddress();
      await statusesOf(LIMITS.perAddress * 2, () => guess(server, 'bob', attacker));
      assertError(await guess(server, 'bob', attacker), 429, 'TOOMANYREQUESTS');
      assert.equal((await logIn(server, 'bob', newAddress())).status, 200);
    });

    it('valid tokens behind the same address still work', async () => {
      const shared = newAddress();
      await statusesOf(LIMITS.perAddress, () => guessToken(server, shared));
      for (const [, username, token] of VALID_TOKENS) {
        assert.equal((await server.ask({ as: [username, token], scope: PULL, ip: shared })).status, 200);
      }
    });

    it('an IPv6 host counts as one address, however many it uses; its neighbour as another', async () => {
      let n = 0;
      const statuses = await statusesOf(LIMITS.perAddress + 1, () => {
        n += 1;
        return guessToken(server, `2001:db8:0:1::${n.toString(16)}`);
      });
      assert.deepEqual(statuses, [...times(LIMITS.perAddress, 401), 429]);
      assertError(await logIn(server, 'bob', '2001:db8:0:1:ffff::1'), 429, 'TOOMANYREQUESTS');
      assert.equal((await logIn(server, 'bob', '2001:db8:0:2::1')).status, 200);
    });

    it('a request without a password is no failure', async () => {
      const ip = newAddress();
      for (const as of [
        ['', ''],
        ['bob', ''],
      ] as const) {
        await statusesOf(LIMITS.perAddress + 1, async () => server.ask({ as, ip }));
      }
      assert.equal((await logIn(server, 'bob', ip)).status, 200);
    });
  });

  describe('security check 41: floods of work are bounded', () => {
    /**
     * A hash that takes longer than several token requests, and yet ends in time on a busy machine.
     */
    const dear = { memoryCost: 32_768, timeCost: 3, parallelism: 1 };
    let server: TestServer;
    before(async () => {
      const password_hash = await argon2.hash(SECRETS.password, dear);
      const directory = { ...DIRECTORY, users: [...DIRECTORY.users, { username: 'dear', password_hash }] };
      server = await start({ limits: { argon2Lanes: 1, argon2Queue: 1 } }, directory);
    });

    it('passwords over the length of the queue are 503 with Retry-After; tokens are answered meanwhile', async () => {
      let isBusy = true;
      const logins = Promise.all(
        Array.from({ length: 12 }, async () => logIn(server, 'dear', newAddress())),
      ).finally(() => {
        isBusy = false;
      });
      let whileBusy = 0;
      do {
        assert.equal((await server.ask({ as: ['bob', SECRETS.token], scope: PULL })).status, 200);
        if (isBusy) whileBusy += 1;
      } while (isBusy);
      const answers = await logins;
      const refused = answers.filter(({ status }) => status !== 200);
      assert.ok(refused.length > 0 && refused.length < answers.length, `${refused.length} refused`);
      for (const answer of refused) {
        assertError(answer, 503, 'UNAVAILABLE');
        assert.match(answer.headers['retry-after'] ?? '', /^[1-4]$/);
      }
      assert.ok(whileBusy > 3, `${whileBusy} tokens while the lane was busy`);
    });

    it('the password of a client that has gone is not hashed', async () => {
      const isNoted = () => server.log.some(({ reason }) => reason === 'client_gone');
      const deadline = Date.now() + 10_000;
      // Which request is hashed first is chance, so this may take more than one try.
      while (!isNoted()) {
        assert.ok(Date.now() < deadline, 'not noticed');
        const busy = logIn(server, 'dear', newAddress());
        await server.ask({ as: ['bob', SECRETS.token] });
        const waiting = server.ask({ as: ['nobody', 'waits'] });
        waiting.end(() => undefined);
        await server.ask({ as: ['bob', SECRETS.token] });
        waiting.abort();
        assert.equal((await busy).status, 200);
      }
    });

    it('an imported hash that costs too much is refused', async () => {
      const hash = (parameters: string) => `$argon2id$v=19$${parameters}$${'A'.repeat(22)}$${'A'.repeat(43)}`;
      for (const [parameters, status] of [
        ['m=65536,t=4,p=4', 200],
        ['m=4194304,t=1,p=1', 422],
        ['m=65537,t=1,p=1', 422],
        ['m=19456,t=100,p=1', 422],
        ['m=65536,t=1,p=64', 422],
      ] as const) {
        const document = { version: 1, users: [{ username: 'imported', password_hash: hash(parameters) }] };
        const response = await request(server.admin)
          .post('/admin/v1/directory')
          .set('Content-Type', 'application/yaml')
          .send(JSON.stringify(document));
        assert.equal(response.status, status, parameters);
      }
    });
  });
});
