import assert from 'node:assert/strict';
import type { Database } from '../../../src/store/database/drivers.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';
import { type Relay, startRelay } from '../../support/database/relay.ts';

const hot = (name: string, text: string) => ({ name, text, isHot: true }) as const;
const NUMBER = hot('number', 'SELECT $1::int AS number');
const OWN = hot('own', 'SELECT pg_backend_pid() AS pid');
const SLOW = hot('slow', 'SELECT $1::int AS number, pg_sleep(3)');
const AWAY = { code: 'unavailable' };

describe('hot statements on PostgreSQL', () => {
  let relay: Relay;
  let database: Database;
  before(async () => {
    relay = await startRelay(await (await sharedPostgres()).createMigratedDatabase());
    database = openPostgres(relay.url);
  });
  after(async () => {
    await relay.mend();
    await database.close();
    await relay.close();
  });

  const numbers = (count: number): Promise<readonly unknown[]> =>
    Promise.all(
      Array.from({ length: count }, async (_, number) => {
        const [row] = await database.query(NUMBER, [number]);
        return row?.['number'];
      }),
    );
  const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, number) => number);

  it('share two connections, and each gets its own answer', async () => {
    const pids = await Promise.all(upTo(50).map(() => database.query(OWN)));
    assert.equal(new Set(pids.map(([row]) => row?.['pid'])).size, 2);
    assert.deepEqual(await numbers(500), upTo(500));
  });

  it('are counted until they are answered, and so are their connections', async () => {
    await numbers(2);
    assert.deepEqual(database.pipelineStats(), { open: 2, waiting: 0 });
    const asked = numbers(20);
    assert.deepEqual(database.pipelineStats(), { open: 2, waiting: 20 });
    await asked;
    assert.deepEqual(database.pipelineStats(), { open: 2, waiting: 0 });
  });

  it('fail alone when one is wrong, and its connection is left', async () => {
    const wrong = hot('wrong', 'SELECT 1 / $1::int AS number');
    const [failed, ...others] = await Promise.allSettled([
      database.query(wrong, [0]),
      ...upTo(20).map(() => numbers(1)),
    ]);
    assert.equal(failed?.status, 'rejected');
    assert.ok(others.every(({ status }) => status === 'fulfilled'));
    assert.deepEqual(await numbers(20), upTo(20));
  });

  it('are given up in time behind one that hangs, and no answer is taken for that of another', async () => {
    const startedAt = performance.now();
    const hanging = [database.query(SLOW, [-1]), database.query(SLOW, [-2])];
    const behind = upTo(10).map((number) => database.query(NUMBER, [number]));
    for (const asked of [...hanging, ...behind]) await assert.rejects(asked, AWAY);
    assert.ok(performance.now() - startedAt < 2000);
    assert.deepEqual(await numbers(50), upTo(50));
  });

  it('find their way back after the connections were cut, many times', async () => {
    for (let round = 0; round < 5; round++) {
      const asked = Promise.allSettled([...upTo(20).map((number) => database.query(NUMBER, [number]))]);
      await relay.cut();
      for (const [number, outcome] of (await asked).entries()) {
        if (outcome.status === 'fulfilled') assert.equal(outcome.value[0]?.['number'], number);
        else assert.equal(outcome.reason.code, 'unavailable');
      }
      await relay.mend();
      assert.deepEqual(await numbers(20), upTo(20));
    }
  });

  it('are refused, and nothing breaks, while there is no PostgreSQL', async () => {
    await relay.cut();
    await assert.rejects(database.query(NUMBER, [1]), AWAY);
    await relay.mend();
    assert.deepEqual(await numbers(3), upTo(3));
  });
});
