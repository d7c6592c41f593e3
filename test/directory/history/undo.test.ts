import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { undoChange } from '../../../src/directory/history/undo.ts';
import { CellpassError } from '../../../src/errors.ts';
import { readDirectory } from '../../../src/store/directory/read-rows.ts';
import { TABLE_NAMES } from '../../../src/store/directory/tables.ts';
import { revokeSecrets } from '../../../src/store/directory/tokens.ts';
import { revokeConfiguredIdentity, revokeIdToken } from '../../../src/store/federation/revocations.ts';
import { ARBITRARY_BASE, arbitraryDocument } from '../../support/directory/arbitrary-document.ts';
import { describeOnBoth, type TestDirectory } from '../../support/directory/document.ts';
import { emptyDirectory } from '../../support/directory/empty.ts';

const AUTHOR = { at: new Date('2026-11-25T12:00:00Z'), who: 'another test' };
const TOKEN = { kind: 'personal', user: 'ann', name: 'x', scopes: ['api'], token: 'glpat-example-00000001' };
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

  const contradictions: [what: string, first: object, change: object, later: object, says: RegExp][] = [
    [
      'a group that was renamed and got a project',
      { groups: [{ path: 'a' }], projects: [{ path: 'a/p' }] },
      { groups: [{ path: 'b', id: 1 }] },
      { projects: [{ path: 'b/new' }] },
      /the project b\/new would be below a group or user of another path/,
    ],
    [
      'a group that was renamed and got a group',
      { groups: [{ path: 'a' }] },
      { groups: [{ path: 'b', id: 1 }] },
      { groups: [{ path: 'b/new' }] },
      /the group b\/new would be below a group of another path/,
    ],
    [
      'a user who was renamed and got a project',
      { users: [{ username: 'ann' }] },
      { users: [{ username: 'bob', id: 1 }] },
      { projects: [{ path: 'bob/new' }] },
      /the project bob\/new would be below/,
    ],
    [
      'a removed project whose group was renamed',
      { groups: [{ path: 'a' }], projects: [{ path: 'a/p' }, { path: 'a/q' }] },
      { prune: true, projects: [{ path: 'a/q' }] },
      { groups: [{ path: 'b', id: 1 }] },
      /the project a\/p would be below/,
    ],
    [
      'a removed group whose path a project took',
      { groups: [{ path: 'a' }, { path: 'a/b' }] },
      { prune: true, groups: [{ path: 'a' }] },
      { projects: [{ path: 'a/b' }] },
      /a\/b would be the path of a group and of a project/,
    ],
    [
      'a removed token whose secret another kind of token got',
      { users: [{ username: 'ann' }], groups: [{ path: 'g' }], access_tokens: [TOKEN] },
      { prune: true, access_tokens: [] },
      { deploy_tokens: [{ username: 'x', group: 'g', scopes: ['read_registry'], token: TOKEN.token }] },
      /another token would have one secret/,
    ],
    [
      'a group that was moved to an organization and got a bot',
      { organizations: [{ path: 'o' }, { path: 'q' }], groups: [{ path: 'g' }] },
      { groups: [{ path: 'g', organization: 'q' }] },
      { access_tokens: [{ ...TOKEN, user: undefined, kind: 'group', group: 'g', role: 'developer' }] },
      /the bot group_1_bot_\w+ would be in another organization/,
    ],
    [
      'a removed member of a group that is gone',
      { users: [{ username: 'ann' }], groups: [{ path: 'g', members: [{ user: 'ann', role: 'owner' }] }] },
      { prune: true, users: [] },
      { prune: true, groups: [] },
      /a group or project of which a user would be a member is gone/,
    ],
    [
      'a removed identity whose account became a person',
      {
        users: [{ username: 'ci', kind: 'service_account' }],
        federated_identities: [
          { name: 'one', issuer: 'github', account: 'ci', scopes: ['read_registry'], claims: { sub: 'a' } },
        ],
      },
      { prune: true, federated_identities: [] },
      { users: [{ username: 'ci' }] },
      /the account of the identity one would be a person/,
    ],
  ];
  const applyRow = ({ prune = false, ...document }: { readonly prune?: boolean }) =>
    directory.apply(document, { prune });
  for (const [what, first, change, laterChange, says] of contradictions) {
    it(`is refused for ${what}, and nothing is changed`, async () => {
      await directory.apply(first);
      const { change_id } = await applyRow(change);
      await applyRow(laterChange);
      const rows = await allRows(directory);
      assert.match(await refusalOf(change_id), says);
      assert.deepEqual(await allRows(directory), rows);
    });
  }

  it('brings a token back as revoked whose secret was revoked since', async () => {
    await directory.apply({ users: [{ username: 'ann' }], access_tokens: [TOKEN] });
    const { change_id } = await directory.apply({ users: [] }, { prune: true });
    const digest = createHash('sha256').update(TOKEN.token).digest('hex');
    await revokeSecrets(directory.database, [digest], AUTHOR.at);
    const { changes: preview } = await undo(change_id, true);
    assert.deepEqual(preview.find(({ section }) => section === 'access_tokens')?.fields.at(-1), {
      field: 'revoked',
      old: null,
      new: true,
    });
    const { change_id: undone, changes } = await undo(change_id);
    assert.deepEqual(changes, preview);
    assert.deepEqual(await directory.query('SELECT revoked FROM access_tokens'), [{ revoked: true }]);
    await undo(undone);
    assert.deepEqual(await directory.query('SELECT revoked FROM access_tokens'), []);
  });

  it('takes back a revocation of the change itself', async () => {
    await directory.apply({ users: [{ username: 'ann' }], access_tokens: [TOKEN] });
    const { change_id } = await directory.apply({ access_tokens: [{ ...TOKEN, revoked: true }] });
    await undo(change_id);
    assert.deepEqual(await directory.query('SELECT revoked FROM access_tokens'), [{ revoked: false }]);
    assert.deepEqual(await directory.query('SELECT FROM revoked_secrets'), []);
  });

  it("brings a job's token back as not running whose secret was revoked since", async () => {
    await directory.apply({
      users: [{ username: 'ann' }],
      projects: [{ path: 'ann/app' }],
      job_tokens: [{ id: 7, project: 'ann/app', token: TOKEN.token }],
    });
    const { change_id } = await directory.apply({ job_tokens: [] }, { prune: true });
    const digest = createHash('sha256').update(TOKEN.token).digest('hex');
    await revokeSecrets(directory.database, [digest], AUTHOR.at);
    const { changes } = await undo(change_id);
    const state = changes[0]?.fields.find(({ field }) => field === 'running');
    assert.deepEqual(state, { field: 'running', old: null, new: false });
    assert.deepEqual(await directory.query('SELECT running FROM job_tokens'), [{ running: false }]);
  });

  it('makes no token valid that was revoked once more, after the change that revoked it', async () => {
    await directory.apply({ users: [{ username: 'ann' }], access_tokens: [TOKEN] });
    const { change_id } = await directory.apply({ access_tokens: [{ ...TOKEN, revoked: true }] });
    const digest = createHash('sha256').update(TOKEN.token).digest('hex');
    await revokeSecrets(directory.database, [digest], new Date(Date.now() + 1000));
    assert.match(await refusalOf(change_id), /its revoked secrets were changed later/);
    assert.deepEqual(await directory.query('SELECT revoked FROM access_tokens'), [{ revoked: true }]);
  });

  const revocations: [what: string, revoke: (database: TestDirectory['database']) => Promise<unknown>][] = [
    ['identity', (database) => revokeConfiguredIdentity(database, 'one', AUTHOR.at)],
    [
      'ID token',
      (database) =>
        revokeIdToken(database, { issuer: 'github', jti: '1' }, { now: AUTHOR.at, keptUntil: AUTHOR.at }),
    ],
  ];
  for (const [what, revoke] of revocations) {
    it(`brings an exchanged token back as revoked whose ${what} was revoked since`, async () => {
      await directory.apply({
        users: [{ username: 'ci', kind: 'service_account' }],
        federated_identities: [
          { name: 'one', issuer: 'github', account: 'ci', scopes: ['api'], claims: { sub: 'a' } },
        ],
      });
      await directory.query(
        `INSERT INTO access_tokens (kind, name, user_id, scopes, minted, token_digest, identity_id, identity_name, identity_issuer, identity_jti)
         VALUES ('personal', 'exchanged', 1, '{api}', true, '\\x01', 1, 'one', 'github', '1')`,
      );
      const { change_id } = await directory.apply({ users: [] }, { prune: true });
      await revoke(directory.database);
      await undo(change_id);
      assert.deepEqual(await directory.query('SELECT revoked FROM access_tokens'), [{ revoked: true }]);
      await directory.query('TRUNCATE revoked_identities, revoked_id_tokens, exchanged_id_tokens');
    });
  }

  it('brings back an organization whose place another took, and their export changes nothing', async () => {
    await directory.apply({ organizations: [{ path: 'a' }, { path: 'b' }, { path: 'c' }] });
    const { change_id } = await directory.apply({ organizations: [{ path: 'a' }] }, { prune: true });
    await directory.apply({ organizations: [{ path: 'new' }] });
    await undo(change_id);
    const { changes } = await directory.apply(await directory.export(), { prune: true });
    assert.deepEqual(changes, []);
    await directory.apply({ organizations: [{ path: 'later' }] });
    const rows = await directory.query('SELECT path FROM organizations ORDER BY position, id');
    assert.deepEqual(
      rows.map(({ path }) => path),
      ['a', 'b', 'new', 'c', 'later'],
    );
  });

  it('of a change that does not exist says so', async () => {
    await assert.rejects(undo(4711), { code: 'not_found' });
  });

  it('leads back from every document to what was before, secrets included', async () => {
    let undone = 0;
    await fc.assert(
      fc.asyncProperty(arbitraryDocument, arbitraryDocument, fc.boolean(), async (first, second, prune) => {
        await emptyDirectory(directory.database);
        await directory.apply(ARBITRARY_BASE);
        await directory.apply(first).catch(ignoreInvalid);
        const before = await allRows(directory);
        const applied = await directory.apply(second, { prune }).catch(ignoreInvalid);
        if (applied?.change_id == null) return;
        undone += 1;
        await undo(applied.change_id);
        assert.deepEqual(await allRows(directory), before);
      }),
      { numRuns: 40 },
    );
    // Otherwise the property would only see refusals.
    assert.ok(undone > 0, `only ${undone} changes were undone`);
  });
});

function ignoreInvalid(error: unknown): undefined {
  if (error instanceof CellpassError && error.code === 'invalid') return undefined;
  throw error;
}
