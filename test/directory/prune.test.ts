import assert from 'node:assert/strict';
import { describeOnBoth, messages, type TestDirectory } from '../support/directory/document.ts';

const ALICE_TOKEN = 'glpat-example-alice-laptop-0001';
const BOT_TOKEN = 'glpat-example-acme-sync-0001';
const DEPLOY_TOKEN = 'gldt-example-acme-puller-0001';
const JOB_TOKEN = 'glcbt-example-api-job-0001';

const FULL = {
  organizations: [{ path: 'default' }, { path: 'labs' }],
  users: [{ username: 'alice' }, { username: 'bob' }],
  groups: [{ path: 'acme' }, { path: 'acme/platform' }, { path: 'friends' }],
  projects: [{ path: 'acme/platform/api' }, { path: 'acme/web' }, { path: 'alice/dotfiles' }],
  access_tokens: [
    { name: 'laptop', kind: 'personal', user: 'alice', scopes: ['api'], token: ALICE_TOKEN },
    { name: 'sync', kind: 'group', group: 'acme', role: 'owner', scopes: ['api'], token: BOT_TOKEN },
  ],
  deploy_tokens: [{ username: 'puller', group: 'acme', scopes: ['read_registry'], token: DEPLOY_TOKEN }],
  job_tokens: [{ project: 'acme/web', user: 'alice', token: JOB_TOKEN }],
};

/** What is there, by section. */
async function names(directory: TestDirectory): Promise<Record<string, string>> {
  const [row] = await directory.query(`SELECT
    (SELECT string_agg(path, ' ' ORDER BY path) FROM organizations) AS organizations,
    (SELECT string_agg(username, ' ' ORDER BY username) FROM users WHERE kind = 'human') AS users,
    (SELECT count(*) FROM users WHERE kind <> 'human') AS bots,
    (SELECT string_agg(path, ' ' ORDER BY path) FROM namespaces WHERE type = 'User') AS personal,
    (SELECT string_agg(path, ' ' ORDER BY path) FROM namespaces WHERE type = 'Group') AS groups,
    (SELECT string_agg(path, ' ' ORDER BY path) FROM projects) AS projects,
    (SELECT string_agg(name, ' ' ORDER BY name) FROM access_tokens) AS access_tokens,
    (SELECT string_agg(username, ' ' ORDER BY username) FROM deploy_tokens) AS deploy_tokens,
    (SELECT count(*) FROM job_tokens) AS job_tokens`);
  return Object.fromEntries(Object.entries(row ?? {}).map(([key, value]) => [key, String(value ?? '')]));
}

const ALL = {
  organizations: 'default labs',
  users: 'alice bob',
  bots: '1',
  personal: 'alice bob',
  groups: 'acme acme/platform friends',
  projects: 'acme/platform/api acme/web alice/dotfiles',
  access_tokens: 'laptop sync',
  deploy_tokens: 'puller',
  job_tokens: '1',
};

