import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Database } from '../../../src/store/database/drivers.ts';
import { migrate } from '../../../src/store/database/migrate.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import {
  addComparisonCounts,
  type DifferenceRecord,
  findDifference,
  forgetDifferences,
  reportComparisons,
  type StoredDifference,
  saveDifferences,
} from '../../../src/store/records/differences.ts';
import { openTestPglite } from '../../support/database/pglite.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';

const DRIVERS: [name: string, open: () => Promise<Database>][] = [
  ['PostgreSQL', async () => openPostgres(await (await sharedPostgres()).createMigratedDatabase())],
  ['PGlite', openTestPglite],
];
const NOW = new Date('2026-11-24T12:34:00Z');
const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;
const MUCH = 1_000_000_000;
const ALL = new Date(0);

function difference(daysAgo: number, change: Partial<DifferenceRecord> = {}): StoredDifference {
  return {
    requestId: randomUUID(),
    record: {
      at: new Date(NOW.getTime() - daysAgo * DAY_MS).toISOString(),
      client: '192.0.2.1',
      credential: 'access_token',
      action: 'push',
      rule: 'allowed',
      part: 'access',
      sides: {
        rails: { status: 200, actions: ['pull'] },
        cellpass: { status: 200, actions: ['pull', 'push'] },
      },
      rails: { status: 200, token: null },
      cellpass: { status: 200, token: null },
      error: null,
      question: null,
      ...change,
    },
  };
}

const hour = (hoursAgo: number): Date => new Date(Date.parse('2026-11-24T12:00:00Z') - hoursAgo * HOUR_MS);

for (const [driver, open] of DRIVERS) {
  describe(`comparisons that are kept, on ${driver}`, () => {
    let database: Database;
    beforeEach(async () => {
      database = await open();
      await migrate(database);
    });
    afterEach(() => database.close());

    it('are counted by the hour, by all processes together', async () => {
      const counts = [
        { outcome: 'equal', hour: hour(0), count: 5 },
        { outcome: 'differing', hour: hour(0), count: 1 },
        { outcome: 'equal', hour: hour(3), count: 7 },
      ] as const;
      await Promise.all([addComparisonCounts(database, counts), addComparisonCounts(database, counts)]);
      const { groups, ...all } = await reportComparisons(database, ALL);
      assert.deepEqual(all, {
        compared: 26,
        equal: 24,
        differing: 2,
        expected: 0,
        unanswered: 0,
        dropped: 0,
      });
      assert.deepEqual(groups, []);
      const { equal } = await reportComparisons(database, new Date('2026-11-24T12:20:00Z'));
      assert.equal(equal, 10);
    });

    it('are grouped by their kind, the most frequent first, with the last of each', async () => {
      const last = difference(0);
      const job = difference(0.5, { credential: 'job' });
      const other = difference(0.2, {
        sides: { rails: { status: 403, actions: [] }, cellpass: { status: 200, actions: ['pull'] } },
      });
      await saveDifferences(database, [difference(2), last, difference(1), job, other]);
      const { groups } = await reportComparisons(database, ALL);
      assert.deepEqual(
        groups.map(({ credential, count, rails, requestId }) => [credential, count, rails.status, requestId]),
        [
          ['access_token', 3, 200, last.requestId],
          ['access_token', 1, 403, other.requestId],
          ['job', 1, 200, job.requestId],
        ],
      );
      assert.equal(groups[0]?.lastSeen.toISOString(), last.record.at);
      const since = await reportComparisons(database, new Date(NOW.getTime() - DAY_MS / 4));
      assert.deepEqual(
        since.groups.map(({ count }) => count),
        [1, 1],
      );
    });

    it('are found by the id of their request, and by its beginning', async () => {
      const one = difference(0);
      await saveDifferences(database, [one, difference(0)]);
      assert.deepEqual(await findDifference(database, one.requestId), one.record);
      assert.deepEqual(await findDifference(database, one.requestId.slice(0, 8)), one.record);
      assert.equal(await findDifference(database, randomUUID()), undefined);
    });

    it('are forgotten after so many days, and over so many bytes, the oldest first', async () => {
      const all = [20, 3, 2, 1].map((daysAgo) => difference(daysAgo));
      await saveDifferences(database, all);
      await addComparisonCounts(database, [
        { outcome: 'equal', hour: hour(0), count: 1 },
        { outcome: 'equal', hour: hour(24 * 20), count: 1 },
      ]);
      const kept = async (): Promise<readonly boolean[]> =>
        Promise.all(
          all.map(async ({ requestId }) => (await findDifference(database, requestId)) !== undefined),
        );
      await forgetDifferences(database, { days: 14, bytes: MUCH }, NOW);
      assert.deepEqual(await kept(), [false, true, true, true]);
      assert.equal((await reportComparisons(database, ALL)).equal, 1);
      const [row] = await database.query<{ bytes: number }>(
        'SELECT max(bytes) AS bytes FROM comparison_differences',
      );
      await forgetDifferences(database, { days: 14, bytes: 2 * (row?.bytes ?? 0) }, NOW);
      assert.deepEqual(await kept(), [false, false, true, true]);
    });
  });
}
