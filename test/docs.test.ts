import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { policyDocument } from '../docs/generate-policy.ts';

describe('docs/policy.md', () => {
  it('has the tables of the code that decides (npm run docs)', () => {
    const current = readFileSync(new URL('../docs/policy.md', import.meta.url), 'utf8');
    assert.equal(policyDocument(current), current);
  });
});

describe('docs/security.md', () => {
  const root = new URL('../', import.meta.url);
  /** `| 7 | what must not happen | `test/a.test.ts`, `test/b.test.ts` |` */
  const row = /^\| (\d+) \| .+ \| (`[^|]+`) \|$/gm;
  const rows = [...readFileSync(new URL('docs/security.md', root), 'utf8').matchAll(row)].map(
    ([, number = '', files = '']) => ({
      number: Number(number),
      files: [...files.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file),
    }),
  );

  it('has every check, once and in order', () => {
    assert.deepEqual(
      rows.map(({ number }) => number),
      Array.from({ length: 41 }, (_, at) => at + 1),
    );
  });

  for (const { number, files } of rows) {
    it(`says where check ${number} is`, () => {
      assert.ok(files.length > 0);
      for (const file of files) {
        assert.ok(existsSync(new URL(file, root)), file);
        assert.match(readFileSync(new URL(file, root), 'utf8'), new RegExp(`security check ${number}\\b`));
      }
    });
  }
});
