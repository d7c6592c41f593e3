import assert from 'node:assert/strict';
import { applyDirectory } from '../../src/directory/apply.ts';
import { checkDirectory } from '../../src/directory/check.ts';
import { CellpassError } from '../../src/errors.ts';
import { describeOnBoth } from '../support/directory/document.ts';

const check = (document: object): readonly string[] =>
  checkDirectory(JSON.stringify({ version: 1, ...document })).problems.map(({ message }) => message);

const NO_PASSWORDS = { hash: async () => '', verify: async () => false };
const USERS = [{ username: 'alice' }, { username: 'bob' }];

describe('a check of a document says what was probably meant', () => {
  const rows: [what: string, document: object, message: RegExp][] = [
    [
      'a member',
      { users: USERS, groups: [{ path: 'g', members: [{ user: 'alise', role: 'owner' }] }] },
      /^there is no user "alise"; did you mean alice\?$/,
    ],
    [
      'a role',
      { users: USERS, groups: [{ path: 'g', members: [{ user: 'alice', role: 'develper' }] }] },
      /; did you mean developer\?$/,
    ],
    [
      'a field',
      { users: [{ usernmae: 'alice', username: 'alice' }] },
      /^is not a known field; did you mean username\?$/,
    ],
    [
      'a field of a token',
      {
        users: USERS,
        access_tokens: [{ kind: 'personal', user: 'bob', name: 't', scope: ['api'], scopes: ['api'] }],
      },
      /^is not a known field; did you mean scopes\?$/,
    ],
    ['a section', { user: [] }, /^is not a known field; did you mean users\?$/],
    [
      'a kind',
      { users: USERS, access_tokens: [{ kind: 'persnal', user: 'bob', name: 't', scopes: ['api'] }] },
      /; did you mean personal\?$/,
    ],
    ['a state', { users: [{ username: 'alice', state: 'blokced' }] }, /; did you mean blocked\?$/],
    [
      'a parent',
      { users: [], groups: [{ path: 'platform' }], projects: [{ path: 'platfrom/api' }] },
      /^there is no group or user "platfrom"; did you mean platform\?$/,
    ],
    [
      'an invited group',
      {
        groups: [{ path: 'platform' }, { path: 'x', invited_groups: [{ group: 'platfrom', role: 'owner' }] }],
      },
      /"platfrom"; did you mean platform\?$/,
    ],
    [
      'a project',
      {
        groups: [{ path: 'acme' }],
        projects: [{ path: 'acme/api' }],
        deploy_tokens: [
          { username: 'd', scopes: ['read_registry'], projects: ['acme/apis'], token: 'a'.repeat(20) },
        ],
      },
      /"acme\/apis"; did you mean acme\/api\?$/,
    ],
    [
      'an organization',
      { organizations: [{ path: 'default' }], users: [{ username: 'alice', organization: 'defualt' }] },
      /"defualt"; did you mean default\?$/,
    ],
    [
      'nothing that is near',
      { users: USERS, groups: [{ path: 'g', members: [{ user: 'zoe-q', role: 'owner' }] }] },
      /^there is no user "zoe-q"$/,
    ],
  ];
  for (const [what, document, message] of rows) {
    it(`for ${what}`, () => {
      const messages = check(document);
      assert.equal(messages.length, 1, messages.join('\n'));
      assert.match(messages[0] ?? '', message);
    });
  }

  it('only for the problems that are listed, whatever their number', () => {
    const users = Array.from({ length: 20_000 }, (_, at) => ({ username: `person-number-${at}` }));
    const members = users.map(({ username }) => ({ user: `${username}x`, role: 'owner' }));
    const messages = check({ users, groups: [{ path: 'g', members }] });
    assert.equal(messages.length, members.length);
    const suggested = messages.filter((message) => message.includes('did you mean'));
    assert.deepEqual(suggested, messages.slice(0, 20));
  });
});

describe('a check of a document warns of', () => {
  const now = new Date('2027-01-01T12:00:00Z');
  const warnings = (tokens: object, tokenDays = 365): readonly string[] =>
    checkDirectory(JSON.stringify({ version: 1, ...tokens }), null, { now, tokenDays }).warnings.map(
      ({ path, message }) => `${path}: ${message}`,
    );
  const personal = (fields: object): object => ({
    access_tokens: [
      { kind: 'personal', user: 'alice', name: 't', scopes: ['api'], token: 'a'.repeat(20), ...fields },
    ],
  });
  const rows: [what: string, tokens: object, tokenDays: number, warned: RegExp | null][] = [
    [
      'an end that is too late',
      personal({ expires_at: '2028-01-02' }),
      365,
      /^access_tokens\[0\]\.expires_at: ends on 2028-01-02, but a new token may end on 2028-01-01 at the latest \(limits\.token_days is 365\)$/,
    ],
    ['no end on the last day', personal({ expires_at: '2028-01-01' }), 365, null],
    ['no end without a bound', personal({ expires_at: '2099-01-01' }), 0, null],
    ['no end of a revoked token', personal({ expires_at: '2099-01-01', revoked: true }), 365, null],
    ['no token without an end', personal({}), 365, null],
    [
      'a shorter bound',
      personal({ expires_at: '2027-02-01' }),
      30,
      /2027-01-31 at the latest \(limits\.token_days is 30\)$/,
    ],
    [
      'a deploy token',
      {
        deploy_tokens: [
          {
            username: 'd',
            group: 'g',
            scopes: ['read_registry'],
            expires_at: '2029-01-01T00:00:00Z',
            token: 'a'.repeat(20),
          },
        ],
      },
      365,
      /^deploy_tokens\[0\]\.expires_at: ends on 2029-01-01/,
    ],
    [
      'a scope with a typing error',
      personal({ scopes: ['read_registy'] }),
      365,
      /^access_tokens\[0\]\.scopes: read_registy is not a scope of GitLab; did you mean read_registry\?$/,
    ],
    ['no scope of another GitLab', personal({ scopes: ['mcp'] }), 365, null],
  ];
  for (const [what, tokens, tokenDays, warned] of rows) {
    it(what, () => {
      const found = warnings(tokens, tokenDays);
      if (warned === null) assert.deepEqual(found, []);
      else assert.match(found.join('\n'), warned);
    });
  }
});

describeOnBoth('a document names', (directory) => {
  it('what is stored and not in the document', async () => {
    await directory.apply({
      version: 1,
      users: USERS,
      groups: [{ path: 'acme' }],
      projects: [{ path: 'acme/api' }],
    });
    const group = { path: 'other', members: [{ user: 'alise', role: 'owner' }] };
    for (const prune of [false, true]) {
      const [problem] = await directory.refusal({ version: 1, groups: [group, { path: 'acme' }] }, { prune });
      assert.equal(problem?.message, 'there is no user "alise"; did you mean alice?');
    }
    const [project] = await directory.refusal({
      version: 1,
      deploy_tokens: [
        { username: 'd', scopes: ['read_registry'], projects: ['acme/apis'], token: 'a'.repeat(20) },
      ],
    });
    assert.equal(project?.message, 'there is no project "acme/apis"; did you mean acme/api?');
  });

  it('what is stored, where one change names it wrongly', async () => {
    await directory.apply({ version: 1, users: USERS });
    await assert.rejects(
      applyDirectory(
        { database: directory.database, passwords: NO_PASSWORDS, now: () => new Date() },
        { action: 'user_block', user: 'alise' },
        { prune: false, who: 'a test' },
      ),
      (error: unknown) =>
        error instanceof CellpassError && error.message === 'there is no user "alise"; did you mean alice?',
    );
  });
});
