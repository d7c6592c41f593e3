import type { Database } from '../../src/store/database/drivers.ts';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { assertNeverStale } from '../store/source/own/always-fresh.ts';
import { fillDirectory } from '../store/source/own/changing-directory.ts';
import { openTestPglite } from '../support/database/pglite.ts';
import { sharedPostgres } from '../support/database/postgres.ts';

const DRIVERS: [name: string, open: () => Promise<Database>][] = [
  ['PostgreSQL', async () => openPostgres(await (await sharedPostgres()).createMigratedDatabase())],
  ['PGlite', openTestPglite],
];

describe('a directory that changes all the time', () => {
  for (const [driver, open] of DRIVERS) {
    it(`on ${driver}: no cached answer outlives a change that it rests on`, async function () {
      this.timeout(180_000);
      const database = await open();
      await fillDirectory(database);
      await assertNeverStale(database, { runs: 25, steps: 60 });
      await database.close();
    });
  }
});
