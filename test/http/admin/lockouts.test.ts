import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import request from 'supertest';
import type { LockoutPageView, LockoutView } from '../../../src/http/types.ts';
import { createMasterKey } from '../../../src/keys/master-key.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { openTestPglite } from '../../support/database/pglite.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';
import {
  DIRECTORY,
  guess,
  LIMITS,
  logIn,
  newAddress,
  serversToFailAt,
  statusesOf,
} from '../../support/failing.ts';
import { type GitlabTestServer, startGitlabServer } from '../../support/gitlab/server.ts';
import { until } from '../../support/processes/child.ts';
import type { TestServer } from '../../support/server.ts';

const { perAccount, perAddress } = LIMITS;
const options = { limits: { failedAttempts: LIMITS } };

const list = async (server: TestServer, query = ''): Promise<LockoutPageView> =>
  (await request(server.admin).get(`/admin/v1/lockouts?limit=1000${query}`).expect(200)).body;
const of = async (server: TestServer, address: string): Promise<readonly LockoutView[]> =>
  (await list(server)).lockouts.filter((one) => one.address === address);
const clear = (server: TestServer, body: object) =>
  request(server.admin).post('/admin/v1/lockouts/clear').set('Cellpass-Actor', 'root').send(body);

/** Guesses until the account is locked out at the address. */
const lockAccount = (server: TestServer, name: string, ip: string) =>
  statusesOf(perAccount, () => guess(server, name, ip));
/** Guesses at many names, until the address is locked out. */
const lockAddress = async (server: TestServer, ip: string): Promise<void> => {
  for (let n = 0; n < perAddress; n++) await guess(server, `nobody-${n}`, ip);
};

function testLockouts(server: () => TestServer): void {
  it('are listed with the account, its failed attempts, and until when', async () => {
    const ip = newAddress();
    assert.deepEqual(await of(server(), ip), []);
    await statusesOf(perAccount - 1, () => guess(server(), 'bob', ip));
    assert.deepEqual(await of(server(), ip), []);
    await guess(server(), 'bob', ip);
    const [lockout, ...others] = await of(server(), ip);
    assert.deepEqual(others, []);
    const { until: end, ...facts } = lockout!;
    assert.deepEqual(facts, { by: 'account', address: ip, account: 'bob', failed: perAccount });
    const seconds = (Date.parse(end) - Date.now()) / 1000;
    assert.ok(seconds > 60 && seconds <= LIMITS.seconds, `${seconds} s`);
    assert.equal((await logIn(server(), 'bob', ip)).status, 429);
  });

  it('of a name that is no account’s are listed without the name', async () => {
    const ip = newAddress();
    await lockAccount(server(), 'my-secret-Password', ip);
    const page = await list(server());
    const [lockout] = page.lockouts.filter(({ address }) => address === ip);
    assert.deepEqual([lockout?.by, lockout?.account], ['account', undefined]);
    assert.ok(!JSON.stringify(page).toLowerCase().includes('my-secret'));
    await clear(server(), { account: 'my-secret-Password' }).expect(404);
  });

  it('of addresses are listed, and refused tokens alone are none', async () => {
    const [ip, other] = [newAddress(), newAddress()];
    await lockAddress(server(), ip);
    assert.deepEqual(
      (await of(server(), ip)).map(({ by, account, failed }) => [by, account, failed]),
      [['address', undefined, perAddress]],
    );
    const token = `glpat-${randomBytes(12).toString('hex')}`;
    await statusesOf(perAccount + 1, () => guess(server(), 'bob', other, token));
    assert.deepEqual(await of(server(), other), []);
  });

  it('come page by page, and no cursor has a digest of a name', async () => {
    const { lockouts } = await list(server());
    assert.ok(lockouts.length > 2);
    const seen: LockoutView[] = [];
    for (let after = ''; ; ) {
      const { body } = await request(server().admin).get(`/admin/v1/lockouts?limit=1${after}`).expect(200);
      seen.push(...body.lockouts);
      if (body.next === undefined) break;
      assert.match(body.next, /^\d+-\d+$/);
      after = `&after=${body.next}`;
    }
    assert.deepEqual(seen, lockouts);
  });

  it('of a user are cleared at every address, and the user can log in at once', async () => {
    const ips = [newAddress(), newAddress()];
    for (const ip of ips) await lockAccount(server(), 'bob', ip);
    await lockAccount(server(), 'alice', ips[0]!);
    const { body } = await clear(server(), { account: 'BOB' }).expect(200);
    assert.equal(body.account, 'bob');
    assert.ok(body.cleared >= 2);
    for (const ip of ips) assert.equal((await logIn(server(), 'bob', ip)).status, 200, ip);
    assert.equal((await logIn(server(), 'alice', ips[0]!)).status, 429);
    assert.deepEqual((await clear(server(), { account: 'bob' }).expect(200)).body, {
      cleared: 0,
      account: 'bob',
    });
  });

  it('of an address are cleared with those of accounts there, and the counts begin anew', async () => {
    const ip = newAddress();
    await lockAccount(server(), 'bob', ip);
    await lockAddress(server(), ip);
    const { body } = await clear(server(), { address: ip }).expect(200);
    assert.deepEqual(body, { cleared: 2, address: ip });
    assert.deepEqual(await of(server(), ip), []);
    assert.equal((await logIn(server(), 'bob', ip)).status, 200);
    assert.deepEqual(await statusesOf(perAccount, () => guess(server(), 'bob', ip)), [401, 401, 401, 401]);
    assert.equal((await logIn(server(), 'bob', ip)).status, 429);
  });

  it('of an IPv6 network are cleared by any of its addresses, or as they are listed', async () => {
    const network = '2001:db8:77:1::/64';
    for (const address of [
      '2001:db8:77:1::2',
      '2001:DB8:77:1:ffff::9',
      network,
      '2001:db8:77:1:0:0:0:0/64',
    ]) {
      await lockAccount(server(), 'bob', '2001:db8:77:1::1');
      assert.equal((await of(server(), network)).length, 1, address);
      assert.deepEqual((await clear(server(), { address }).expect(200)).body, {
        cleared: 1,
        address: network,
      });
      assert.equal((await logIn(server(), 'bob', '2001:db8:77:1::3')).status, 200);
    }
    assert.equal((await clear(server(), { address: '2001:db8:77:2::1' }).expect(200)).body.cleared, 0);
  });

  const WRONG: readonly (readonly [body: object, status: number, message: RegExp])[] = [
    [{ address: 'bob' }, 422, /address must be an IP address/],
    [{ address: '192.0.2.0/24' }, 422, /address must be an IP address/],
    [{ address: '2001:db8::/32' }, 422, /address must be an IP address/],
    [{ account: 'nobody' }, 404, /no user "nobody": give the name of a user, or the address/],
    [{}, 422, /fewer than 1/],
    [{ address: '192.0.2.1', account: 'bob' }, 422, /more than 1/],
    [{ user: 'bob' }, 422, /unknown field: user/],
  ];
  for (const [body, status, message] of WRONG) {
    it(`are not cleared by ${JSON.stringify(body)}`, async () => {
      const answer = await clear(server(), body).expect(status);
      assert.match(answer.body.errors[0].message, message);
    });
  }

  it('that are cleared are in the audit and in the log, with who did it', async () => {
    const ip = newAddress();
    await lockAccount(server(), 'bob', ip);
    await clear(server(), { address: ip }).expect(200);
    await clear(server(), { address: ip }).expect(200);
    const events = await server().database.query(
      "SELECT actor, action FROM audit_events WHERE area = 'lockouts' AND subject = $1",
      [ip],
    );
    assert.deepEqual(events, [{ actor: 'admin socket (root)', action: 'clear' }]);
    const lines = server().log.filter(({ path }) => path === '/admin/v1/lockouts/clear');
    assert.ok(lines.length > 0 && lines.every(({ admin }) => admin === 'admin socket (root)'));
  });
}

