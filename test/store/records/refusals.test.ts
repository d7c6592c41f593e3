import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Database } from '../../../src/store/database/drivers.ts';
import { migrate } from '../../../src/store/database/migrate.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import {
  findRefusal,
  forgetRefusals,
  type RefusalRecord,
  saveRefusals,
} from '../../../src/store/records/refusals.ts';
import { openTestPglite } from '../../support/database/pglite.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';

const DRIVERS: [name: string, open: () => Promise<Database>][] = [
  ['PostgreSQL', async () => openPostgres(await (await sharedPostgres()).createMigratedDatabase())],
  ['PGlite', openTestPglite],
];
const NOW = new Date('2026-11-24T12:00:00Z');
const DAY_MS = 24 * 60 * 60 * 1000;
const MUCH = 1_000_000_000;

function refusal(daysAgo: number, client = '192.0.2.1'): { requestId: string; record: RefusalRecord } {
  const at = new Date(NOW.getTime() - daysAgo * DAY_MS).toISOString();
  return { requestId: randomUUID(), record: { at, client, error: null, question: null } };
}

for (const [driver, open] of DRIVERS) {
  describe(`refusals that are kept, on ${driver}`, () => {
    let database: Database;
    beforeEach(async () => {
      database = await open();
      await migrate(database);
    });
    afterEach(() => database.close());

    it('are found by the id of their request, as they were', async () => {
      const one = refusal(0);
      await saveRefusals(database, [one, refusal(1)]);
      assert.deepEqual(await findRefusal(database, one.requestId), one.record);
      assert.equal(await findRefusal(database, randomUUID()), undefined);
    });

    it('may hold what PostgreSQL has no text for', async () => {
      const ROWS = [
        ['a\0b', 'a\ufffdb'],
        ['\ud83dx', '\ufffdx'],
        ['x\ude00', 'x\ufffd'],
        ['\ude00\ud83d', '\ufffd\ufffd'],
        ['\u{1f600}\u{1f600}', '\u{1f600}\u{1f600}'],
        ['\ud7ff\ue000', '\ud7ff\ue000'],
      ] as const;
      const all = ROWS.map(([text]) => refusal(0, text));
      await saveRefusals(database, all);
      const kept = await Promise.all(all.map(({ requestId }) => findRefusal(database, requestId)));
      assert.deepEqual(
        kept.map((record) => record?.client),
        ROWS.map(([, text]) => text),
      );
    });

    it('are forgotten after so many days', async () => {
      const [young, old] = [refusal(6.9), refusal(7.1)];
      await saveRefusals(database, [young, old]);
      await forgetRefusals(database, { days: 7, bytes: MUCH }, NOW);
      assert.notEqual(await findRefusal(database, young.requestId), undefined);
      assert.equal(await findRefusal(database, old.requestId), undefined);
    });

    it('are forgotten over so many bytes, the oldest first', async () => {
      const all = [3, 2, 1, 0].map((daysAgo) => refusal(daysAgo));
      await saveRefusals(database, all);
      const [row] = await database.query<{ bytes: number }>('SELECT max(bytes) AS bytes FROM refusals');
      await forgetRefusals(database, { days: 7, bytes: 2 * row!.bytes }, NOW);
      const kept = await Promise.all(all.map(({ requestId }) => findRefusal(database, requestId)));
      assert.deepEqual(
        kept.map((record) => record !== undefined),
        [false, false, true, true],
      );
    });
  });
}
