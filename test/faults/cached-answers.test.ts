import type { Database } from '../../src/store/database/drivers.ts';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { assertNeverStale } from '../store/source/own/always-fresh.ts';
import { fillDirectory } from '../store/source/own/changing-directory.ts';
import { openTestPglite } from '../support/database/pglite.ts';
import { sharedPostgres } from '../support/database/postgres.ts';

/** The embedded database computes in this process, about fifteen times as long. */
const DRIVERS: readonly { readonly driver: string; open(): Promise<Database>; readonly runs: number }[] = [
  {
    driver: 'PostgreSQL',
    open: async () => openPostgres(await (await sharedPostgres()).createMigratedDatabase()),
    runs: 25,
  },
  { driver: 'PGlite', open: openTestPglite, runs: 3 },
];

describe('a directory that changes all the time', () => {
  for (const { driver, open, runs } of DRIVERS) {
    it(`on ${driver}: no cached answer outlives a change that it rests on`, async function () {
      this.timeout(180_000);
      const database = await open();
      await fillDirectory(database);
      await assertNeverStale(database, { runs, steps: 60 });
      await database.close();
    });
  }
});
