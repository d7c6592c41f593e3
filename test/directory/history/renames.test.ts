import assert from 'node:assert/strict';
import { undoChange } from '../../../src/directory/history/undo.ts';
import { forgetHistory, listHistory } from '../../../src/store/history/history.ts';
import { describeOnBoth } from '../../support/directory/document.ts';

const BASE = {
  users: [
    { id: 11, username: 'alice' },
    { id: 12, username: 'bob' },
  ],
  groups: [{ id: 20, path: 'acme', members: [{ user: 'alice', role: 'developer' }] }],
  projects: [{ id: 100, path: 'acme/api' }],
};

describeOnBoth('the history', (directory) => {
  /** The ids of the changes that a question finds, the oldest first. */
  const ids = async (...subjects: readonly string[]): Promise<readonly number[]> => {
    const { entries } = await listHistory(directory.database, {
      subjects,
      since: null,
      after: null,
      limit: 100,
    });
    return [...new Set(entries.map(({ id }) => id))].reverse();
  };
  const change = async (...documents: readonly object[]): Promise<readonly number[]> => {
    const made: number[] = [];
    for (const document of documents) {
      const { change_id } = await directory.apply(document, { merge: true });
      made.push(change_id ?? assert.fail('nothing was changed'));
    }
    return made;
  };

  const renamed: [what: string, rename: object, later: object, old: string, given: string][] = [
    [
      'a user',
      { users: [{ id: 11, username: 'alicia' }] },
      { users: [{ username: 'alicia', state: 'blocked' }] },
      'users:alice',
      'users:alicia',
    ],
    [
      'a group',
      { groups: [{ id: 20, path: 'acme-2' }] },
      { groups: [{ path: 'acme-2', archived: true }] },
      'groups:acme',
      'groups:acme-2',
    ],
    [
      'a project',
      { projects: [{ id: 100, path: 'acme/web' }] },
      { projects: [{ path: 'acme/web', visibility: 'public' }] },
      'projects:acme/api',
      'projects:acme/web',
    ],
    [
      'a project of a group',
      { groups: [{ id: 20, path: 'acme-2' }] },
      { projects: [{ path: 'acme-2/api', visibility: 'public' }] },
      'projects:acme/api',
      'projects:acme-2/api',
    ],
  ];
  for (const [what, rename, later, old, given] of renamed) {
    it(`of ${what} that was renamed is found by the old name and by the new one`, async () => {
      const { change_id: added } = await directory.apply(BASE);
      const [renaming, changing] = await change(rename, later);
      const expected = what === 'a project of a group' ? [added, changing] : [added, renaming, changing];
      assert.deepEqual(await ids(given), expected);
      assert.deepEqual(await ids(old), expected);
    });
  }

  it('follows a name that another user has now, and finds the changes of both by it', async () => {
    const { change_id: added } = await directory.apply(BASE);
    const [renaming, adding, blocking] = await change(
      { users: [{ id: 11, username: 'alicia' }] },
      { users: [{ id: 13, username: 'alice' }] },
      { users: [{ id: 13, username: 'alice', state: 'blocked' }] },
    );
    assert.deepEqual(await ids('users:alicia'), [added, renaming]);
    assert.deepEqual(await ids('users:alice'), [added, renaming, adding, blocking]);
  });

  it('tells two users apart who got each other’s names in one document', async () => {
    await directory.apply(BASE);
    const [swap, blocking] = await change(
      {
        users: [
          { id: 11, username: 'bob' },
          { id: 12, username: 'alice' },
        ],
      },
      { users: [{ id: 12, username: 'alice', state: 'blocked' }] },
    );
    assert.deepEqual((await ids('users:alice')).slice(-2), [swap, blocking]);
  });

  it('finds a membership by the name that the member has now', async () => {
    await directory.apply(BASE);
    const [membership, renaming] = await change(
      { groups: [{ path: 'acme', members: [{ user: 'bob', role: 'guest' }] }] },
      { users: [{ id: 12, username: 'robert' }] },
    );
    assert.deepEqual((await ids('users:robert')).slice(-2), [membership, renaming]);
    assert.deepEqual(await ids('users:robert', 'groups:acme'), [membership]);
  });

  it('finds what was removed by each of its names, and follows an undo', async () => {
    const { change_id: added } = await directory.apply(BASE);
    const [renaming] = await change({ users: [{ id: 12, username: 'robert' }] });
    const { change_id: removing } = await directory.apply({ users: [BASE.users[0]] }, { prune: true });
    assert.deepEqual(await ids('users:robert'), [added, renaming, removing]);
    assert.deepEqual(await ids('users:bob'), [added, renaming, removing]);
    const author = { at: new Date('2026-11-25T12:00:00Z'), who: 'another test' };
    const { change_id: undo } = await undoChange(directory.database, removing ?? 0, author, {
      dryRun: false,
    });
    assert.deepEqual(await ids('users:bob'), [added, renaming, removing, undo]);
  });

  it('forgets former names with the change that took them away', async () => {
    await directory.apply(BASE);
    await change({ users: [{ id: 11, username: 'alicia' }] });
    assert.deepEqual(await directory.query('SELECT section, name FROM former_names'), [
      { section: 'users', name: 'alice' },
    ]);
    await forgetHistory(directory.database, new Date('2027-01-01T00:00:00Z'));
    assert.deepEqual(await directory.query('SELECT section, name FROM former_names'), []);
  });
});
