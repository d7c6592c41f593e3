import assert from 'node:assert/strict';
import { applyDirectory } from '../../../src/directory/apply.ts';
import { undoChange } from '../../../src/directory/history/undo.ts';
import type { SingleChange } from '../../../src/directory/single/single-change.ts';
import { CellpassError } from '../../../src/errors.ts';
import { describeOnBoth } from '../../support/directory/document.ts';

const NOW = new Date('2026-11-24T12:00:00Z');
const BASE = {
  users: [
    { username: 'alice', email: 'alice@example.com', password: 'a good password' },
    { username: 'bob' },
    { username: 'gone', state: 'deactivated' },
    { username: 'held', state: 'blocked' },
  ],
  groups: [
    { path: 'acme', members: [{ user: 'alice', role: 'owner', expires_at: '2027-01-31' }] },
    { path: 'acme/sub' },
  ],
  projects: [
    {
      path: 'acme/api',
      members: [{ user: 'bob', role: 'developer' }],
      protected_repositories: [{ pattern: 'acme/api/prod*', minimum_role_for_push: 'owner' }],
    },
  ],
};

describeOnBoth('one change', (directory) => {
  const make = (change: SingleChange, dryRun = false) =>
    applyDirectory(
      {
        database: directory.database,
        passwords: { hash: async (text) => `hash of ${text}`, verify: async () => false },
        now: () => NOW,
      },
      change,
      { prune: false, who: 'a test', dryRun },
    );
  beforeEach(() => directory.apply(BASE));

  const rows: [change: SingleChange, lines: string[]][] = [
    [{ action: 'user_block', user: 'Alice' }, ['~ users alice: state active blocked']],
    [{ action: 'user_block', user: 'held' }, []],
    [{ action: 'user_unblock', user: 'held' }, ['~ users held: state blocked active']],
    [
      { action: 'user_set_password', user: 'bob', password: 'a good password' },
      ['~ users bob: password null (hidden)'],
    ],
    [
      { action: 'user_add', user: 'carol', email: 'c@example.com', password: 'a good password' },
      ['+ users carol'],
    ],
    [
      { action: 'member_add', user: 'bob', group: 'acme', role: 'developer' },
      ['~ groups acme: members [] [{"user":"bob","role":"developer"}]'],
    ],
    [
      { action: 'member_add', user: 'alice', project: 'acme/api', role: 'guest', expires_at: '2027-01-31' },
      ['~ projects acme/api: members [] [{"user":"alice","role":"guest","expires_at":"2027-01-31"}]'],
    ],
    [
      { action: 'member_role', user: 'ALICE', group: 'acme', role: 'maintainer' },
      [
        '~ groups acme: members [{"user":"alice","role":"owner","expires_at":"2027-01-31"}] [{"user":"alice","role":"maintainer","expires_at":"2027-01-31"}]',
      ],
    ],
    [
      { action: 'member_remove', user: 'bob', project: 'acme/api' },
      ['~ projects acme/api: members [{"user":"bob","role":"developer"}] []'],
    ],
    [{ action: 'group_rename', group: 'acme', path: 'zoo' }, ['~ groups acme: path acme zoo']],
    [
      { action: 'project_move', project: 'acme/api', path: 'acme/sub/web' },
      ['~ projects acme/api: path acme/api acme/sub/web'],
    ],
    [
      { action: 'project_visibility', project: 'acme/api', visibility: 'public' },
      ['~ projects acme/api: visibility private public'],
    ],
  ];
  for (const [change, lines] of rows) {
    it(`${JSON.stringify(change)}: ${lines.length === 0 ? 'nothing' : lines.join('; ')}`, async () => {
      const shown = await make(change, true);
      const before = await directory.export();
      const { changes, change_id } = await make(change);
      assert.deepEqual(changes, shown.changes);
      const printed = changes.map(({ op, section, name, fields }) => {
        const text = fields
          .filter(({ field }) => field !== 'protected_repositories')
          .map((one) => `${one.field} ${print(one.old)} ${print(one.new)}`);
        return op === '~' ? `${op} ${section} ${name}: ${text.join(', ')}` : `${op} ${section} ${name}`;
      });
      assert.deepEqual(printed, lines);
      if (change_id === null) return;
      assert.equal(changes.length, 1);
      await undoChange(directory.database, change_id, { at: NOW, who: 'a test' }, { dryRun: false });
      assert.equal(await directory.export(), before);
    });
  }

  it('of a path rewrites the patterns of protected repositories', async () => {
    const patterns = () => directory.query('SELECT pattern FROM protected_repositories');
    await make({ action: 'group_rename', group: 'acme', path: 'zoo' });
    assert.deepEqual(await patterns(), [{ pattern: 'zoo/api/prod*' }]);
    await make({ action: 'project_move', project: 'zoo/api', path: 'zoo/web' });
    assert.deepEqual(await patterns(), [{ pattern: 'zoo/web/prod*' }]);
  });

  const refused: [change: SingleChange, code: string][] = [
    [{ action: 'user_block', user: 'nobody' }, 'not_found'],
    [{ action: 'user_unblock', user: 'gone' }, 'conflict'],
    [{ action: 'user_add', user: 'ALICE' }, 'conflict'],
    [{ action: 'user_add', user: 'not a name' }, 'invalid'],
    [{ action: 'user_add', user: 'carol', email: 'alice@example.com' }, 'invalid'],
    [{ action: 'user_set_password', user: 'nobody', password: 'a good password' }, 'not_found'],
    [{ action: 'member_add', user: 'alice', group: 'acme', role: 'guest' }, 'conflict'],
    [{ action: 'member_add', user: 'nobody', group: 'acme', role: 'guest' }, 'invalid'],
    [{ action: 'member_add', user: 'bob', group: 'acme', role: 'king' }, 'invalid'],
    [{ action: 'member_add', user: 'bob', group: 'nowhere', role: 'guest' }, 'not_found'],
    [{ action: 'member_add', user: 'bob', role: 'guest' }, 'invalid'],
    [{ action: 'member_add', user: 'bob', group: 'acme', project: 'acme/api', role: 'guest' }, 'invalid'],
    [{ action: 'member_role', user: 'bob', group: 'acme', role: 'guest' }, 'not_found'],
    [{ action: 'member_remove', user: 'alice', project: 'acme/api' }, 'not_found'],
    [{ action: 'group_rename', group: 'acme', path: 'acme/sub/acme' }, 'invalid'],
    [{ action: 'project_move', project: 'acme/api', path: 'nowhere/api' }, 'invalid'],
    [{ action: 'project_visibility', project: 'acme/none', visibility: 'public' }, 'not_found'],
  ];
  const taken: [change: SingleChange, message: string][] = [
    [
      { action: 'group_rename', group: 'acme/sub', path: 'acme/API' },
      'there is a project "acme/api" already: give another path',
    ],
    [
      { action: 'project_move', project: 'acme/api', path: 'acme/sub' },
      'there is a group "acme/sub" already: give another path',
    ],
    [{ action: 'group_rename', group: 'nowhere', path: 'acme' }, 'there is no group "nowhere"'],
  ];
  for (const [change, message] of taken) {
    it(`${JSON.stringify(change)} is refused: ${message}`, async () => {
      await assert.rejects(make(change), { message });
    });
  }

  it('gives a group its own path in other letters', async () => {
    const { changes } = await make({ action: 'group_rename', group: 'acme', path: 'Acme' });
    assert.equal(changes[0]?.name, 'acme');
  });

  for (const [change, code] of refused) {
    it(`${JSON.stringify(change)} is refused: ${code}`, async () => {
      const before = await directory.export();
      const error = await make(change).catch((reason: unknown) => reason);
      assert.ok(error instanceof CellpassError, String(error));
      assert.equal(error.code, code, error.message);
      assert.equal(await directory.export(), before);
    });
  }
});

function print(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
