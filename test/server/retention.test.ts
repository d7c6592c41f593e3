import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { loadConfig } from '../../src/config/load.ts';
import type { ServerInputs } from '../../src/server/assembly/inputs.ts';
import { startRetention, tooMuchFor } from '../../src/server/assembly/retention.ts';
import { type Closers, closeAll } from '../../src/server/closers.ts';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { beginTurn } from '../../src/store/records/retention-turns.ts';
import { sharedPostgres } from '../support/database/postgres.ts';

describe('old records', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setInterval'] }));
  afterEach(() => mock.timers.reset());

  /** The tables that are cleaned while so many seconds pass, and none after retention is closed. */
  async function cleaned(seconds: number, auditDays: number, isOurTurn = true): Promise<readonly string[]> {
    const tables = new Set<string>();
    const query = async (statement: string | { readonly text: string }): Promise<readonly object[]> => {
      const text = typeof statement === 'string' ? statement : statement.text;
      const [table] = /trim_issued_tokens|refusals|fail\w+/.exec(text) ?? [];
      if (table !== undefined) tables.add(table);
      return text.includes('retention_turns') ? (isOurTurn ? [{ mine: true }] : []) : [];
    };
    const config = loadConfig({});
    const inputs = {
      config: { ...config, retention: { ...config.retention, auditDays } },
      database: { query, execute: query, transaction: (work: (sql: object) => unknown) => work({ query }) },
      log: { info: () => undefined, warn: (fields: object) => assert.fail(JSON.stringify(fields)) },
      now: () => new Date(),
    } as unknown as ServerInputs;
    const closers: Closers = [];
    startRetention(inputs, closers);
    mock.timers.tick(seconds * 1000);
    for (let n = 0; n < 5; n++) await new Promise((resolve) => setImmediate(resolve));
    const before = [...tables].sort();
    await closeAll(closers);
    tables.clear();
    mock.timers.tick(600_000);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([...tables], [], 'after it was closed');
    return before;
  }

  const rows: [seconds: number, auditDays: number, tables: readonly string[]][] = [
    [29, 30, []],
    [30, 30, ['trim_issued_tokens']],
    [60, 30, ['failed_attempts', 'refusals', 'trim_issued_tokens']],
    [60, 0, ['failed_attempts', 'refusals']],
  ];
  for (const [seconds, auditDays, tables] of rows) {
    it(`of ${tables.join(', ') || 'no table'} are deleted within ${seconds} s, with audit_days ${auditDays}`, async () => {
      assert.deepEqual(await cleaned(seconds, auditDays), tables);
    });
  }

  it('are left to the replica whose turn it is', async () => {
    assert.deepEqual(await cleaned(60, 30, false), []);
  });
});

describe('the bytes for issued tokens', () => {
  const GB = 1_000_000_000;
  const retention = { days: 30, knownBytes: 0.9 * GB, anonymousBytes: 0.1 * GB };
  const size = (bytesAnHour: number | null) => ({ bytes: 0, bytesOpen: 0, bytesAnHour });

  const rows: [known: number | null, anonymous: number | null, tooMuch: object | null][] = [
    [null, null, null],
    [(0.9 * GB) / 720, (0.1 * GB) / 720, null],
    [GB / 720, null, { kind: 'known', days_that_fit: 27, audit_days: 30 }],
    [0, GB / 720, { kind: 'anonymous', days_that_fit: 3, audit_days: 30 }],
  ];
  for (const [known, anonymous, tooMuch] of rows) {
    it(`${tooMuch === null ? 'hold' : 'do not hold'} ${known} an hour of known and ${anonymous} of anonymous clients`, () => {
      const found = tooMuchFor(retention, { known: size(known), anonymous: size(anonymous) });
      if (tooMuch === null) assert.equal(found, null);
      else assert.deepEqual({ ...found, ...tooMuch }, found);
    });
  }
});

describe('retention of several replicas on one PostgreSQL', () => {
  it('begins each turn once, and again when its time has passed', async () => {
    const url = await (await sharedPostgres()).createMigratedDatabase();
    const databases = Array.from({ length: 4 }, () => openPostgres(url));
    try {
      const begin = async (): Promise<number> => {
        const turns = await Promise.all(databases.map((database) => beginTurn(database, 'refusals', 48_000)));
        return turns.filter((mine) => mine).length;
      };
      const setBack = (interval: string) =>
        databases[0]!.query(`UPDATE retention_turns SET began_at = began_at - interval '${interval}'`);
      assert.deepEqual([await begin(), await begin()], [1, 0]);
      await setBack('47 seconds');
      assert.equal(await begin(), 0);
      await setBack('1 second');
      assert.equal(await begin(), 1);
      await setBack('-1 hour');
      assert.equal(await begin(), 1, 'a turn in the future is from before the clock was set back');
    } finally {
      for (const database of databases) await database.close();
    }
  });
});
