import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type GitlabTestServer, startGitlabServer } from '../../support/gitlab/server.ts';
import { readCases } from './csv.ts';
import { inGitlabsWay } from './gitlab-way.ts';
import { type CaseRunner, prepareCases } from './run.ts';

const ROWS = inGitlabsWay(readCases(readFileSync(new URL('../policy-cases.csv', import.meta.url), 'utf8')));

for (const hasOwnCi of [false, true]) {
  describe(`the policy, case by case, over HTTP on a GitLab's database${hasOwnCi ? ', CI in one of its own' : ''}`, () => {
    let server: GitlabTestServer;
    let runner: CaseRunner;

    before(async function () {
      this.timeout(60_000);
      server = await startGitlabServer({ hasOwnCi });
      runner = await prepareCases(server, ROWS);
    });

    after(() => server.close());

    for (const row of ROWS) {
      it(`${row.case_id}: ${row.principal} (${row.role_on_project}) asks ${row.requested} → ${row.granted}, ${row.http_status}`, async () => {
        const { result, lines } = await runner.run(row);
        assert.deepEqual({ result, lines }, { result: 'same', lines: [] });
      });
    }
  });
}
