import assert from 'node:assert/strict';
import { undoChange } from '../../src/directory/history/undo.ts';
import { describeOnBoth, messages } from '../support/directory/document.ts';

const SECRET = 'glpat-example-acme-sync-0001';

describeOnBoth('renaming and moving by id', (directory) => {
  beforeEach(async () => {
    await directory.apply({
      organizations: [{ path: 'default' }, { path: 'labs' }],
      users: [
        { username: 'alice', id: 11 },
        { username: 'bob', id: 12 },
      ],
      groups: [
        { path: 'acme', id: 1 },
        { path: 'acme/platform', id: 2 },
        { path: 'other', id: 3 },
      ],
      projects: [
        {
          path: 'acme/platform/api',
          id: 101,
          protected_repositories: [{ pattern: 'ACME/platform/api/prod*', minimum_role_for_push: 'owner' }],
        },
        { path: 'alice/dotfiles', id: 102 },
      ],
      access_tokens: [
        { name: 'sync', kind: 'group', group: 'acme', role: 'owner', scopes: ['api'], token: SECRET },
      ],
    });
  });

  /** `id path [traversal ids]` of groups, personal namespaces (as 0) and projects. */
  const tree = async (): Promise<string[]> => {
    const rows = await directory.query(`
      SELECT n.id, n.type, n.path, to_jsonb(n.traversal_ids) AS above, n.path_key FROM namespaces n
      UNION ALL
      SELECT p.id, 'Project', p.path, to_jsonb(n.traversal_ids), p.path_key FROM projects p JOIN namespaces n ON n.id = p.namespace_id
      ORDER BY path_key`);
    for (const { path, path_key } of rows) assert.equal(path_key, String(path).toLowerCase());
    return rows.map(({ id, type, path, above }) =>
      type === 'User'
        ? `user ${path}`
        : `${id} ${path} ${(above as number[]).filter((one) => one < 1000).join('>')}`,
    );
  };

  it('refuses an organization with the path of a stored one', async () => {
    const problems = messages(await directory.refusal({ organizations: [{ path: 'Labs', id: 1 }] }));
    const message = 'is taken by the stored organization with id 2: give this id, or give another path';
    assert.deepEqual(problems, { 'organizations[0].path': message });
  });

  const passedOn: [what: string, organizations: object[], prune: boolean, expected: string[]][] = [
    [
      'that another entry renames',
      [
        { path: 'labs', id: 1 },
        { path: 'labs-2', id: 2 },
      ],
      false,
      ['1 labs', '2 labs-2'],
    ],
    [
      'of each other',
      [
        { path: 'labs', id: 1 },
        { path: 'default', id: 2 },
      ],
      false,
      ['1 labs', '2 default'],
    ],
    ['of one that is removed', [{ path: 'labs', id: 1 }], true, ['1 labs']],
  ];
  for (const [what, organizations, prune, expected] of passedOn) {
    it(`gives organizations the path ${what}, and takes it back`, async () => {
      const list = async () => {
        const rows = await directory.query('SELECT id, path FROM organizations ORDER BY id');
        return rows.map(({ id, path }) => `${id} ${path}`);
      };
      const { change_id } = await directory.apply({ organizations }, { prune });
      assert.deepEqual(await list(), expected);
      const author = { at: new Date('2026-11-25T12:00:00Z'), who: 'another test' };
      await undoChange(directory.database, change_id ?? 0, author, { dryRun: false });
      assert.deepEqual(await list(), ['1 default', '2 labs']);
    });
  }

  it('refuses two groups of one id, of which one would be below itself', async () => {
    for (const id of [2, 77]) {
      const groups = [
        { path: 'new/sub', id },
        { path: 'new', id },
      ];
      const problems = messages(await directory.refusal({ groups }));
      assert.deepEqual(problems, { 'groups[1].id': 'is the same as groups[0].id' });
    }
  });

  it('takes all below along', async () => {
    await directory.apply({ groups: [{ path: 'Acme-Corp', id: 1 }] });
    assert.deepEqual(await tree(), [
      '1 Acme-Corp 1',
      '2 Acme-Corp/platform 1>2',
      '101 Acme-Corp/platform/api 1>2',
      'user alice',
      '102 alice/dotfiles ',
      'user bob',
      '3 other 3',
    ]);
  });

  it('finds the entries below by their new paths', async () => {
    const { sections } = await directory.apply({
      groups: [{ path: 'acme-corp/platform' }, { path: 'acme-corp', id: 1 }],
      projects: [{ path: 'acme-corp/platform/api' }],
    });
    assert.deepEqual(
      [sections['groups'], sections['projects']],
      [
        { added: 0, changed: 2, unchanged: 0, removed: 0 },
        { added: 0, changed: 1, unchanged: 0, removed: 0 },
      ],
    );
  });

  it('moves a group with its projects', async () => {
    await directory.apply({ groups: [{ path: 'other/tools', id: 2 }] });
    assert.deepEqual((await tree()).slice(-3), ['3 other 3', '2 other/tools 3>2', '101 other/tools/api 3>2']);
  });

  it('moves a project into a personal namespace and out of one', async () => {
    await directory.apply({
      projects: [
        { path: 'bob/api', id: 101 },
        { path: 'other/dotfiles', id: 102 },
      ],
    });
    assert.deepEqual(
      (await tree()).filter((line) => line.startsWith('10')),
      ['101 bob/api ', '102 other/dotfiles 3'],
    );
  });

  it('lets two groups swap their paths, and their order', async () => {
    await directory.apply({
      groups: [
        { path: 'other', id: 1 },
        { path: 'acme', id: 3 },
      ],
    });
    assert.deepEqual(
      (await tree()).filter((line) => /^[1-9] /.test(line)),
      ['3 acme 3', '1 other 1', '2 other/platform 1>2'],
    );
    await directory.apply({
      groups: [
        { path: 'platform', id: 2 },
        { path: 'platform/other', id: 1 },
      ],
    });
    assert.deepEqual(
      (await tree()).filter((line) => /^[1-9] /.test(line)),
      ['3 acme 3', '2 platform 2', '1 platform/other 2>1'],
    );
  });

  it('renames a user with the personal namespace, and swaps two', async () => {
    await directory.apply({
      users: [
        { username: 'bob', id: 11 },
        { username: 'Alice', id: 12 },
      ],
    });
    assert.deepEqual(
      (await tree()).filter((line) => /user|102/.test(line)),
      ['user Alice', 'user bob', '102 bob/dotfiles '],
    );
    assert.deepEqual(await directory.query('SELECT id, username FROM users WHERE id < 20 ORDER BY id'), [
      { id: 11, username: 'bob' },
      { id: 12, username: 'Alice' },
    ]);
  });

  it('takes the protection of repositories along', async () => {
    await directory.apply({ groups: [{ path: 'longer-name', id: 1 }] });
    assert.deepEqual(await directory.query('SELECT pattern FROM protected_repositories'), [
      { pattern: 'longer-name/platform/api/prod*' },
    ]);
  });

  it('takes everything below and the bots to another organization', async () => {
    await directory.apply({
      groups: [{ path: 'acme', organization: 'labs' }],
      users: [{ username: 'bob', organization: 'labs' }],
    });
    const rows = await directory.query(`
      SELECT n.path AS name FROM namespaces n JOIN organizations o ON o.id = n.organization_id WHERE o.path = 'labs'
      UNION ALL SELECT u.kind || ' ' || coalesce(n.path, '') FROM users u JOIN organizations o ON o.id = u.organization_id
        LEFT JOIN namespaces n ON n.owner_id = u.id WHERE o.path = 'labs' ORDER BY name`);
    assert.deepEqual(
      rows.map(({ name }) => name),
      ['acme', 'acme/platform', 'bob', 'group_bot ', 'human bob'],
    );
  });

  const refused: [what: string, document: object, problems: Record<string, string>][] = [
    [
      'to where something else is',
      { groups: [{ path: 'other', id: 1 }] },
      { 'groups[0].path': 'is taken by the stored entry with id 3: give this id, or another name' },
    ],
    [
      'below a parent that is not there',
      { groups: [{ path: 'nowhere/acme', id: 1 }] },
      { 'groups[0].path': 'there is no parent group "nowhere"' },
    ],
    [
      'a parent away from an entry',
      { groups: [{ path: 'acme-corp', id: 1 }], projects: [{ path: 'acme/platform/api' }] },
      { 'projects[0].path': 'there is no group or user "acme/platform"' },
    ],
    [
      'and a new entry of the old name at once',
      { groups: [{ path: 'acme-corp', id: 1 }, { path: 'acme' }] },
      {
        'groups[1].path':
          'is taken by the stored entry with id 1, which another entry renames: give an id here, or apply the rename first',
      },
    ],
  ];
  for (const [what, document, problems] of refused) {
    it(`refuses ${what}`, async () => {
      assert.deepEqual(messages(await directory.refusal(document)), problems);
    });
  }
});
