import assert from 'node:assert/strict';
import fc from 'fast-check';
import { CellpassError } from '../../../src/errors.ts';
import { listHistory } from '../../../src/store/history/history.ts';
import { ARBITRARY_BASE, arbitraryDocument } from '../../support/directory/arbitrary-document.ts';
import { describeOnBoth } from '../../support/directory/document.ts';

const BASE = {
  users: [
    { username: 'root', admin: true },
    { username: 'alice', password: 'a good password' },
    ...Array.from({ length: 8 }, (_, at) => ({ username: `user-${at}` })),
  ],
  groups: [{ path: 'acme', members: [{ user: 'alice', role: 'developer' }] }, { path: 'acme/sub' }],
  projects: [
    {
      path: 'acme/api',
      protected_repositories: Array.from({ length: 5 }, (_, at) => ({
        pattern: `acme/api/r${at}`,
        minimum_role_for_push: 'maintainer',
      })),
    },
    { path: 'acme/web' },
  ],
  access_tokens: [
    { kind: 'personal', user: 'alice', name: 'ci', scopes: ['api'], token: 'glpat-example-00000001' },
  ],
};
const withoutUsers = (...names: string[]) => ({
  users: BASE.users
    .filter(({ username }) => !names.includes(username))
    .map(({ username }) => ({ username, ...(username === 'root' && { admin: true }) })),
});
const names = (count: number) => Array.from({ length: count }, (_, at) => `user-${at}`);

