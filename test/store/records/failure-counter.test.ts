import assert from 'node:assert/strict';
import type { Database } from '../../../src/store/database/drivers.ts';
import { migrate } from '../../../src/store/database/migrate.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { createFailureCounter, forgetFailures } from '../../../src/store/records/failure-counter.ts';
import { openTestPglite } from '../../support/database/pglite.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';

const DRIVERS: [name: string, open: () => Promise<Database>][] = [
  ['PostgreSQL', async () => openPostgres(await (await sharedPostgres()).createMigratedDatabase())],
  ['PGlite', openTestPglite],
];

for (const [driver, open] of DRIVERS) {
  describe(`failures that are counted, on ${driver}`, () => {
    let database: Database;
    const counter = (name = 'address', seconds = 100) => createFailureCounter(database, { name, seconds });
    before(async () => {
      database = await open();
      await migrate(database);
    });
    after(() => database.close());

    it('are none at first, and as many as were added, by whoever shares the database', async () => {
      assert.deepEqual(await counter().read('a'), { failures: 0, endsInMs: 0 });
      await counter().add('a');
      const { failures, endsInMs } = await counter().add('a');
      assert.equal(failures, 2);
      assert.ok(endsInMs > 90_000 && endsInMs <= 100_000, `${endsInMs} ms`);
      assert.equal((await counter().read('a')).failures, 2);
    });

    it('are those of one key of one counter', async () => {
      await counter().add('b');
      assert.equal((await counter().read('c')).failures, 0);
      assert.equal((await counter('account').read('b')).failures, 0);
    });

    it('are all counted when they come at once', async () => {
      const counts = await Promise.all(Array.from({ length: 20 }, () => counter().add('d')));
      const failures = counts.map((count) => count.failures).sort((a, b) => a - b);
      assert.deepEqual(
        failures,
        Array.from({ length: 20 }, (_, n) => n + 1),
      );
    });

    it('can be forgotten', async () => {
      await counter().add('e');
      await counter().forget('e');
      assert.equal((await counter().read('e')).failures, 0);
    });

    it('begin anew when their time is over', async () => {
      const brief = counter('brief', 0.001);
      await brief.add('f');
      const deadline = Date.now() + 10_000;
      while ((await brief.read('f')).failures > 0) assert.ok(Date.now() < deadline);
      assert.equal((await brief.add('f')).failures, 1);
    });

    it('leave nothing behind when their time is over', async () => {
      await database.execute('DELETE FROM failed_attempts');
      await counter('old', 1).add('g');
      await counter('young', 1000).add('g');
      await forgetFailures(database, new Date(Date.now() + 10_000));
      const rows = await database.query('SELECT key FROM failed_attempts');
      assert.deepEqual(rows, [{ key: 'young:g' }]);
    });

    it('take keys of any length and form', async () => {
      const key = `'"\u{1f600}%:${'x'.repeat(2000)}`;
      await counter().add(key);
      assert.equal((await counter().read(key)).failures, 1);
    });
  });
}
