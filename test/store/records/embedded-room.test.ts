import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Database } from '../../../src/store/database/drivers.ts';
import { createFailureCounter, forgetFailures } from '../../../src/store/records/failure-counter.ts';
import { forgetRefusals, saveRefusals } from '../../../src/store/records/refusals.ts';
import { vacuumEmbedded } from '../../../src/store/records/retention-turns.ts';
import { openTestPglite } from '../../support/database/pglite.ts';

const NOW = new Date('2026-11-24T12:00:00Z');
const ROUNDS = 6;

describe('the embedded database', () => {
  let database: Database;
  before(async () => {
    database = await openTestPglite();
  });
  after(() => database.close());

  const bytesOf = async (what: string): Promise<number> => {
    const [row] = await database.query<{ readonly bytes: number }>(`SELECT ${what} AS bytes`);
    return row?.bytes ?? 0;
  };
  const growthOf = async (what: string, round: () => Promise<void>): Promise<readonly number[]> => {
    const sizes: number[] = [];
    for (let n = 0; n < ROUNDS; n++) {
      await round();
      sizes.push(await bytesOf(what));
    }
    return sizes;
  };

  it('uses the room of deleted refusals again', async () => {
    const sizes = await growthOf("pg_total_relation_size('refusals')", async () => {
      const record = { at: NOW.toISOString(), client: 'c'.repeat(400), error: null, question: null };
      for (let n = 0; n < 5; n++) {
        const batch = Array.from({ length: 200 }, () => ({ requestId: randomUUID(), record }));
        await saveRefusals(database, batch);
      }
      await forgetRefusals(database, { days: 7, bytes: 0 }, NOW);
      await vacuumEmbedded(database, ['refusals']);
    });
    assert.ok(sizes.at(-1)! <= sizes[1]! * 1.2, sizes.join());
  });

  it('uses the room of expired failed attempts again', async () => {
    const counter = createFailureCounter(database, { name: 'address', seconds: 1 });
    let n = 0;
    const sizes = await growthOf("pg_total_relation_size('failed_attempts')", async () => {
      for (let end = n + 300; n < end; n++) await counter.add(`192.0.2.${n}`);
      await forgetFailures(database, new Date(Date.now() + 10_000));
      await vacuumEmbedded(database, ['failed_attempts']);
    });
    assert.ok(sizes.at(-1)! <= sizes[1]! * 1.2, sizes.join());
  });

  it('uses its write-ahead log again', async () => {
    const sizes = await growthOf('(SELECT sum(size) FROM pg_ls_waldir())::bigint', async () => {
      await database.query(
        'CREATE TABLE filler AS SELECT repeat(md5(n::text), 100) AS text FROM generate_series(1, 10000) AS n',
      );
      await database.query('DROP TABLE filler');
      await vacuumEmbedded(database, []);
    });
    assert.ok(sizes.at(-1)! <= sizes[1]! * 1.2, sizes.join());
  });
});
