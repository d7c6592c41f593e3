import assert from 'node:assert/strict';
import { applyDirectory } from '../../src/directory/apply.ts';
import { undoChange } from '../../src/directory/history/undo.ts';
import type { Database, Sql } from '../../src/store/database/drivers.ts';
import { describeOnBoth } from '../support/directory/document.ts';

const NOW = new Date('2026-11-24T12:00:00Z');
const JOB = { id: 7, project: 'acme/api', running: true, token: 'glcbt-example-api-job-0001' };
const BASE = { version: 1, groups: [{ path: 'acme' }], projects: [{ path: 'acme/api' }] };
const PASSWORDS = { hash: async () => 'hash', verify: async () => false };

/** CI systems put and delete job tokens at any time, without the lock of the directory. */
describeOnBoth('the table of job tokens', (directory) => {
  let statements: string[] = [];
  const watched = (): Pick<Database, 'transaction'> => ({
    transaction: (work, options) =>
      directory.database.transaction((sql) => {
        const query: Sql['query'] = (statement, params) => {
          statements.push(typeof statement === 'string' ? statement : statement.text);
          return sql.query(statement, params);
        };
        return work({ ...sql, query });
      }, options),
  });
  const apply = (document: object, options: { readonly prune?: boolean; readonly merge?: boolean } = {}) =>
    applyDirectory(
      { database: watched(), passwords: PASSWORDS, now: () => NOW },
      JSON.stringify({ ...BASE, ...document }),
      { prune: false, who: 'a test', ...options },
    );
  const undo = (id: number | null) =>
    undoChange(watched(), id ?? 0, { at: NOW, who: 'a test' }, { dryRun: false });

  const rows: [what: string, work: () => Promise<unknown>][] = [
    ['applies them', () => apply({ job_tokens: [JOB] })],
    ['prunes them', () => apply({ job_tokens: [] }, { prune: true })],
    ['merges them', () => apply({ job_tokens: [{ id: 7, running: false }] }, { merge: true })],
  ];
  for (const [what, work] of rows) {
    it(`is locked before a document that ${what} reads it`, async () => {
      await apply({ job_tokens: [JOB] });
      statements = [];
      await work();
      assertLockedFirst(statements);
    });
  }

  for (const [what, change] of [
    ['adds', () => apply({ job_tokens: [JOB] })],
    ['removes', () => apply({ job_tokens: [JOB] }).then(() => apply({ job_tokens: [] }, { prune: true }))],
  ] as const) {
    it(`is locked before the undo of a document that ${what} job tokens reads it`, async () => {
      const { change_id } = await change();
      statements = [];
      await undo(change_id);
      assertLockedFirst(statements);
    });
  }
});

function assertLockedFirst(statements: readonly string[]): void {
  const locked = statements.findIndex((text) => text.startsWith('LOCK TABLE job_tokens'));
  const read = statements.findIndex((text) => /\bFROM job_tokens\b/.test(text));
  assert.ok(locked >= 0 && read > locked, `locked at ${locked}, read at ${read}`);
}