describeOnBoth('pruning', (directory) => {
  beforeEach(async () => {
    await directory.apply(FULL);
  });

  const rows: [removes: string, document: object, left: Partial<typeof ALL>][] = [
    ['nothing of sections that are left out', {}, {}],
    ['nothing that is named', FULL, {}],
    [
      'an organization that holds nothing',
      { organizations: [{ path: 'default' }] },
      { organizations: 'default' },
    ],
    [
      'a user, with all that is theirs',
      { users: [{ username: 'alice' }] },
      { users: 'alice', personal: 'alice' },
    ],
    [
      'a user with their projects and tokens',
      { users: [{ username: 'bob' }], projects: FULL.projects.slice(0, 2) },
      {
        users: 'bob',
        personal: 'bob',
        projects: 'acme/platform/api acme/web',
        access_tokens: 'sync',
        job_tokens: '0',
      },
    ],
    ['a group', { groups: FULL.groups.slice(0, 2) }, { groups: 'acme acme/platform' }],
    [
      'a group with its projects',
      { groups: [{ path: 'acme' }], projects: [{ path: 'acme/web' }, { path: 'alice/dotfiles' }] },
      { groups: 'acme', projects: 'acme/web alice/dotfiles' },
    ],
    [
      'a group with its tokens and their bots',
      { groups: [{ path: 'friends' }], projects: [{ path: 'alice/dotfiles' }] },
      {
        groups: 'friends',
        projects: 'alice/dotfiles',
        bots: '0',
        access_tokens: 'laptop',
        deploy_tokens: '',
        job_tokens: '0',
      },
    ],
    ['projects', { projects: [] }, { projects: '', job_tokens: '0' }],
    ['access tokens with their bots', { access_tokens: [] }, { access_tokens: '', bots: '0' }],
    ['deploy tokens', { deploy_tokens: [] }, { deploy_tokens: '' }],
    ['job tokens', { job_tokens: [] }, { job_tokens: '0' }],
  ];
  for (const [removes, document, left] of rows) {
    it(`removes ${removes}`, async () => {
      await directory.apply(document, { prune: true });
      assert.deepEqual(await names(directory), { ...ALL, ...left });
    });
    it(`does not remove ${removes} unless asked`, async () => {
      await directory.apply(document);
      assert.deepEqual(await names(directory), ALL);
    });
  }

  it('says how many entries it removed', async () => {
    const { sections } = await directory.apply(
      { groups: [{ path: 'friends' }], projects: [] },
      { prune: true },
    );
    assert.deepEqual([sections['groups']?.removed, sections['projects']?.removed], [2, 3]);
  });

  it('never removes a token that the command line minted', async () => {
    await directory.query("UPDATE access_tokens SET minted = true WHERE name = 'sync'");
    await directory.query('UPDATE deploy_tokens SET minted = true');
    await directory.apply({ access_tokens: [], deploy_tokens: [], users: FULL.users }, { prune: true });
    assert.deepEqual(await names(directory), { ...ALL, access_tokens: 'sync' });
  });

  const refused: [what: string, document: object, problems: Record<string, string>][] = [
    [
      'a parent that will be gone',
      { groups: [{ path: 'acme/platform' }, { path: 'friends' }], projects: [] },
      { 'groups[0].path': 'there is no parent group "acme"' },
    ],
    [
      'a member who will be gone',
      {
        users: [{ username: 'alice' }],
        groups: [{ path: 'acme', members: [{ user: 'bob', role: 'guest' }] }, { path: 'acme/platform' }],
      },
      { 'groups[0].members[0].user': 'there is no user "bob"' },
    ],
    [
      'an owner of a project that will be gone',
      { users: [{ username: 'bob' }], projects: [{ path: 'alice/dotfiles' }] },
      { 'projects[0].path': 'there is no group or user "alice"' },
    ],
    [
      'a group that holds projects, of which the document says nothing',
      { groups: [{ path: 'acme' }] },
      {
        groups: `"acme/platform" can't be pruned, because it holds the project acme/platform/api and the document has no section projects: add the section`,
      },
    ],
    [
      'a user who holds projects, of which the document says nothing',
      { users: [{ username: 'bob' }] },
      {
        users: `"alice" can't be pruned, because it holds the project alice/dotfiles and the document has no section projects: add the section`,
      },
    ],
    [
      'an organization that still holds something',
      { organizations: [{ path: 'labs' }] },
      { organizations: `"default" can't be pruned, because it has users or groups: move them first` },
    ],
  ];
  for (const [what, document, problems] of refused) {
    it(`refuses ${what}`, async () => {
      assert.deepEqual(messages(await directory.refusal(document, { prune: true })), problems);
    });
  }

  it('makes room for what takes the place of something that goes', async () => {
    const document = { users: [...FULL.users, { username: 'friends' }], groups: FULL.groups.slice(0, 2) };
    await directory.apply(document, { prune: true });
    assert.equal((await names(directory))['personal'], 'alice bob friends');
  });

  it('lets a secret pass to another entry when the old one goes', async () => {
    const [laptop, sync] = FULL.access_tokens;
    await directory.apply({ access_tokens: [{ ...laptop, name: 'renamed' }, sync] }, { prune: true });
    assert.equal((await names(directory))['access_tokens'], 'renamed sync');
  });
});
