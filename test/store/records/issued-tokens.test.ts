import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Database } from '../../../src/store/database/drivers.ts';
import { migrate } from '../../../src/store/database/migrate.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { searchIssuedTokens } from '../../../src/store/records/issued-token-search.ts';
import {
  createIssuedTokens,
  type IssuedToken,
  type IssuedTokens,
} from '../../../src/store/records/issued-tokens.ts';
import { openTestPglite } from '../../support/database/pglite.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';

const DRIVERS: [name: string, open: () => Promise<Database>][] = [
  ['PostgreSQL', async () => openPostgres(await (await sharedPostgres()).createMigratedDatabase())],
  ['PGlite', openTestPglite],
];
const NOW = new Date('2026-11-24T12:00:00Z');
const DAY_MS = 24 * 60 * 60 * 1000;
const MUCH = 1_000_000_000;
const KEEP = { days: 30, knownBytes: MUCH, anonymousBytes: MUCH };

function issued(daysAgo: number, { subject = 'alice', ...more }: Partial<IssuedToken> = {}): IssuedToken {
  const issuedAt = new Date(NOW.getTime() - daysAgo * DAY_MS);
  return {
    jti: randomUUID(),
    kid: 'KID',
    subject,
    authType: subject === '' ? 'none' : 'personal_access_token',
    service: 'container_registry',
    access: [{ type: 'repository', name: 'acme/app', actions: ['pull'] }],
    address: '192.0.2.1',
    issuedAt,
    expiresAt: new Date(issuedAt.getTime() + 300_000),
    requestId: randomUUID(),
    cell: 1,
    ...more,
  };
}

