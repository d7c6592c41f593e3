import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { policyDocument } from '../docs/generate-policy.ts';

describe('docs/policy.md', () => {
  it('has the tables of the code that decides (npm run docs)', () => {
    const current = readFileSync(new URL('../docs/policy.md', import.meta.url), 'utf8');
    assert.equal(policyDocument(current), current);
  });
});
