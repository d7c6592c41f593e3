import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { decodeProtectedHeader } from 'jose';
import request from 'supertest';
import { ACME, LOGIN, secret } from '../support/directory/acme.ts';
import { type Clock, clockAt } from '../support/keys.ts';
import { claimsOf, userOf } from '../support/reading.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const SCOPE = 'repository:acme/app:pull';
const TTL_S = 300;
const BACKDATED_S = 5;

describe('a clock that is set', () => {
  let clock: Clock;
  let server: TestServer;
  beforeEach(async () => {
    clock = clockAt('2026-11-24T12:00:00Z');
    server = await startTestServer({ now: clock.now, monotonicMs: clock.monotonicMs });
    await server.apply(ACME);
  });
  afterEach(() => server.close());

  /** Reloads the keys as a running server does, without time passing. */
  const setClock = async (ms: number): Promise<void> => {
    clock.set(ms);
    await server.keyring.refresh();
  };
  const assertSaneToken = async (about: string): Promise<void> => {
    const nowS = Math.floor(clock.now().getTime() / 1000);
    const response = await server.ask({ as: LOGIN.api, scope: SCOPE });
    const claims = await claimsOf(server, response);
    const { iat, nbf, exp } = claims;
    assert.deepEqual([iat, nbf, exp], [nowS - BACKDATED_S, nowS - BACKDATED_S, nowS + TTL_S], about);
    const user = userOf(claims).claims;
    assert.ok(user.nbf! <= nowS && user.iat! <= nowS, `${about}: the nested token is from the future`);
    assert.ok(user.exp! >= exp! && user.exp! <= nowS + HOUR_MS / 1000, `${about}: the nested token's end`);
    const [leaf] = decodeProtectedHeader(response.body.token).x5c ?? [];
    const { validFrom, validTo } = new X509Certificate(Buffer.from(leaf!, 'base64'));
    assert.ok(
      Date.parse(validFrom) <= nowS * 1000 && Date.parse(validTo) >= exp! * 1000,
      `${about}: the leaf`,
    );
  };

  const moves: [what: string, moves: readonly number[]][] = [
    ['forward by a minute, and back', [MINUTE_MS, -MINUTE_MS]],
    ['forward by a day, and back', [DAY_MS, -DAY_MS]],
    ['back by an hour, and forward', [-HOUR_MS, HOUR_MS]],
    ['forward by forty days', [40 * DAY_MS]],
    ['to and fro', [DAY_MS, -HOUR_MS, DAY_MS, -2 * DAY_MS]],
  ];
  for (const [what, steps] of moves) {
    it(`${what} leaves each token with the times of its issue, and none of an earlier one`, async () => {
      await assertSaneToken('before');
      for (const step of steps) {
        await setClock(step);
        await assertSaneToken(`after ${step} ms`);
      }
    });
  }

  it('forward does not end the publication of a retired key before its tokens are dead', async () => {
    const old = await server.ask({ as: LOGIN.api, scope: SCOPE });
    await rotate();
    const { kid } = decodeProtectedHeader(old.body.token);
    const isPublished = (): boolean => server.keyring.published().jwks.keys.some((key) => key.kid === kid);
    for (const step of [DAY_MS, -HOUR_MS, HOUR_MS]) {
      await setClock(step);
      assert.ok(isPublished(), `after ${step} ms`);
    }
    clock.advance(2 * HOUR_MS);
    await server.keyring.refresh();
    assert.ok(!isPublished(), 'when its time has really passed');
  });

  it('forward past a rotation brings one, after the time that registries need, and back none', async () => {
    const states = (): readonly string[] => server.keyring.open().set.keys.map(({ state }) => state);
    const tick = async (): Promise<void> => {
      await server.schedule.tick();
      await server.keyring.refresh();
    };
    await setClock(31 * DAY_MS);
    await tick();
    assert.deepEqual(states(), ['active', 'pending']);
    await setClock(DAY_MS);
    await tick();
    assert.deepEqual(states(), ['active', 'pending'], 'a day that did not pass');
    clock.advance(10 * MINUTE_MS);
    await server.keyring.refresh();
    await tick();
    assert.deepEqual(states(), ['retired', 'active', 'pending']);
    for (const step of [-32 * DAY_MS, 20 * DAY_MS, 12 * DAY_MS]) {
      await setClock(step);
      await tick();
      assert.deepEqual(states(), ['retired', 'active', 'pending'], `after ${step} ms`);
    }
  });

  it('decides when a credential has expired', async () => {
    const token = secret('glpat-');
    await server.apply({
      access_tokens: [
        { name: 'dated', kind: 'personal', user: 'alice', scopes: ['api'], expires_at: '2026-11-26', token },
      ],
    });
    const status = async (): Promise<number> => (await server.ask({ as: ['x', token], scope: SCOPE })).status;
    assert.equal(await status(), 200);
    await setClock(2 * DAY_MS);
    assert.equal(await status(), 401);
    await setClock(-DAY_MS);
    assert.equal(await status(), 200);
  });

  const rotate = async (): Promise<void> => {
    const agent = request(server.admin);
    await agent.post('/admin/v1/keys/stage').send({}).expect(200);
    await agent.post('/admin/v1/keys/rotate').send({ force: true }).expect(200);
    await server.keyring.refresh();
  };
});
