import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { startTestServer, type TestServer } from '../../support/server.ts';
import { type CaseRow, readCases } from './csv.ts';
import { type CaseRunner, prepareCases } from './run.ts';

const OURS = new URL('../policy-cases.csv', import.meta.url);
/** The source of the rows, in case it has grown; a plain clone doesn't have it. */
const ORIGINAL = new URL('../../../../shared/policy-cases.csv', import.meta.url);

describe('the policy, case by case, over HTTP on PostgreSQL', () => {
  const rows = everyRow();
  let server: TestServer;
  let runner: CaseRunner;

  before(async function () {
    this.timeout(60_000);
    server = await startTestServer();
    runner = await prepareCases(server, rows);
  });

  after(() => server.close());

  for (const row of rows) {
    it(`${row.case_id}: ${row.principal} (${row.role_on_project}) asks ${row.requested} → ${row.granted}, ${row.http_status}`, async () => {
      const { result, lines } = await runner.run(row);
      assert.deepEqual({ result, lines }, { result: 'same', lines: [] });
    });
  }
});

function everyRow(): readonly CaseRow[] {
  const ours = read(OURS);
  const original = existsSync(ORIGINAL) ? read(ORIGINAL) : [];
  const isNew = (row: CaseRow) => !ours.some((known) => isDeepStrictEqual(known, row));
  return [...ours, ...original.filter(isNew)];
}

function read(file: URL): readonly CaseRow[] {
  return readCases(readFileSync(file, 'utf8'));
}
