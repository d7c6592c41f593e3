import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { checkDirectory } from '../../src/directory/check.ts';
import { invalidDocument } from '../../src/directory/document/problems.ts';

describe('a wrong document', () => {
  it('gets its first 20 problems by line, and the number of all', () => {
    const text = `version: 1\nusers:\n${Array.from({ length: 30 }, () => '  - username: "?"').join('\n')}`;
    const { message, details } = invalidDocument(checkDirectory(text).problems);
    assert.equal(
      message,
      'the directory document has 30 problems, of which the first 20 are listed: nothing was applied',
    );
    assert.deepEqual(
      details.problems?.map(({ line }) => line),
      Array.from({ length: 20 }, (_, at) => at + 3),
    );
  });

  it('that is a README gets no more', () => {
    const { details } = invalidDocument(checkDirectory(readFileSync('README.md', 'utf8')).problems);
    assert.ok((details.problems?.length ?? 0) <= 20);
  });
});
