import assert from 'node:assert/strict';
import { AT_LENGTH, type Database } from '../../src/store/database/drivers.ts';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { startPostgres, type TestPostgres } from '../support/database/postgres.ts';
import { type Relay, startRelay } from '../support/database/relay.ts';
import { until } from '../support/processes/child.ts';

const UNAVAILABLE = { code: 'unavailable' };
const NUMBERS = Array.from({ length: 40 }, (_, number) => number);

describe('connections to a PostgreSQL that hangs', () => {
  let postgres: TestPostgres;
  let relay: Relay;
  let url: string;
  let database: Database;
  before(async function () {
    this.timeout(60_000);
    postgres = await startPostgres();
    url = await postgres.createDatabase();
    relay = await startRelay(url);
  });
  after(async () => {
    await relay.close();
    await postgres.stop();
  });
  beforeEach(() => {
    // With one connection the next query uses the same one, or a new one that replaces it.
    database = openPostgres(relay.url, { maxConnections: 1 });
  });
  afterEach(async () => {
    postgres.thaw();
    await relay.mend();
    await database.close();
  });

  const askNumber = async (number: number): Promise<unknown> => {
    const [row] = await database.query('SELECT $1::int AS number, pg_backend_pid() AS pid', [number]);
    return row?.['number'];
  };

  it('are not used again after a time-out, so that no later question gets an earlier answer', async () => {
    const [first] = await database.query('SELECT pg_backend_pid() AS pid');
    await assert.rejects(database.query("SELECT 'late' AS answer, pg_sleep(1.2)"), UNAVAILABLE);
    const [next] = await database.query("SELECT 'next' AS answer, pg_backend_pid() AS pid");
    assert.equal(next?.['answer'], 'next');
    assert.notEqual(next?.['pid'], first?.['pid']);
  });

  const hangs: [what: string, hang: () => void, goOn: () => Promise<void> | void][] = [
    ['frozen', () => postgres.freeze(), () => postgres.thaw()],
    ['cut off in the middle of an answer', () => relay.halve(), () => relay.mend()],
  ];
  for (const [what, hang, goOn] of hangs) {
    it(`are thrown away when it was ${what}, and goes on`, async () => {
      assert.equal(await askNumber(-1), -1);
      hang();
      const hanging = await Promise.allSettled(NUMBERS.map(askNumber));
      for (const { status } of hanging) assert.equal(status, 'rejected');
      await goOn();
      await until(
        () =>
          askNumber(-2).then(
            () => true,
            () => undefined,
          ),
        () => 'it does not heal',
      );
      for (const number of NUMBERS) assert.equal(await askNumber(number), number);
    });
  }

  it('whose statements don’t wait for each other are thrown away, too', async () => {
    const statement = { name: 'ask-number', text: 'SELECT $1::int AS number' };
    const askPrepared = async (number: number): Promise<unknown> => {
      const [row] = await database.query(statement, [number]);
      return row?.['number'];
    };
    assert.equal(await askPrepared(-1), -1);
    for (const [, hang, goOn] of hangs) {
      hang();
      const hanging = await Promise.allSettled(NUMBERS.map(askPrepared));
      // One of the two pipelined connections may be whole; what it answers is its own.
      for (const [at, one] of hanging.entries()) if (one.status === 'fulfilled') assert.equal(one.value, at);
      await goOn();
      await until(
        () =>
          Promise.all(NUMBERS.map(askPrepared)).then(
            (all) => all.every((number, at) => number === at),
            () => undefined,
          ),
        () => 'it does not heal',
      );
    }
  });

  it('wait for a connection and its answer for less than half of what a client is given', async () => {
    await askNumber(0);
    relay.silence();
    const startedAt = performance.now();
    const waits = NUMBERS.map(async (number) => {
      await assert.rejects(askNumber(number), UNAVAILABLE);
      return performance.now() - startedAt;
    });
    for (const waitedMs of await Promise.all(waits)) assert.ok(waitedMs < 1000, `${waitedMs} ms`);
  });

  it('leave no statement running whose client has given up', async () => {
    const watcher = openPostgres(url);
    try {
      await assert.rejects(database.query('SELECT pg_sleep(60)'), UNAVAILABLE);
      const running =
        "SELECT count(*) AS count FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'";
      await until(
        async () => ((await watcher.query(running))[0]?.['count'] === 0 ? true : undefined),
        () => 'it still sleeps',
        3000,
      );
    } finally {
      await watcher.close();
    }
  });

  it('give up a transaction that gets no answer, and let the next one have its lock', async () => {
    const lock = 'SELECT pg_advisory_xact_lock(1)';
    const brief = { statementTimeoutMs: 300 };
    const stuck = database.transaction(async (sql) => {
      await sql.query(lock);
      postgres.freeze();
      await sql.query('SELECT 1');
    }, brief);
    await assert.rejects(stuck, UNAVAILABLE);
    await assert.rejects(
      database.transaction(async () => undefined, brief),
      UNAVAILABLE,
    );
    postgres.thaw();
    await database.transaction(async (sql) => {
      await sql.query(lock);
    });
  });

  it('give a transaction the time that it asks for, and the next question no more than before', async () => {
    await database.transaction((sql) => sql.query('SELECT pg_sleep(1.1)'), AT_LENGTH);
    await assert.rejects(
      database.transaction((sql) => sql.query('SELECT pg_sleep(1.1)'), { statementTimeoutMs: 200 }),
      UNAVAILABLE,
    );
    await database.execute('SELECT pg_sleep(1.1)');
    const [row] = await database.query('SHOW statement_timeout');
    assert.equal(row?.['statement_timeout'], '1s');
  });

  it('take no room in the pool once they are given up', async () => {
    await askNumber(0);
    relay.silence();
    await assert.rejects(askNumber(0), UNAVAILABLE);
    await relay.mend();
    assert.equal(await askNumber(1), 1);
  });
});
