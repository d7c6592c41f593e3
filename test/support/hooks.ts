import { assertContractKept } from './contract.ts';
import { removePgliteTemplate } from './database/pglite.ts';
import { stopSharedPostgres } from './database/postgres.ts';

/** Mocha runs these around every test of a run, whichever tests were chosen. */
export const mochaHooks = {
  afterEach(): void {
    assertContractKept();
  },
  async afterAll(): Promise<void> {
    await stopSharedPostgres();
    await removePgliteTemplate();
  },
};
