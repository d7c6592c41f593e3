import assert from 'node:assert/strict';
import fc from 'fast-check';
import { createOwnQuestions } from '../../../../src/store/source/own/questions.ts';
import { createOwnSource } from '../../../../src/store/source/own/source.ts';
import { arbitraryCompany } from '../../../support/directory/arbitrary-company.ts';
import { describeOnBoth } from '../../../support/directory/document.ts';
import { emptyDirectory } from '../../../support/directory/empty.ts';
import { compareAll } from './agreement.ts';

/** The embedded database takes longer. */
const RUNS = { postgres: 12, pglite: 3 } as const;

describeOnBoth("administrators' questions", (directory) => {
  it('agree with the token endpoint', async () => {
    const runs = RUNS[directory.database.kind];
    const source = createOwnSource(directory.database);
    const questions = createOwnQuestions(directory.database);
    let granted = 0;
    await fc.assert(
      fc
        .asyncProperty(arbitraryCompany, async (company) => {
          await directory.apply(company);
          granted += await compareAll({ source, questions, own: directory.database });
        })
        .beforeEach(() => emptyDirectory(directory.database)),
      // A smaller counterexample would take minutes to find.
      { numRuns: runs, endOnFailure: true },
    );
    // Otherwise the property would only compare refusals.
    assert.ok(granted > runs, `only ${granted} were granted`);
  }).timeout(180_000);
});
