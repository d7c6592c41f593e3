import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { loadConfig } from '../../src/config/load.ts';
import type { ServerInputs } from '../../src/server/assembly/inputs.ts';
import { startRetention } from '../../src/server/assembly/retention.ts';
import { type Closers, closeAll } from '../../src/server/closers.ts';

describe('old records', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setInterval'] }));
  afterEach(() => mock.timers.reset());

  /** The tables that are cleaned while so many seconds pass, and after retention is closed. */
  async function cleaned(seconds: number, auditDays: number): Promise<readonly string[]> {
    const tables = new Set<string>();
    const query = async (statement: string | { readonly text: string }): Promise<readonly object[]> => {
      const text = typeof statement === 'string' ? statement : statement.text;
      const [table] = /trim_issued_tokens|refusals|fail\w+/.exec(text) ?? [];
      if (table !== undefined) tables.add(table);
      return [];
    };
    const config = loadConfig({});
    const inputs = {
      config: { ...config, retention: { ...config.retention, auditDays } },
      database: { query, execute: query, transaction: (work: (sql: object) => unknown) => work({ query }) },
      log: { warn: (fields: object) => assert.fail(JSON.stringify(fields)) },
      now: () => new Date(),
    } as unknown as ServerInputs;
    const closers: Closers = [];
    startRetention(inputs, closers);
    mock.timers.tick(seconds * 1000);
    await new Promise((resolve) => setImmediate(resolve));
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
});
