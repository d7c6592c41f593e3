import { stopSharedPostgres } from './postgres.ts';

/** What every run ends with, whatever tests it chose. */
export const mochaHooks = {
  async afterAll(): Promise<void> {
    await stopSharedPostgres();
  },
};