describe('lockouts, on PGlite', () => {
  const start = serversToFailAt();
  let server: TestServer;
  before(async function () {
    this.timeout(120_000);
    server = await start({ ...options, openDatabase: openTestPglite });
  });
  testLockouts(() => server);
});

describe('lockouts, on PostgreSQL', () => {
  const start = serversToFailAt();
  let server: TestServer;
  let replica: TestServer;
  before(async () => {
    const url = await (await sharedPostgres()).createMigratedDatabase();
    const masterKey = await createMasterKey(randomBytes(32), 'the key of both');
    const shared = { ...options, openDatabase: async () => openPostgres(url), masterKey };
    server = await start(shared);
    replica = await start(shared, null);
  });
  testLockouts(() => server);

  it('are cleared on each replica, which has them in memory', async () => {
    const ip = newAddress();
    await lockAccount(replica, 'bob', ip);
    assert.equal((await logIn(replica, 'bob', ip)).status, 429);
    await clear(server, { account: 'bob' }).expect(200);
    await until(
      async () => (await logIn(replica, 'bob', ip)).status === 200 || undefined,
      () => 'the replica still refuses bob',
      5000,
    );
  });

  it('are none without a limit', async () => {
    const none = await start({
      limits: { failedAttempts: { ...LIMITS, perAccount: 0, perAddress: 0 } },
      openDatabase: async () => openPostgres(await (await sharedPostgres()).createMigratedDatabase()),
    });
    await statusesOf(3, () => guess(none, 'bob', newAddress()));
    assert.deepEqual(await list(none), { lockouts: [] });
  });
});

describe('lockouts, on a GitLab', () => {
  let server: GitlabTestServer;
  before(async () => {
    server = await startGitlabServer(options);
    await server.apply(DIRECTORY);
  });
  after(() => server.close());
  it('are listed with the account, and cleared', async () => {
    const ip = newAddress();
    await lockAccount(server, 'bob', ip);
    assert.equal((await of(server, ip))[0]?.account, 'bob');
    await clear(server, { account: 'Bob' }).expect(200);
    assert.equal((await logIn(server, 'bob', ip)).status, 200);
    await clear(server, { account: 'nobody' }).expect(404);
  });
});
