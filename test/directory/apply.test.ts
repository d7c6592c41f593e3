import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Counts } from '../../src/directory/plan/counts.ts';
import { describeOnBoth, messages } from '../support/directory/document.ts';

const ALICE_TOKEN = 'glpat-example-alice-laptop-0001';
const OTHER_TOKEN = 'glpat-example-alice-other-0001';
const laptop = { name: 'laptop', kind: 'personal', user: 'alice', scopes: ['api'], token: ALICE_TOKEN };
const users = [{ username: 'alice' }, { username: 'bob' }];

/** `+added ~changed =unchanged -removed` */
function tally(sections: Readonly<Record<string, Counts>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(sections).map(([section, { added, changed, unchanged, removed }]) => [
      section,
      `+${added} ~${changed} =${unchanged} -${removed}`,
    ]),
  );
}

describeOnBoth('applying a directory document', (directory) => {
  const tree = {
    users,
    groups: [{ path: 'acme', members: [{ user: 'alice', role: 'owner' }] }, { path: 'acme/platform' }],
    projects: [
      { path: 'acme/platform/api', members: [{ user: 'bob', role: 'developer' }] },
      { path: 'alice/x' },
    ],
  };

  it('says what it did, and does it once', async () => {
    const text = readFileSync('examples/acme.yaml', 'utf8');
    const first = await directory.apply(text);
    assert.deepEqual([first.changed, first.sections['projects']?.added], [true, 13]);
    const hashed = directory.hashed();
    const again = await directory.apply(text, { prune: true });
    assert.equal(again.changed, false);
    assert.deepEqual(tally(again.sections), {
      settings: '+0 ~0 =1 -0',
      organizations: '+0 ~0 =2 -0',
      users: '+0 ~0 =10 -0',
      groups: '+0 ~0 =8 -0',
      projects: '+0 ~0 =13 -0',
      access_tokens: '+0 ~0 =5 -0',
      deploy_tokens: '+0 ~0 =2 -0',
      job_tokens: '+0 ~0 =2 -0',
    });
    assert.equal(directory.hashed(), hashed);
  });

  it('counts an entry as changed by what hangs on it', async () => {
    await directory.apply(tree);
    const rows: [change: object, counts: Record<string, string>][] = [
      [{ groups: [{ path: 'acme', members: [{ user: 'bob', role: 'owner' }] }] }, { groups: '+0 ~1 =0 -0' }],
      [{ projects: [{ path: 'acme/platform/api' }] }, { projects: '+0 ~1 =0 -0' }],
      [
        { projects: [{ path: 'acme/platform/api', job_token_allowlist: ['acme'] }, { path: 'alice/x' }] },
        { projects: '+0 ~1 =1 -0' },
      ],
      [{ users: [{ username: 'alice', admin: true }, { username: 'carol' }] }, { users: '+1 ~1 =0 -0' }],
      [{ settings: { maintenance_mode: true } }, { settings: '+0 ~1 =0 -0' }],
      [{ settings: {} }, { settings: '+0 ~1 =0 -0' }],
      [{ organizations: [{ path: 'default', owners: ['bob'] }] }, { organizations: '+0 ~1 =0 -0' }],
    ];
    for (const [change, counts] of rows)
      assert.deepEqual(tally((await directory.apply(change)).sections), counts);
  });

  it('changes nothing when something is wrong', async () => {
    await directory.apply(tree);
    const before = await directory.export();
    const problems = await directory.refusal({
      users: [{ username: 'carol' }],
      groups: [{ path: 'nowhere/else' }],
      access_tokens: [{ name: 'new', kind: 'personal', user: 'carol', scopes: ['api'] }],
    });
    assert.deepEqual(messages(problems), {
      'groups[0].path': 'there is no parent group "nowhere"',
      'access_tokens[0]': 'is a new token, so it needs token or token_sha256',
    });
    assert.equal(await directory.export(), before);
  });

  it('changes nothing when the database refuses', async () => {
    await directory.apply(tree);
    const before = await directory.export();
    await directory.query("ALTER TABLE projects ADD CONSTRAINT broken CHECK (path <> 'acme/broken')");
    try {
      await assert.rejects(
        directory.apply({ users: [{ username: 'carol' }], projects: [{ path: 'acme/broken' }] }),
      );
    } finally {
      await directory.query('ALTER TABLE projects DROP CONSTRAINT broken');
    }
    assert.equal(await directory.export(), before);
  });

  it('resolves names to what is stored where the document has no such entry', async () => {
    await directory.apply(tree);
    await directory.apply({
      projects: [{ path: 'ACME/Platform/web', members: [{ user: 'Bob', role: 'guest' }] }],
    });
    const [row] = await directory.query(
      "SELECT p.path, u.username FROM projects p JOIN members m ON m.source_id = p.id AND m.source_type = 'Project' JOIN users u ON u.id = m.user_id WHERE p.path_key = 'acme/platform/web'",
    );
    assert.deepEqual(row, { path: 'acme/platform/web', username: 'bob' });
  });

  it('leaves sections and secrets that the document leaves out as they are', async () => {
    await directory.apply({
      ...tree,
      users: [{ username: 'alice', password: 'correct horse' }, { username: 'bob' }],
      access_tokens: [laptop],
    });
    const secrets = () =>
      directory.query(
        'SELECT u.password_hash, t.token_digest FROM users u JOIN access_tokens t ON t.user_id = u.id',
      );
    const before = await secrets();
    const { token, ...withoutToken } = laptop;
    await directory.apply(
      {
        users: [{ username: 'alice', external: true }, { username: 'bob' }],
        access_tokens: [{ ...withoutToken, scopes: ['read_registry'] }],
      },
      { prune: true },
    );
    assert.deepEqual(await secrets(), before);
    assert.deepEqual(await directory.query('SELECT count(*) AS count FROM projects'), [{ count: 2 }]);
  });

  it('gives fields that an entry leaves out their defaults', async () => {
    await directory.apply({ users: [{ username: 'alice', admin: true, state: 'blocked', email: 'a@b' }] });
    await directory.apply({ users: [{ username: 'alice' }] });
    assert.deepEqual(await directory.query('SELECT admin, state, email, email_key FROM users'), [
      { admin: false, state: 'active', email: null, email_key: null },
    ]);
  });

  it('hashes a password that changes, and takes a hash as it is', async () => {
    await directory.apply({ users: [{ username: 'alice', password: 'correct horse' }] });
    await directory.apply({ users: [{ username: 'alice', password: 'correct horse' }] });
    assert.equal(directory.hashed(), 1);
    const hash = `$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$${'A'.repeat(43)}`;
    const changed = await directory.apply({ users: [{ username: 'alice', password_hash: hash }] });
    assert.deepEqual(tally(changed.sections), { users: '+0 ~1 =0 -0' });
    await directory.apply({ users: [{ username: 'alice', password: 'battery staple' }] });
    assert.deepEqual(await directory.query('SELECT password_hash FROM users'), [
      { password_hash: 'hash 2 of battery staple' },
    ]);
  });

  it('stores a token as its digest', async () => {
    await directory.apply({ users, access_tokens: [laptop] });
    const [row] = await directory.query(
      "SELECT encode(token_digest, 'hex') = encode(sha256('glpat-example-alice-laptop-0001'), 'hex') AS same FROM access_tokens",
    );
    assert.deepEqual(row, { same: true });
    const { token, ...rest } = laptop;
    const [digest] = await directory.query("SELECT encode(token_digest, 'hex') AS hex FROM access_tokens");
    assert.equal(
      (
        await directory.apply({
          access_tokens: [{ ...rest, token_sha256: String(digest?.['hex']).toUpperCase() }],
        })
      ).changed,
      false,
    );
  });

  it('gives dates and times as they were, in any zone', async () => {
    await directory.apply({
      users,
      groups: [{ path: 'acme', members: [{ user: 'bob', role: 'guest', expires_at: '2099-01-31' }] }],
      access_tokens: [{ ...laptop, expires_at: '2099-01-31' }],
      deploy_tokens: [
        {
          username: 'puller',
          group: 'acme',
          scopes: ['read_registry'],
          expires_at: '2099-01-31T01:30:00+02:00',
          token: OTHER_TOKEN,
        },
      ],
    });
    const text = await directory.export();
    assert.equal(text.match(/expires_at: "2099-01-31"$/gm)?.length, 2);
    assert.match(text, /expires_at: "2099-01-30T23:30:00.000Z"$/m);
  });

  it('makes a bot for the token of a project or group, with its role there', async () => {
    const tokens = (role: string) => [
      {
        name: 'ci',
        kind: 'project',
        project: 'acme/platform/api',
        role,
        scopes: ['api'],
        token: ALICE_TOKEN,
      },
      { name: 'sync', kind: 'group', group: 'acme', role, scopes: ['api'], token: OTHER_TOKEN },
    ];
    const bots = () =>
      directory.query(
        "SELECT u.kind, regexp_replace(u.username, '_[0-9]+_bot_[0-9a-f]{32}$', '_N_bot_X') AS username, m.source_type, m.role FROM users u JOIN members m ON m.user_id = u.id JOIN access_tokens t ON t.user_id = u.id ORDER BY u.kind",
      );
    await directory.apply({ ...tree, access_tokens: tokens('developer') });
    assert.deepEqual(await bots(), [
      { kind: 'group_bot', username: 'group_N_bot_X', source_type: 'Namespace', role: 'developer' },
      { kind: 'project_bot', username: 'project_N_bot_X', source_type: 'Project', role: 'developer' },
    ]);
    const changed = await directory.apply({ access_tokens: tokens('owner') });
    assert.deepEqual(tally(changed.sections), { access_tokens: '+0 ~2 =0 -0' });
    // Lists of members don't touch bots.
    assert.equal((await directory.apply(tree, { prune: true })).changed, false);
    assert.deepEqual(
      (await bots()).map(({ role }) => role),
      ['owner', 'owner'],
    );
    await directory.apply({ access_tokens: [] }, { prune: true });
    assert.deepEqual(await directory.query("SELECT username FROM users WHERE kind LIKE '%bot'"), []);
    assert.deepEqual(await directory.query('SELECT DISTINCT role FROM members ORDER BY role'), [
      { role: 'developer' },
      { role: 'owner' },
    ]);
  });

  it('makes the default organization when there is none', async () => {
    const { sections } = await directory.apply({ users: [{ username: 'alice', organization: 'default' }] });
    assert.deepEqual(tally(sections), { organizations: '+1 ~0 =0 -0', users: '+1 ~0 =0 -0' });
    await directory.apply({ organizations: [{ path: 'labs' }] });
    assert.deepEqual(await directory.query('SELECT id, path, position FROM organizations ORDER BY id'), [
      { id: 1, path: 'default', position: 0 },
      { id: 2, path: 'labs', position: 1 },
    ]);
  });

  it('puts users and groups without an organization into the first one', async () => {
    await directory.apply({
      organizations: [{ path: 'b' }, { path: 'a' }],
      users: [{ username: 'alice' }, { username: 'bob', organization: 'A' }],
      groups: [{ path: 'g', organization: 'a' }, { path: 'g/h' }],
    });
    const rows = await directory.query(
      'SELECT n.path, o.path AS organization FROM namespaces n JOIN organizations o ON o.id = n.organization_id ORDER BY n.path',
    );
    assert.deepEqual(
      rows.map(({ path, organization }) => `${path} ${organization}`),
      ['alice b', 'bob a', 'g a', 'g/h a'],
    );
    const problems = await directory.refusal({ groups: [{ path: 'g/h', organization: 'b' }] });
    assert.deepEqual(messages(problems), {
      'groups[0].organization':
        'must be the organization of the top-level group: leave it out, or move the top-level group',
    });
  });

  it('refuses what another entry or the server already has', async () => {
    await directory.apply({
      ...tree,
      users: [
        { username: 'alice', id: 11, email: 'a@b' },
        { username: 'bob', id: 12 },
      ],
      access_tokens: [{ ...laptop, id: 5 }],
    });
    const rows: [document: object, problem: Record<string, string>][] = [
      [
        { users: [{ username: 'carol', email: 'A@B' }] },
        { 'users[0].email': 'is taken by the user with id 11' },
      ],
      [
        { users: [{ username: 'Alice', id: 13 }] },
        { 'users[0].username': 'is taken by the stored entry with id 11: give this id, or another name' },
      ],
      [
        { groups: [{ path: 'Acme', id: 77 }] },
        { 'groups[0].path': 'is taken by the stored entry with id 1: give this id, or another name' },
      ],
      [{ groups: [{ path: 'alice' }] }, { 'groups[0].path': 'is taken by a user' }],
      [{ users: [{ username: 'acme' }] }, { 'users[0].username': 'is taken by the group with id 1' }],
      [{ groups: [{ path: 'acme/platform/api' }] }, { 'groups[0].path': 'is taken by a project' }],
      [
        { users: [{ username: 'carol', id: 11 }, { username: 'alice' }] },
        {
          'users[1].username':
            'is taken by the stored entry with id 11, which another entry renames: give an id here, or apply the rename first',
        },
      ],
      [
        { access_tokens: [{ ...laptop, name: 'second' }] },
        { 'access_tokens[0]': 'has the same secret as the access token with id 5' },
      ],
      [
        { job_tokens: [{ project: 'alice/x', token: ALICE_TOKEN }] },
        { 'job_tokens[0]': 'has the same secret as the access token with id 5' },
      ],
      [
        { access_tokens: [{ ...laptop, id: 5, user: 'bob' }] },
        {
          'access_tokens[0].id':
            "the stored token with this id has another owner, which can't change: leave the id out for a new token",
        },
      ],
      [
        { job_tokens: [{ id: 9, project: 'alice/x' }] },
        { 'job_tokens[0]': 'is a new token, so it needs token or token_sha256' },
      ],
    ];
    for (const [document, problem] of rows)
      assert.deepEqual(messages(await directory.refusal(document)), problem);
  });

  it('gives ids once, keeps them, and never gives them again', async () => {
    const ids = async () =>
      (await directory.query('SELECT id, path FROM projects ORDER BY id')).map(
        ({ id, path }) => `${id} ${path}`,
      );
    await directory.apply({
      groups: [{ path: 'a' }],
      projects: [{ path: 'a/given', id: 101 }, { path: 'a/b' }, { path: 'a/c' }],
    });
    assert.deepEqual(await ids(), ['101 a/given', '102 a/b', '103 a/c']);
    await directory.apply(
      { projects: [{ path: 'a/c' }, { path: 'a/given' }, { path: 'a/low', id: 7 }] },
      { prune: true },
    );
    assert.deepEqual(await ids(), ['7 a/low', '101 a/given', '103 a/c']);
    await directory.apply({ projects: [] }, { prune: true });
    await directory.apply({ projects: [{ path: 'a/b' }] });
    assert.deepEqual(await ids(), ['104 a/b']);
  });

  it('keeps the ids of what no document names out of the way of those that one gives', async () => {
    await directory.apply({
      users,
      groups: [{ path: 'g' }],
      access_tokens: [
        { name: 'sync', kind: 'group', group: 'g', role: 'guest', scopes: ['api'], token: ALICE_TOKEN },
      ],
    });
    const groups = Array.from({ length: 9 }, (_, at) => ({ path: `g${at + 2}`, id: at + 2 }));
    const people = Array.from({ length: 9 }, (_, at) => ({ username: `u${at + 3}`, id: at + 3 }));
    assert.equal((await directory.apply({ groups, users: people })).sections['groups']?.added, 9);
  });

  it('takes one document at a time', async () => {
    const results = await Promise.all([1, 2, 3].map(() => directory.apply({ groups: [{ path: 'a' }] })));
    assert.deepEqual(results.map(({ changed }) => changed).sort(), [false, false, true]);
    assert.deepEqual(await directory.query('SELECT count(*) AS count FROM namespaces'), [{ count: 1 }]);
  });
});
