import assert from 'node:assert/strict';
import { parseScopes } from '../../../../src/store/source/gitlab/credentials.ts';

const ROWS: readonly (readonly [yaml: string, scopes: readonly string[]])[] = [
  ['---\n- api\n- read_registry\n', ['api', 'read_registry']],
  ['---\n- :api\n- :read_registry\n', ['api', 'read_registry']],
  [`---\n- "api"\n- 'read_registry'\n`, ['api', 'read_registry']],
  ['--- [api, read_registry]\n', ['api', 'read_registry']],
  ['--- [:api]', ['api']],
  ['---\n- ai_workflows\n- user:12\n', ['ai_workflows', 'user:12']],
  ['--- []\n', []],
  ['--- [ ]', []],
];
/** Each must give no scope, and must not look like the empty list, which counts as `api`. */
const UNREADABLE = [
  '',
  '---\n',
  '--- {}\n',
  'api',
  '---\n- !ruby/object:Foo {}\n',
  '---\n- [api]\n',
  '---\n- api write\n',
];

describe("the scopes of GitLab's access tokens", () => {
  for (const [yaml, scopes] of ROWS) {
    it(`of ${JSON.stringify(yaml)} are ${scopes.join(', ') || 'none'}`, () => {
      assert.deepEqual(parseScopes(yaml), scopes);
    });
  }

  for (const yaml of UNREADABLE) {
    it(`of ${JSON.stringify(yaml)} can't be read, and allow nothing`, () => {
      assert.deepEqual(parseScopes(yaml), ['(unreadable)']);
    });
  }
});
