import assert from 'node:assert/strict';
import fc from 'fast-check';
import { undoChange } from '../../../src/directory/history/undo.ts';
import { CellpassError } from '../../../src/errors.ts';
import { readDirectory } from '../../../src/store/directory/read-rows.ts';
import { TABLE_NAMES } from '../../../src/store/directory/tables.ts';
import { arbitraryDocument } from '../../support/directory/arbitrary-document.ts';
import { describeOnBoth, type TestDirectory } from '../../support/directory/document.ts';

const AUTHOR = { at: new Date('2026-11-25T12:00:00Z'), who: 'another test' };
const TEN = {
  users: Array.from({ length: 10 }, (_, at) => ({
    username: `user-${at}`,
    password: `a good password ${at}`,
    admin: at === 0,
  })),
  groups: [
    {
      path: 'acme',
      members: [
        { user: 'user-1', role: 'owner' },
        { user: 'user-2', role: 'developer' },
      ],
    },
  ],
  projects: [{ path: 'acme/api', members: [{ user: 'user-3', role: 'developer' }] }],
  access_tokens: [
    { kind: 'personal', user: 'user-1', name: 'ci', scopes: ['api'], token: 'glpat-example-00000001' },
    {
      kind: 'project',
      project: 'acme/api',
      role: 'developer',
      name: 'bot',
      scopes: ['api'],
      token: 'glpat-example-00000002',
    },
  ],
};

/** Every row of every table, without what the database or the history writes by itself. */
async function allRows({ database }: TestDirectory): Promise<unknown> {
  const rows = await database.transaction(readDirectory);
  return TABLE_NAMES.map((table) => [table, rows[table].map((row) => JSON.stringify(row)).sort()]);
}

describeOnBoth('undoing a change', (directory) => {
  const undo = (id: number | null, dryRun = false) =>
    undoChange(directory.database, id ?? 0, AUTHOR, { dryRun });
  const refusalOf = async (id: number | null): Promise<string> => {
    const { refused } = await undo(id, true);
    const error = await undo(id).then(
      () => assert.fail('the change was undone'),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof CellpassError && error.code === 'conflict');
    assert.equal(error.message, refused);
    return error.message;
  };

  it('brings back users who were pruned by a document of one line, with passwords and tokens', async () => {
    await directory.apply(TEN);
    const before = await allRows(directory);
    const { change_id } = await directory.apply({ users: [{ username: 'user-9' }] }, { prune: true });
    assert.notDeepEqual(await allRows(directory), before);
    await undo(change_id);
    assert.deepEqual(await allRows(directory), before);
  });

  it('brings back the name and the members of a group that was renamed by its id', async () => {
    await directory.apply(TEN);
    const [group] = await directory.query("SELECT id FROM namespaces WHERE path = 'acme'");
    const before = await allRows(directory);
    const { change_id, changes } = await directory.apply({ groups: [{ path: 'acme-2', id: group!['id'] }] });
    assert.deepEqual(
      changes.map(({ op, section, name }) => [op, section, name]),
      [['~', 'groups', 'acme']],
    );
    await undo(change_id);
    assert.deepEqual(await allRows(directory), before);
  });

  it('removes what was added, and an undo can be undone', async () => {
    const before = await allRows(directory);
    const { change_id } = await directory.apply(TEN);
    const after = await allRows(directory);
    const { change_id: undone, changes } = await undo(change_id);
    assert.ok(changes.every(({ op }) => op === '-'));
    assert.deepEqual(await allRows(directory), before);
    await undo(undone);
    assert.deepEqual(await allRows(directory), after);
  });

  it('is refused the second time, and names the undo', async () => {
    const { change_id } = await directory.apply(TEN);
    const { change_id: by } = await undo(change_id);
    assert.equal(await refusalOf(change_id), `change ${change_id} was undone by change ${by}`);
  });

  const later: [what: string, document: object, prune?: boolean][] = [
    ['changed', { users: [{ username: 'alice', state: 'deactivated' }] }],
    ['removed', { users: [] }, true],
    [
      'given a token',
      {
        access_tokens: [
          { kind: 'personal', user: 'alice', name: 'x', scopes: ['api'], token: 'glpat-example-00000003' },
        ],
      },
    ],
    ['made a member', { groups: [{ path: 'other', members: [{ user: 'alice', role: 'guest' }] }] }],
    ['given a project', { projects: [{ path: 'alice/app' }] }],
  ];
  for (const [what, document, prune = false] of later) {
    it(`is refused for a new user who was ${what} later, and nothing is changed`, async () => {
      const { change_id } = await directory.apply({ users: [{ username: 'alice' }] });
      const { change_id: by } = await directory.apply(document, { prune });
      const rows = await allRows(directory);
      assert.match(await refusalOf(change_id), /^change \d+ can't be undone: its .* changed later/);
      assert.deepEqual(await allRows(directory), rows);
      await undo(by);
      await undo(change_id);
    });
  }

  it('is refused when a name that it brings back is in use', async () => {
    await directory.apply({ users: [{ username: 'alice', email: 'a@example.com' }, { username: 'bob' }] });
    const { change_id } = await directory.apply({ users: [{ username: 'bob' }] }, { prune: true });
    await directory.apply({ users: [{ username: 'carol', email: 'a@example.com' }, { username: 'bob' }] });
    const error = await undo(change_id).catch((reason: unknown) => reason);
    assert.ok(error instanceof CellpassError && error.code === 'conflict', String(error));
  });

  it('of a change that does not exist says so', async () => {
    await assert.rejects(undo(4711), { code: 'not_found' });
  });

  it('leads back from every document to what was before, secrets included', async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryDocument, arbitraryDocument, fc.boolean(), async (first, second, prune) => {
        await empty(directory);
        await directory.apply(first).catch(ignoreInvalid);
        const before = await allRows(directory);
        const applied = await directory.apply(second, { prune }).catch(ignoreInvalid);
        if (applied?.change_id == null) return;
        await undo(applied.change_id);
        assert.deepEqual(await allRows(directory), before);
      }),
      { numRuns: 40 },
    );
  });
});

async function empty({ database }: TestDirectory): Promise<void> {
  await database.query('TRUNCATE organizations, users, members, revoked_secrets, history CASCADE');
  await database.query('DELETE FROM settings');
  await database.query('INSERT INTO settings DEFAULT VALUES');
}

function ignoreInvalid(error: unknown): undefined {
  if (error instanceof CellpassError && error.code === 'invalid') return undefined;
  throw error;
}
