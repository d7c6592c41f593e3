import assert from 'node:assert/strict';
import {
  type Abilities,
  ANONYMOUS_ABILITIES,
  accessTokenAbilities,
  deployTokenAbilities,
  JOB_ABILITIES,
  PASSWORD_ABILITIES,
} from '../../src/policy/ability.ts';

const ALL = ['pull', 'push', 'delete', '*'];

describe('what a credential can do at most', () => {
  const rows: readonly (readonly [string, Abilities, readonly string[]])[] = [
    ['a password', PASSWORD_ABILITIES, ALL],
    ['a job', JOB_ABILITIES, ['pull', 'push', 'delete']],
    ['anonymous', ANONYMOUS_ABILITIES, ['pull']],
    ['an access token with api', accessTokenAbilities(['api']), ALL],
    ['an access token without scopes', accessTokenAbilities([]), ALL],
    ['an access token with read_api', accessTokenAbilities(['read_api']), ['pull']],
    ['an access token with read_registry', accessTokenAbilities(['read_registry']), ['pull']],
    ['an access token with write_registry', accessTokenAbilities(['write_registry']), ['push']],
    [
      'an access token with both',
      accessTokenAbilities(['write_registry', 'read_registry']),
      ['pull', 'push'],
    ],
    ['an access token with api and less', accessTokenAbilities(['read_api', 'api']), ALL],
    ['an access token with read_repository', accessTokenAbilities(['read_repository']), []],
    ['an access token with an unknown scope', accessTokenAbilities(['constructor', 'API']), []],
    ['an access token with one that counts', accessTokenAbilities(['read_user', 'read_registry']), ['pull']],
    ['a deploy token with read_registry', deployTokenAbilities(['read_registry']), ['pull']],
    ['a deploy token with write_registry', deployTokenAbilities(['write_registry']), ['push']],
    ['a deploy token with both', deployTokenAbilities(['read_registry', 'write_registry']), ['pull', 'push']],
    ['a deploy token with api', deployTokenAbilities(['api', 'read_api']), []],
    ['a deploy token without scopes', deployTokenAbilities([]), []],
    ['a deploy token with read_repository', deployTokenAbilities(['read_repository']), []],
  ];
  for (const [what, abilities, expected] of rows) {
    it(`${what}: ${expected.join(' ') || 'nothing'}`, () => assert.deepEqual(abilities, new Set(expected)));
  }
});