for (const [driver, open] of DRIVERS) {
  describe(`issued tokens on record, on ${driver}`, () => {
    let database: Database;
    let tokens: IssuedTokens;
    before(async () => {
      database = await open();
    });
    after(() => database.close());
    beforeEach(async () => {
      await database.execute('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
      await migrate(database);
      tokens = createIssuedTokens(database);
    });

    const subjects = async () =>
      (
        await database.query<{ subject: string }>(
          'SELECT subject FROM issued_tokens ORDER BY issued_at, subject',
        )
      ).map(({ subject }) => subject);
    const partitions = async () =>
      (
        await database.query<{ name: string }>(
          "SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relname LIKE 'issued_tokens%' ORDER BY relname",
        )
      ).map(({ name }) => name);

    it('are there as they were, once, however often they are written', async () => {
      const one = issued(0);
      await tokens.save([one, issued(0, { subject: '' })]);
      await tokens.save([one]);
      const rows = await database.query("SELECT * FROM issued_tokens WHERE subject = 'alice'");
      assert.deepEqual(rows, [
        {
          issued_at: one.issuedAt,
          jti: one.jti,
          kid: 'KID',
          subject: 'alice',
          auth_type: 'personal_access_token',
          service: 'container_registry',
          access: ['acme/app:pull'],
          address: '192.0.2.1',
          expires_at: one.expiresAt,
          request_id: one.requestId,
          cell: 1,
          tokens: 1,
          last_jti: null,
          last_issued_at: null,
          identity: null,
          identity_issuer: null,
          identity_subject: null,
          credential: null,
          identity_jti: null,
        },
      ]);
      assert.deepEqual(await subjects(), ['', 'alice']);
    });

    const changes = [
      "UPDATE issued_tokens SET subject = 'bob'",
      'DELETE FROM issued_tokens',
      'DELETE FROM issued_tokens_known',
      'DELETE FROM issued_tokens_known_20261124',
      "UPDATE issued_tokens_known_20261124 SET subject = 'bob'",
      "UPDATE issued_tokens SET auth_type = 'none'",
      'TRUNCATE issued_tokens',
      'TRUNCATE issued_tokens_known',
      'TRUNCATE issued_tokens_known_20261124',
      'INSERT INTO issued_tokens_known_20261124 SELECT * FROM issued_tokens ON CONFLICT (jti, request_id) DO UPDATE SET subject = excluded.service',
    ];
    for (const change of changes) {
      it(`refuse ${change}`, async () => {
        await tokens.save([issued(0)]);
        await assert.rejects(database.execute(change), /append-only/);
        assert.deepEqual(await subjects(), ['alice']);
      });
    }

    it('have a partition for each day (UTC), and tomorrow’s ahead of time', async () => {
      await tokens.save([issued(0), issued(0.4), issued(0.6, { subject: '' })]);
      await tokens.trim(KEEP, NOW);
      assert.deepEqual(
        await partitions(),
        ['anonymous', 'known'].flatMap((kind) =>
          ['20261123', '20261124', '20261125'].map((day) => `issued_tokens_${kind}_${day}`),
        ),
      );
    });

    it('are dropped with their whole day, after so many days', async () => {
      await tokens.save([issued(31, { subject: 'old' }), issued(30, { subject: 'young' }), issued(0)]);
      await tokens.trim(KEEP, NOW);
      assert.deepEqual(await subjects(), ['young', 'alice']);
    });

    it('are measured without being dropped', async () => {
      await tokens.save([issued(400, { subject: 'old' }), issued(0)]);
      const { known, anonymous } = await tokens.measure(NOW);
      assert.ok(known.bytes > known.bytesOpen && known.bytesOpen > 0);
      assert.ok(anonymous.bytes >= anonymous.bytesOpen);
      assert.deepEqual(await subjects(), ['old', 'alice']);
    });

    it('are dropped over so many bytes, the oldest first, but never today’s', async () => {
      for (const day of [3, 2, 1, 0]) {
        await tokens.save(Array.from({ length: 200 }, () => issued(day, { subject: `day-${day}` })));
      }
      const { known } = await tokens.trim(KEEP, NOW);
      assert.ok(known.bytes > known.bytesOpen && known.bytesOpen > 0);
      const after = await tokens.trim({ ...KEEP, knownBytes: known.bytes - 1 }, NOW);
      assert.ok(after.known.bytes < known.bytes);
      assert.deepEqual([...new Set(await subjects())], ['day-2', 'day-1', 'day-0']);
      const last = await tokens.trim({ ...KEEP, knownBytes: 0 }, NOW);
      assert.deepEqual([...new Set(await subjects())], ['day-0']);
      assert.equal(last.known.bytes, last.known.bytesOpen);
    });

    it('of nobody take no room from those of named subjects', async () => {
      await tokens.save([issued(2), issued(2, { subject: '' }), issued(1, { subject: '' })]);
      await tokens.trim({ ...KEEP, anonymousBytes: 0 }, NOW);
      assert.deepEqual(await subjects(), ['alice']);
    });

    describe('when they fill the room within a day', () => {
      const at = (time: string): Date => new Date(`2026-11-24T${time}Z`);
      const fill = (time: string): Promise<void> =>
        tokens.save(
          Array.from({ length: 500 }, () =>
            issued(0, { issuedAt: at(time), subject: `at-${time.slice(0, 2)}` }),
          ),
        );
      const hours = async () => [...new Set(await subjects())];
      /** Ends the current partition with each hour, and returns what one of them takes. */
      const fillHours = async (...times: readonly string[]): Promise<number> => {
        let bytes = 0;
        for (const time of times) {
          await fill(time);
          // A sixteenth of the bound is less than the hour's records take; nothing is dropped.
          const sizes = await tokens.trim({ ...KEEP, knownBytes: 1_600_000 }, at(time));
          bytes = sizes.known.bytes;
        }
        return bytes / times.length;
      };

      it('the oldest of today are dropped, and the newest stay', async () => {
        const each = await fillHours('01:00:00', '02:00:00', '03:00:00', '04:00:00');
        assert.deepEqual(await hours(), ['at-01', 'at-02', 'at-03', 'at-04']);
        await tokens.trim({ ...KEEP, knownBytes: Math.ceil(each * 3) }, at('04:30:00'));
        assert.deepEqual(await hours(), ['at-03', 'at-04']);
        await fill('05:00:00');
        assert.deepEqual(await hours(), ['at-03', 'at-04', 'at-05'], 'new ones find room');
      });

      it('a token of a time whose records were dropped is recorded, not lost with its batch', async () => {
        const each = await fillHours('01:00:00', '02:00:00', '03:00:00');
        await tokens.trim({ ...KEEP, knownBytes: Math.ceil(each) }, at('03:30:00'));
        await tokens.save([issued(0, { issuedAt: at('01:30:00'), subject: 'late' }), issued(0)]);
        assert.deepEqual((await hours()).slice(-1), ['alice']);
        assert.ok((await hours()).includes('late'));
      });

      it('every record is in the partition of its time, and refuses changes as before', async () => {
        await fillHours('01:00:00', '02:00:00');
        await tokens.save([issued(0, { issuedAt: at('00:30:00') })]);
        const names = (await partitions()).filter((name) => name.startsWith('issued_tokens_known_20261124'));
        assert.equal(names.length, 3, names.join());
        for (const name of names) {
          for (const change of [
            `TRUNCATE ${name}`,
            `DELETE FROM ${name}`,
            `UPDATE ${name} SET subject = ''`,
          ]) {
            const [row] = await database.query(`SELECT count(*) AS count FROM ${name}`);
            if (row?.['count'] === 0 && !change.startsWith('TRUNCATE')) continue;
            await assert.rejects(database.execute(change), /append-only/, change);
          }
        }
      });
    });

    it('say what was written within an hour, dropped ones included', async () => {
      await tokens.trim(KEEP, NOW);
      await tokens.save(Array.from({ length: 500 }, () => issued(0)));
      assert.equal((await tokens.trim(KEEP, NOW)).known.bytesAnHour, null, 'the first hour is not over');
      await database.query("UPDATE record_sizes SET hour_began_at = hour_began_at - interval '2 hours'");
      const { known } = await tokens.trim(KEEP, NOW);
      const written = known.bytesAnHour! * 2;
      assert.ok(written > 50_000 && written < known.bytes, `${written} of ${known.bytes}`);
    });

    it('are measured once for all replicas, until no replica measures any more', async () => {
      await tokens.save(Array.from({ length: 100 }, () => issued(0)));
      const { known } = await tokens.trim(KEEP, NOW);
      await tokens.save(Array.from({ length: 500 }, () => issued(0)));
      const other = createIssuedTokens(database);
      assert.equal((await other.measure(NOW)).known.bytes, known.bytes, 'what the trim found');
      await database.query("UPDATE record_sizes SET measured_at = measured_at - interval '3 minutes'");
      assert.ok((await other.measure(NOW)).known.bytes > known.bytes, 'measured anew');
    });

    it('with repeats come back as they were, by their first and their last id', async () => {
      const lastIssuedAt = new Date(NOW.getTime() + 40_000);
      const one = issued(0, { repeats: { count: 7, lastJti: randomUUID(), lastIssuedAt } });
      await tokens.save([one, issued(0)]);
      const search = (more: object) =>
        searchIssuedTokens(database, {
          since: new Date(NOW.getTime() - DAY_MS),
          after: null,
          limit: 10,
          ...more,
        });
      for (const jti of [one.jti, one.repeats!.lastJti]) {
        assert.deepEqual((await search({ jti })).tokens, [one]);
      }
      assert.deepEqual(
        (await search({ since: new Date(NOW.getTime() + 20_000) })).tokens,
        [one],
        'its last one',
      );
      assert.deepEqual((await search({ since: new Date(NOW.getTime() + 50_000) })).tokens, []);
    });

    it('of an older version are read and found by their repository', async () => {
      await tokens.save([issued(0, { access: [{ type: 'registry', name: 'catalog', actions: ['*'] }] })]);
      const { jti, kid, subject, service, address, requestId } = issued(0);
      const access = [{ type: 'repository', name: 'acme/old', actions: ['pull', 'push'] }];
      await database.query(
        'INSERT INTO issued_tokens (issued_at, jti, kid, subject, auth_type, service, access, address, expires_at, request_id, cell) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $1, $9, 1)',
        [NOW, jti, kid, subject, 'build', service, JSON.stringify(access), address, requestId],
      );
      const question = { since: new Date(NOW.getTime() - DAY_MS), after: null, limit: 10 };
      const { tokens: found } = await searchIssuedTokens(database, { ...question, repository: 'acme/old' });
      assert.deepEqual(
        found.map((token) => token.access),
        [access],
      );
    });

    it('find their day again when somebody else has dropped it', async () => {
      await tokens.save([issued(5)]);
      await createIssuedTokens(database).trim({ ...KEEP, days: 1 }, NOW);
      await tokens.save([issued(5)]);
      assert.deepEqual(await subjects(), ['alice']);
    });
  });
}

describe('issued tokens of several processes', () => {
  it('are written while all of them make and drop the same days', async () => {
    const url = await (await sharedPostgres()).createMigratedDatabase();
    const databases = Array.from({ length: 4 }, () => openPostgres(url));
    try {
      await migrate(databases[0]!);
      await Promise.all(
        databases.map(async (database) => {
          const tokens = createIssuedTokens(database);
          for (const day of [3, 2, 1, 0]) {
            await tokens.save([issued(day)]);
            await tokens.trim(KEEP, NOW);
          }
        }),
      );
      const [row] = await databases[0]!.query('SELECT count(*) AS count FROM issued_tokens');
      assert.equal(row?.['count'], 16);
    } finally {
      for (const database of databases) await database.close();
    }
  });

  it('give up soon where somebody reads them for long, and make nobody queue', async () => {
    const url = await (await sharedPostgres()).createMigratedDatabase();
    const database = openPostgres(url);
    try {
      await migrate(database);
      const tokens = createIssuedTokens(database);
      await tokens.save([issued(0)]);
      await database.transaction(async (backup) => {
        await backup.query('SELECT count(*) FROM issued_tokens');
        await assert.rejects(tokens.trim(KEEP, NOW));
        await tokens.save([issued(0)]);
      });
      await tokens.trim(KEEP, NOW);
    } finally {
      await database.close();
    }
  });
});
