import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createExpiringMap } from '../../src/expiring-map.ts';
import type { Database } from '../../src/store/database/drivers.ts';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { createUserClaims } from '../../src/token/user-claim.ts';
import { sharedPostgres } from '../support/database/postgres.ts';
import { ACME, LOGIN, type Login, REFUSED_LOGINS } from '../support/directory/acme.ts';
import { aUser } from '../support/policy/subjects.ts';
import { claimsOf } from '../support/reading.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

describe('security checks: how secrets are handled', () => {
  let server: TestServer;
  /** Every query parameter since the test began. */
  let asked: unknown[] = [];

  before(async () => {
    server = await startTestServer({ openDatabase: async () => overheard(await emptyDatabase()) });
    await server.apply(ACME);
  });
  after(() => server.close());
  beforeEach(() => {
    asked = [];
  });

  async function emptyDatabase(): Promise<Database> {
    return openPostgres(await (await sharedPostgres()).createDatabase());
  }

  function overheard(database: Database): Database {
    return {
      ...database,
      query: (statement, params = []) => {
        asked.push(...params);
        return database.query(statement, params);
      },
    };
  }

  describe('security check 16: the database compares digests, so timing does not reveal a part of a secret', () => {
    const all: [what: string, login: Login][] = [...Object.entries(LOGIN), ...REFUSED_LOGINS];
    for (const [at, [what, [username, password]]] of all.entries()) {
      it(`security check 16: ${what}: the database is asked for a digest, never for the secret`, async () => {
        await server.ask({
          as: [username, password],
          ip: `10.0.0.${at}`,
          scope: 'repository:acme/app:pull',
        });
        const heard = asked.map((value) =>
          Buffer.isBuffer(value) ? value.toString('latin1') : JSON.stringify(value),
        );
        assert.ok(!heard.join('\n').includes(password));
        const digest = createHash('sha256').update(password).digest();
        const isByDigest = asked.some((value) => Buffer.isBuffer(value) && value.equals(digest));
        // A password might be a token, so its digest is queried, too. argon2 compares passwords in
        // constant time.
        assert.ok(isByDigest);
      });
    }
  });

  it('security check 37: concurrent requests are never mixed up', async function () {
    this.timeout(60_000);
    const { alice: _, bob: __, root: ___, ...tokens } = LOGIN;
    const names = new Map<Login, string>();
    for (const login of Object.values(tokens)) {
      const answer = await server.ask({ as: login });
      if (answer.status === 200) names.set(login, (await claimsOf(server, answer)).sub ?? '');
    }
    assert.ok(new Set(names.values()).size >= 3);
    for (let round = 0; round < 10; round++) {
      await Promise.all(
        [...names, ...names, ...names, ...names].map(async ([login, name]) => {
          const claims = await claimsOf(server, await server.ask({ as: login }));
          assert.equal(claims.sub, name);
        }),
      );
    }
  });

  it('security check 37: the caches of a process are bounded', () => {
    const remembered = createExpiringMap<number>({ lifeMs: 60_000, max: 100, monotonicMs: () => 0 });
    for (let n = 0; n < 1000; n++) remembered.set(String(n), n);
    const left = Array.from({ length: 1000 }, (_, n) => remembered.get(String(n))).filter(
      (n) => n !== undefined,
    );
    assert.equal(left.length, 100);

    const claim = createUserClaims({ now: () => new Date(), ttlSeconds: 600, maxEntries: 3 });
    const key = server.keyring.active();
    const jwtOf = (id: number) => claim(aUser({ id, username: `user-${id}` }), key, 'libtrust', 0);
    const first = jwtOf(1);
    assert.equal(jwtOf(1), first);
    for (const id of [2, 3, 4]) jwtOf(id);
    assert.notEqual(jwtOf(1), first);
  });
});