describeOnBoth('the preview of a document', (directory) => {
  const preview = (document: object, options: object = {}) =>
    directory.apply(document, { dryRun: true, ...options });

  const rows: [what: string, document: object, lines: object[]][] = [
    [
      'a field',
      { users: [{ username: 'alice', state: 'blocked' }] },
      [
        {
          op: '~',
          section: 'users',
          name: 'alice',
          fields: [{ field: 'state', old: 'active', new: 'blocked' }],
        },
      ],
    ],
    [
      'a new entry',
      { users: [{ username: 'bob', external: true }] },
      [
        {
          op: '+',
          section: 'users',
          name: 'bob',
          fields: [
            { field: 'username', old: null, new: 'bob' },
            { field: 'organization', old: null, new: 'default' },
            { field: 'external', old: null, new: true },
          ],
        },
      ],
    ],
    [
      'a password, which is hidden',
      { users: [{ username: 'alice', password: 'another password' }] },
      [
        {
          op: '~',
          section: 'users',
          name: 'alice',
          fields: [{ field: 'password', old: '(hidden)', new: '(hidden)' }],
        },
      ],
    ],
    ['the same password', { users: [{ username: 'alice', password: 'a good password' }] }, []],
    [
      'one member of a list',
      {
        groups: [
          {
            path: 'acme',
            members: [
              { user: 'alice', role: 'owner' },
              { user: 'root', role: 'guest' },
            ],
          },
        ],
      },
      [
        {
          op: '~',
          section: 'groups',
          name: 'acme',
          fields: [
            {
              field: 'members',
              old: [{ user: 'alice', role: 'developer' }],
              new: [
                { user: 'alice', role: 'owner' },
                { user: 'root', role: 'guest' },
              ],
            },
          ],
        },
      ],
    ],
    [
      'a setting',
      { settings: { maintenance_mode: true } },
      [
        {
          op: '~',
          section: 'settings',
          name: 'settings',
          fields: [{ field: 'maintenance_mode', old: false, new: true }],
        },
      ],
    ],
    [
      'a secret, which is hidden, and a revocation',
      {
        access_tokens: [
          {
            kind: 'personal',
            user: 'alice',
            name: 'ci',
            scopes: ['api'],
            token: 'glpat-example-00000009',
            revoked: true,
          },
        ],
      },
      [
        {
          op: '~',
          section: 'access_tokens',
          name: 'ci',
          fields: [
            { field: 'token', old: '(hidden)', new: '(hidden)' },
            { field: 'revoked', old: false, new: true },
          ],
        },
      ],
    ],
  ];
  for (const [what, document, expected] of rows) {
    it(`shows ${what}`, async () => {
      await directory.apply(BASE);
      const { changes, change_id, refused } = await preview(document);
      const sorted = (list: readonly object[]) =>
        list.map((one) =>
          'fields' in one && Array.isArray(one.fields)
            ? { ...one, fields: one.fields.toSorted((a, b) => (a.field < b.field ? -1 : 1)) }
            : one,
        );
      assert.deepEqual(sorted(changes), sorted(expected));
      assert.deepEqual([change_id, refused], [null, null]);
    });
  }

  it('shows the rename of a group once, not everything below it', async () => {
    await directory.apply(BASE);
    const [group] = await directory.query("SELECT id FROM namespaces WHERE path = 'acme'");
    const { changes } = await preview({
      groups: [{ path: 'zoo', id: group!['id'], members: [{ user: 'alice', role: 'developer' }] }],
    });
    assert.deepEqual(changes, [
      { op: '~', section: 'groups', name: 'acme', fields: [{ field: 'path', old: 'acme', new: 'zoo' }] },
    ]);
  });

  const NAMING = {
    users: [{ id: 1, username: 'alice' }],
    groups: [
      { id: 20, path: 'acme' },
      { path: 'acme/sub', members: [{ user: 'alice', role: 'guest' }] },
      { path: 'other' },
    ],
    projects: [
      { id: 100, path: 'acme/web' },
      {
        id: 101,
        path: 'acme/sub/api',
        job_token_allowlist: ['acme/sub', 'acme/web', 'other'],
        invited_groups: [{ group: 'acme/sub', role: 'developer' }],
        protected_repositories: [{ pattern: 'acme/sub/api/prod*', minimum_role_for_push: 'owner' }],
      },
      {
        path: 'alice/home',
        members: [{ user: 'alice', role: 'owner' }],
        job_token_allowlist: ['alice/home'],
      },
    ],
  };
  const renames: [what: string, rename: object, expected: string[]][] = [
    ['a group', { groups: [{ id: 20, path: 'Zoo' }] }, ['groups acme path']],
    ['a user', { users: [{ id: 1, username: 'alicia' }] }, ['users alice username']],
    [
      'a group, and another change of a project below it',
      {
        groups: [{ id: 20, path: 'zoo' }],
        projects: [{ id: 101, path: 'zoo/sub/api', job_token_allowlist: ['other'], invited_groups: [] }],
      },
      [
        'groups acme path',
        'projects acme/sub/api path invited_groups job_token_allowlist protected_repositories',
      ],
    ],
  ];
  for (const [what, rename, expected] of renames) {
    it(`shows once the rename of ${what}, which is named in other entries`, async () => {
      await directory.apply(NAMING);
      const { changes } = await directory.apply(rename, { merge: true });
      assert.deepEqual(
        changes.map(({ section, name, fields }) =>
          [section, name, ...fields.map(({ field }) => field)].join(' '),
        ),
        expected,
      );
    });
  }

  it('shows what goes with an entry', async () => {
    await directory.apply(BASE);
    const { changes } = await preview(withoutUsers('alice'), { prune: true });
    assert.deepEqual(
      changes.map(({ op, section, name }) => `${op} ${section} ${name}`),
      ['- users alice', '~ groups acme', '- access_tokens ci'],
    );
  });

  const guarded: [what: string, document: object, prune: boolean, refused: RegExp | null][] = [
    ['five users are removed', withoutUsers(...names(5)), true, null],
    ['six users are removed', withoutUsers(...names(6)), true, /^it removes 6 entries, more than 5$/],
    [
      'five users are removed and the token of one of them',
      withoutUsers('alice', ...names(4)),
      true,
      /^it removes 6 entries/,
    ],
    [
      'projects and a group are removed, and the rules with them',
      { groups: [{ path: 'acme' }], projects: [] },
      true,
      /^it removes 9 entries/,
    ],
    ['an admin is removed', withoutUsers('root'), true, /^it takes the rights of an admin away: root$/],
    [
      'an admin is blocked',
      { users: [{ username: 'root', admin: true, state: 'blocked' }] },
      false,
      /admin away: root/,
    ],
    ['an admin loses the flag', { users: [{ username: 'root' }] }, false, /admin away: root/],
    ['a person is blocked', { users: [{ username: 'alice', state: 'blocked' }] }, false, null],
    ['a group loses its member', { groups: [{ path: 'acme' }] }, false, null],
    ['five protection rules go', { projects: [{ path: 'acme/api' }] }, false, null],
    [
      'six rules and memberships go',
      { projects: [{ path: 'acme/api' }], groups: [{ path: 'acme' }] },
      false,
      /^it removes 6 entries/,
    ],
  ];
  for (const [what, document, prune, refused] of guarded) {
    it(`when ${what}: ${refused === null ? 'applied without a question' : 'refused, and nothing is changed'}`, async () => {
      await directory.apply(BASE);
      const said = (await preview(document, { prune, maxRemovals: 5 })).refused;
      const before = await directory.export();
      const applied = directory.apply(document, { prune, maxRemovals: 5 });
      if (refused === null) {
        assert.equal(said, null);
        await applied;
        return;
      }
      assert.match(String(said), refused);
      await assert.rejects(applied, { code: 'conflict' });
      assert.equal(await directory.export(), before);
      // Without a limit nothing is refused.
      assert.notEqual((await directory.apply(document, { prune })).change_id, null);
    });
  }

  const blocked: [what: string, document: object, prune: boolean, refused: RegExp | null][] = [
    ['is removed', withoutUsers('root'), true, /admin away: root/],
    ['loses the flag', { users: [{ username: 'root' }] }, false, /admin away: root/],
    [
      'loses the flag and stays blocked',
      { users: [{ username: 'root', state: 'blocked' }] },
      false,
      /admin away: root/,
    ],
    ['is deactivated', { users: [{ username: 'root', admin: true, state: 'deactivated' }] }, false, null],
    ['is unblocked', { users: [{ username: 'root', admin: true }] }, false, null],
  ];
  for (const [what, document, prune, refused] of blocked) {
    it(`when an admin who was blocked before ${what}: ${refused === null ? 'applied' : 'refused'}`, async () => {
      await directory.apply(BASE);
      await directory.apply({ users: [{ username: 'root', admin: true, state: 'blocked' }] });
      const { refused: said } = await preview(document, { prune, maxRemovals: 5 });
      assert.match(String(said), refused ?? /^null$/);
    });
  }

  const meanwhile: [what: string, change: object, prune: boolean, isApplied: boolean][] = [
    ['nothing', {}, false, true],
    ['a setting', { settings: { maintenance_mode: true } }, false, true],
    ['the same', withoutUsers('user-0'), true, false],
    ['a user who would be removed, too', { users: [{ username: 'eve' }] }, false, false],
    [
      'a token that would go with its user',
      { access_tokens: [{ ...BASE.access_tokens[0], user: 'user-0', token: 'glpat-example-00000002' }] },
      false,
      false,
    ],
  ];
  for (const [what, change, prune, isApplied] of meanwhile) {
    it(`${what} was changed since: what was confirmed is ${isApplied ? 'applied' : 'refused'}`, async () => {
      await directory.apply(BASE);
      const document = withoutUsers('user-0');
      const { preview: shown } = await preview(document, { prune: true });
      await directory.apply(change, { prune });
      const before = await directory.export();
      const applied = directory.apply(document, { prune: true, preview: shown });
      if (isApplied) return void assert.notEqual((await applied).change_id, null);
      await assert.rejects(applied, { code: 'conflict', message: /the list would be another one now$/ });
      assert.equal(await directory.export(), before);
    });
  }

  it('is what is then applied and recorded, for every document', async () => {
    await directory.apply(ARBITRARY_BASE);
    await fc.assert(
      fc.asyncProperty(arbitraryDocument, fc.boolean(), async (document, prune) => {
        const shown = await preview(document, { prune }).catch(ignoreInvalid);
        const applied = await directory.apply(document, { prune }).catch(ignoreInvalid);
        assert.deepEqual(shown?.changes.map(withoutFreshId), applied?.changes.map(withoutFreshId));
        assert.equal(shown?.preview, applied?.preview);
        if (applied == null || applied.change_id === null) return;
        const question = { subjects: [], since: null, after: null, limit: 1000 };
        const { entries } = await listHistory(directory.database, question);
        assert.deepEqual(
          entries.filter(({ id }) => id === applied.change_id).map(({ section, name }) => [section, name]),
          applied.changes.map(({ section, name }) => [section, name]),
        );
        const again = await directory.apply(document, { prune });
        assert.deepEqual([again.changes, again.change_id], [[], null]);
      }),
      { numRuns: 40 },
    );
  });

  it('shows no secret and no digest', async () => {
    await directory.apply(BASE);
    await directory.apply(withoutUsers('alice'), { prune: true });
    const rows = await directory.query('SELECT json_agg(history_entries)::text AS text FROM history_entries');
    assert.doesNotMatch(String(rows[0]?.['text']), /glpat-|hash \d|\\\\x[0-9a-f]{8}/);
  });
});

/** A new job token is named by its id, which is another one each time. */
function withoutFreshId<C extends { op: string; section: string; name: string }>(change: C): C {
  return change.op === '+' && change.section === 'job_tokens' ? { ...change, name: 'new' } : change;
}

function ignoreInvalid(error: unknown): undefined {
  if (error instanceof CellpassError && error.code === 'invalid') return undefined;
  throw error;
}
