import assert from 'node:assert/strict';
import type { Database } from '../../../src/store/database/drivers.ts';
import { migrate, newerMigrations, pendingMigrations } from '../../../src/store/database/migrate.ts';
import { openPglite } from '../../../src/store/database/pglite.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';
import { type Relay, startRelay } from '../../support/database/relay.ts';

const DRIVERS: [name: string, open: () => Promise<Database>][] = [
  ['PostgreSQL', async () => openPostgres(await (await sharedPostgres()).createDatabase())],
  ['PGlite', () => openPglite()],
];

for (const [name, open] of DRIVERS) {
  describe(`a database on ${name}`, () => {
    let database: Database;
    before(async () => {
      database = await open();
    });
    after(() => database.close());

    it('reads every type that the store uses alike', async () => {
      const [row] = await database.query(
        `SELECT 9007199254740991::int8 AS large, count(*) AS count, '2027-01-31'::date AS day,
           '2027-01-31T23:30:00+02:00'::timestamptz AS moment, '\\x00ff'::bytea AS bytes, '{"a":[1]}'::jsonb AS document,
           ARRAY['a','b'] AS texts, true AS flag`,
      );
      assert.deepEqual(
        { ...row, bytes: [...(row!['bytes'] as Uint8Array)] },
        {
          large: 9007199254740991,
          count: 1,
          day: '2027-01-31',
          moment: new Date('2027-01-31T21:30:00Z'),
          bytes: [0, 255],
          document: { a: [1] },
          texts: ['a', 'b'],
          flag: true,
        },
      );
    });

    it('takes every type as a parameter', async () => {
      const [row] = await database.query(
        'SELECT $1::bytea = decode($2, $3) AS bytes, $4::text[] AS texts, $5::jsonb AS document, $6::timestamptz AS moment, $7::int8[] AS ids',
        [new Uint8Array([1, 2]), '0102', 'hex', ['x', 'y"'], '[{"a":1}]', new Date(0), [1, 2]],
      );
      const { ids, ...rest } = row ?? {};
      assert.deepEqual(rest, { bytes: true, texts: ['x', 'y"'], document: [{ a: 1 }], moment: new Date(0) });
      assert.deepEqual((ids as unknown[]).map(Number), [1, 2]);
    });

    it('rolls back a transaction that throws', async () => {
      await database.execute('CREATE TABLE kept (n int)');
      const failing = database.transaction(async (sql) => {
        await sql.query('INSERT INTO kept VALUES ($1)', [1]);
        throw new Error('no');
      });
      await assert.rejects(failing, /no/);
      assert.deepEqual(await database.query('SELECT * FROM kept'), []);
    });

    it('migrates once, and tells what is pending', async () => {
      const pending = await pendingMigrations(database);
      assert.deepEqual(await migrate(database), pending);
      assert.deepEqual(await migrate(database), []);
      assert.deepEqual(await pendingMigrations(database), []);
    });

    it('refuses a database that a newer version migrated', async () => {
      await database.query("INSERT INTO schema_migrations (name) VALUES ('9999-future')");
      await assert.rejects(migrate(database), /newer cellpass \(9999-future\)/);
      await database.query("DELETE FROM schema_migrations WHERE name = '9999-future'");
    });

    it('works on a database to which a newer version only added, and names what it added', async () => {
      await database.query("INSERT INTO schema_migrations (name, adds_only) VALUES ('9998-more', true)");
      assert.deepEqual(await migrate(database), []);
      assert.deepEqual(await pendingMigrations(database), []);
      assert.deepEqual(await newerMigrations(database), ['9998-more']);
      await database.query("INSERT INTO schema_migrations (name) VALUES ('9999-future')");
      await assert.rejects(migrate(database), /newer cellpass \(9998-more, 9999-future\)/);
      await database.query("DELETE FROM schema_migrations WHERE name > '9998'");
    });

    it('works on a database of a version that did not say which migrations only add', async () => {
      await database.execute('ALTER TABLE schema_migrations DROP COLUMN adds_only');
      assert.deepEqual(await pendingMigrations(database), []);
      assert.deepEqual(await newerMigrations(database), []);
      assert.deepEqual(await migrate(database), []);
      await database.query("INSERT INTO schema_migrations (name, adds_only) VALUES ('9998-more', true)");
      assert.deepEqual(await newerMigrations(database), ['9998-more']);
      await database.query("DELETE FROM schema_migrations WHERE name = '9998-more'");
    });
  });
}

describe('several processes on one PostgreSQL', () => {
  let relay: Relay;
  let one: Database;
  let two: Database;
  before(async () => {
    const url = await (await sharedPostgres()).createDatabase();
    relay = await startRelay(url);
    one = openPostgres(url);
    two = openPostgres(relay.url);
  });
  after(async () => {
    await one.close();
    await two.close();
    await relay.close();
  });

  it('use no parallel workers and no compiler in a modest transaction, and only there', async () => {
    const read = (isModest: boolean) =>
      one.transaction(
        (sql) =>
          sql.query(
            "SELECT current_setting('max_parallel_workers_per_gather') AS workers, current_setting('jit') AS jit",
          ),
        { isModest },
      );
    const before = await read(false);
    assert.deepEqual(await read(true), [{ workers: '0', jit: 'off' }]);
    assert.deepEqual(await read(false), before);
    assert.notEqual(before[0]?.['workers'], '0');
  });

  it('have what one of them does alone done by one, and the next may begin when it ends, also by an error', async () => {
    const done: string[] = [];
    const held = await one.tryExclusively(1, async () => {
      assert.equal(await two.tryExclusively(1, async () => void done.push('the other')), false);
      assert.equal(await two.tryExclusively(2, async () => void done.push('something else')), true);
    });
    assert.equal(held, true);
    await assert.rejects(
      one.tryExclusively(1, async () => {
        throw new Error('broken');
      }),
      /broken/,
    );
    assert.equal(await two.tryExclusively(1, async () => void done.push('the next')), true);
    assert.deepEqual(done, ['something else', 'the next']);
  });

  it('hear each other, and after a lost connection that something may have been missed', async () => {
    let heard = (): void => undefined;
    const next = (): Promise<void> =>
      new Promise((resolve) => {
        heard = resolve;
      });
    const stop = await two.listen('a channel', () => heard());
    try {
      const first = next();
      await one.query("SELECT pg_notify('a channel', '')");
      await first;
      const again = next();
      await relay.cut();
      await relay.mend();
      await again;
      const second = next();
      await one.query("SELECT pg_notify('a channel', '')");
      await second;
    } finally {
      await stop();
    }
  });
});

describe('a PostgreSQL that is away', () => {
  it('is unavailable, not broken', async () => {
    const database = openPostgres('postgresql://postgres@127.0.0.1:9/none');
    await assert.rejects(database.query('SELECT 1'), { code: 'unavailable' });
    await assert.rejects(
      database.transaction(async () => undefined),
      { code: 'unavailable' },
    );
    await database.close();
  });
});

describe('a PostgreSQL that was closed', () => {
  it('opens no connection again, whatever is asked', async () => {
    const database = openPostgres(await (await sharedPostgres()).createDatabase());
    const hot = { name: 'one', text: 'SELECT 1 AS one', isHot: true } as const;
    assert.deepEqual(await database.query(hot), [{ one: 1 }]);
    await database.close();
    for (const statement of [hot, hot.text])
      await assert.rejects(database.query(statement), { code: 'unavailable' });
  });
});
