import assert from 'node:assert/strict';
import { undoChange } from '../../../src/directory/history/undo.ts';
import { mintToken } from '../../../src/directory/tokens/mint.ts';
import type { TokenOrder } from '../../../src/directory/tokens/order.ts';
import { revokeAndRecord } from '../../../src/directory/tokens/revoke.ts';
import { type HistoryEntry, listHistory } from '../../../src/store/history/history.ts';
import { describeOnBoth } from '../../support/directory/document.ts';

const NOW = new Date('2026-11-24T12:00:00Z');
const AUTHOR = { at: NOW, who: 'admin token ci (3)' };
const BASE = {
  users: [{ username: 'alice' }],
  groups: [{ path: 'acme' }],
  projects: [{ path: 'acme/api' }],
};

const END = { deploy: '2027-11-24T00:00:00.000Z', access: '2027-11-24' };
const ORDERS: [order: TokenOrder, section: string, about: string, after: object][] = [
  [
    { kind: 'personal', user: 'alice', name: 'laptop', scopes: ['api'] },
    'access_tokens',
    'users:alice',
    { name: 'laptop', kind: 'personal', user: 'alice', scopes: ['api'], expires_at: END.access },
  ],
  [
    { kind: 'project', project: 'acme/api', role: 'developer', name: 'ci', scopes: ['api'] },
    'access_tokens',
    'projects:acme/api',
    {
      name: 'ci',
      kind: 'project',
      project: 'acme/api',
      role: 'developer',
      scopes: ['api'],
      expires_at: END.access,
    },
  ],
  [
    { kind: 'group', group: 'acme', role: 'reporter', name: 'sync', scopes: ['api'] },
    'access_tokens',
    'groups:acme',
    { name: 'sync', kind: 'group', group: 'acme', role: 'reporter', scopes: ['api'], expires_at: END.access },
  ],
  [
    { kind: 'deploy', group: 'acme', username: 'puller', scopes: ['read_registry'] },
    'deploy_tokens',
    'groups:acme',
    { username: 'puller', group: 'acme', scopes: ['read_registry'], expires_at: END.deploy },
  ],
  [
    { kind: 'deploy', projects: ['acme/api'], username: 'puller', scopes: ['read_registry'] },
    'deploy_tokens',
    'projects:acme/api',
    { username: 'puller', projects: ['acme/api'], scopes: ['read_registry'], expires_at: END.deploy },
  ],
];

describeOnBoth('a token in the history', (directory) => {
  const mint = (order: TokenOrder) =>
    mintToken({ database: directory.database, now: () => NOW, cell: 1, tokenDays: 365 }, order, AUTHOR.who);
  const undo = (id: number, dryRun = false) => undoChange(directory.database, id, AUTHOR, { dryRun });
  /** The latest change about the subject. */
  const latest = async (subject: string): Promise<HistoryEntry> => {
    const question = { subjects: [subject], since: null, after: null, limit: 1 };
    const { entries } = await listHistory(directory.database, question);
    return entries[0] ?? assert.fail(`nothing about ${subject}`);
  };
  const tokens = () => directory.query('SELECT id FROM access_tokens UNION ALL SELECT id FROM deploy_tokens');

  for (const [order, section, about, fields] of ORDERS) {
    const what = `a ${order.kind} token of ${about}`;
    it(`${what} is one change with its admin when it is created, and undo takes it back`, async () => {
      await directory.apply(BASE);
      const users = await directory.query('SELECT username FROM users ORDER BY id');
      const { listed, secret } = await mint(order);
      const { id, who, ...entry } = await latest(about);
      assert.deepEqual([who, entry.section, entry.before], [AUTHOR.who, section, null]);
      assert.deepEqual(entry.after, { ...fields, token: '(hidden)' });
      assert.equal(entry.name, section === 'deploy_tokens' ? listed.username : listed.name);
      assert.ok(!JSON.stringify(entry).includes(secret));
      const { changes } = await undo(id);
      assert.deepEqual(
        changes.map(({ op, section: from, name }) => [op, from, name]),
        [['-', section, entry.name]],
      );
      assert.deepEqual(await tokens(), []);
      assert.deepEqual(await directory.query('SELECT username FROM users ORDER BY id'), users);
    });

    it(`${what} is one change when it is revoked, which no undo takes back`, async () => {
      await directory.apply(BASE);
      const { listed } = await mint(order);
      const { id: created } = await latest(about);
      for (let times = 0; times < 2; times += 1)
        assert.equal((await revokeAndRecord(directory.database, listed.key, AUTHOR))?.revoked, true);
      const { id, who, before, after } = await latest(about);
      assert.deepEqual(
        [id, who, before, after],
        [created + 1, AUTHOR.who, { revoked: false }, { revoked: true }],
      );
      const says = `change ${id} revoked a token, and no undo makes it valid again: create another token`;
      assert.equal((await undo(id, true)).refused, says);
      await assert.rejects(undo(id), { code: 'conflict', message: says });
      const [row] = await directory.query(
        'SELECT revoked FROM access_tokens UNION ALL SELECT revoked FROM deploy_tokens',
      );
      assert.deepEqual(row, { revoked: true });
      await assert.rejects(undo(created), { code: 'conflict' });
    });
  }

  it('that does not exist is not revoked', async () => {
    assert.equal(
      await revokeAndRecord(directory.database, { table: 'access', number: 99 }, AUTHOR),
      undefined,
    );
  });
});
