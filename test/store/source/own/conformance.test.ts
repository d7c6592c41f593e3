import type { Database } from '../../../../src/store/database/drivers.ts';
import { openPostgres } from '../../../../src/store/database/postgres.ts';
import { remembering } from '../../../../src/store/source/remembered.ts';
import { openTestPglite } from '../../../support/database/pglite.ts';
import { sharedPostgres } from '../../../support/database/postgres.ts';
import { directorySourceConformance } from '../conformance.ts';
import { openOwnTables } from './company-writer.ts';

const DRIVERS: [name: string, open: () => Promise<Database>][] = [
  ['PostgreSQL', async () => openPostgres(await (await sharedPostgres()).createMigratedDatabase())],
  ['PGlite', openTestPglite],
];

for (const [driver, open] of DRIVERS) {
  directorySourceConformance(`of the own tables on ${driver}`, () => openOwnTables(open));
  directorySourceConformance(`of the own tables on ${driver}, remembered`, () =>
    openOwnTables(open, (source) => remembering(source, { maxBytes: 1_000_000 })),
  );
}
