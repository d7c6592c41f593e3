import { assertContractKept } from './contract.ts';
import { stopSharedPostgres } from './postgres.ts';

/** What holds for every test of the run, whatever tests were chosen. */
export const mochaHooks = {
  afterEach(): void {
    assertContractKept();
  },
  async afterAll(): Promise<void> {
    await stopSharedPostgres();
  },
};
