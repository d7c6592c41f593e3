import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { ConfiguredIdentity } from '../../../../src/config/federation.ts';
import { arbitraryCompany } from '../../../support/directory/arbitrary-company.ts';
import { emptyDirectory } from '../../../support/directory/empty.ts';
import { type GitlabQuestionsFixture, openGitlabQuestions } from '../../../support/gitlab/questions.ts';
import { compareAll } from './agreement.ts';

const RUNS = 10;

interface CompanyIdentity {
  readonly name: string;
  readonly issuer: string;
  readonly scopes: readonly string[];
  readonly expires_at: string | null;
  readonly account?: string;
}

/** Those of the company's identities that the settings can hold: they name an account. */
function identitiesOf(identities: readonly CompanyIdentity[]): readonly ConfiguredIdentity[] {
  return identities.flatMap(({ account, expires_at, ...one }) =>
    account === undefined ? [] : [{ ...one, account, expiresOn: expires_at, claims: {} }],
  );
}

for (const hasOwnCi of [false, true]) {
  describe(`administrators' questions on a GitLab's database${hasOwnCi ? ', CI in one of its own' : ''}`, () => {
    let gitlab: GitlabQuestionsFixture;
    before(async () => {
      gitlab = await openGitlabQuestions({ hasOwnCi });
    });
    after(() => gitlab.close());

    it('agree with the token endpoint, and write nothing', async () => {
      let granted = 0;
      await fc.assert(
        fc
          .asyncProperty(arbitraryCompany, async (company) => {
            await gitlab.apply(company);
            const before = await gitlab.content();
            const identities = identitiesOf(company.federated_identities);
            const hasIdentity = (name: string): boolean => identities.some((one) => one.name === name);
            granted += await compareAll({ ...gitlab.answers(identities), own: gitlab.world, hasIdentity });
            assert.deepEqual(await gitlab.content(), before);
          })
          .beforeEach(() => emptyDirectory(gitlab.world)),
        { numRuns: RUNS, endOnFailure: true },
      );
      assert.ok(granted > RUNS, `only ${granted} were granted`);
    }).timeout(240_000);
  });
}
