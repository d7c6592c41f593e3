import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parse } from 'yaml';
import type { EntryChange } from '../../../src/directory/preview/entry-changes.ts';
import { mintToken } from '../../../src/directory/tokens/mint.ts';
import { CellpassError } from '../../../src/errors.ts';
import { ARBITRARY_BASE, arbitraryDocument } from '../../support/directory/arbitrary-document.ts';
import { describeOnBoth } from '../../support/directory/document.ts';

const BASE = {
  settings: { maintenance_mode: true, password_authentication: false },
  organizations: [{ path: 'default' }, { path: 'labs', owners: ['alice'] }],
  users: [
    { username: 'alice', email: 'alice@example.com', admin: true, password: 'a good password' },
    { username: 'bob' },
  ],
  groups: [
    {
      path: 'acme',
      id: 11,
      members: [
        { user: 'alice', role: 'owner' },
        { user: 'bob', role: 'guest' },
      ],
      ip_allowlist: ['10.0.0.0/8'],
    },
  ],
  projects: [
    {
      path: 'acme/api',
      id: 101,
      visibility: 'internal',
      ci_enabled: false,
      members: [{ user: 'bob', role: 'developer' }],
      protected_repositories: [{ pattern: 'acme/api/prod*', minimum_role_for_push: 'owner' }],
    },
  ],
  access_tokens: [
    {
      kind: 'personal',
      user: 'alice',
      name: 'ci',
      scopes: ['api'],
      token: 'glpat-example-00000001',
      expires_at: '2027-01-31',
    },
    {
      kind: 'project',
      project: 'acme/api',
      role: 'developer',
      name: 'bot',
      scopes: ['api'],
      token: 'glpat-example-00000002',
    },
  ],
  deploy_tokens: [
    {
      username: 'puller',
      projects: ['acme/api'],
      scopes: ['read_registry'],
      token: 'gldt-example-000000001',
    },
  ],
};
const SECRETS = ['glpat-example-00000001', 'glpat-example-00000002'];
const KEYS: Record<string, string> = {
  groups: 'path',
  projects: 'path',
  organizations: 'path',
  users: 'username',
  access_tokens: 'name',
  deploy_tokens: 'username',
};

describeOnBoth('a merged document', (directory) => {
  const renames: [what: string, document: object, kept: string[]][] = [
    [
      'a member',
      { users: [{ id: 2, username: 'robert' }], groups: [{ id: 1, path: 'a', archived: true }] },
      ['members robert'],
    ],
    [
      'what is invited and allowed',
      { groups: [{ id: 2, path: 'c' }], projects: [{ id: 1, path: 'a/p', visibility: 'public' }] },
      ['invited_groups c', 'job_token_allowlist a/p,c'],
    ],
    [
      'the owner of a token',
      {
        users: [{ id: 2, username: 'robert' }],
        access_tokens: [{ id: 1, kind: 'personal', user: 'robert', name: 'ci', scopes: ['read_api'] }],
      },
      [],
    ],
  ];
  for (const [what, document, kept] of renames) {
    it(`keeps ${what} under a name that the same document gives`, async () => {
      await directory.apply({
        users: [{ id: 2, username: 'bob' }],
        groups: [
          { id: 1, path: 'a', members: [{ user: 'bob', role: 'guest' }] },
          { id: 2, path: 'b' },
        ],
        projects: [
          {
            id: 1,
            path: 'a/p',
            invited_groups: [{ group: 'b', role: 'guest' }],
            job_token_allowlist: ['a/p', 'b'],
          },
        ],
        access_tokens: [
          {
            id: 1,
            kind: 'personal',
            user: 'bob',
            name: 'ci',
            scopes: ['api'],
            token: 'glpat-example-00000009',
          },
        ],
      });
      await directory.apply(document, { merge: true });
      const exported = parse(await directory.export());
      const [group] = exported.groups;
      const [project] = exported.projects;
      const now = [
        `members ${group.members?.[0]?.user}`,
        `invited_groups ${project.invited_groups?.[0]?.group}`,
        `job_token_allowlist ${project.job_token_allowlist}`,
      ];
      for (const line of kept) assert.ok(now.includes(line), `${line} in ${now}`);
    });
  }

  const TOWN = {
    organizations: [
      { id: 1, path: 'default' },
      { id: 2, path: 'labs' },
    ],
    users: [{ id: 2, username: 'bob', organization: 'labs', external: true }],
    groups: [
      { id: 1, path: 'acme' },
      { id: 2, path: 'acme/sub', over_storage_limit: true },
      { id: 3, path: 'zoo' },
    ],
    projects: [
      {
        id: 1,
        path: 'acme/API',
        visibility: 'public',
        protected_repositories: [{ pattern: 'acme/api/prod*', minimum_role_for_push: 'owner' }],
      },
      { id: 2, path: 'bob/home', visibility: 'internal' },
    ],
    access_tokens: [
      {
        kind: 'personal',
        user: 'bob',
        name: 'ci',
        scopes: ['api'],
        expires_at: '2027-01-31',
        token: SECRETS[0],
      },
    ],
    job_tokens: [{ project: 'bob/home', user: 'bob', running: false, token: SECRETS[1] }],
  };
  const moved: [what: string, document: object, lines: string[]][] = [
    [
      'a project by the path that it gets with its group',
      { groups: [{ id: 1, path: 'new' }], projects: [{ path: 'new/api', archived: true }] },
      ['groups acme: path', 'projects acme/API: archived path protected_repositories'],
    ],
    [
      'a project by its id alone',
      { groups: [{ id: 1, path: 'new' }], projects: [{ id: 1, archived: true }] },
      ['groups acme: path', 'projects acme/API: archived path protected_repositories'],
    ],
    [
      'a project whose group changes places with another',
      {
        groups: [
          { id: 1, path: 'zoo' },
          { id: 3, path: 'acme' },
        ],
        projects: [{ path: 'zoo/api', archived: true }],
      },
      ['groups acme: path', 'groups zoo: path', 'projects acme/API: archived path protected_repositories'],
    ],
    [
      'a group by the path that it gets with its parent',
      {
        groups: [
          { id: 1, path: 'new' },
          { path: 'NEW/sub', archived: true },
        ],
      },
      ['groups acme: path', 'groups acme/sub: archived path'],
    ],
    [
      'a project of a user who gets another name',
      { users: [{ id: 2, username: 'robert' }], projects: [{ path: 'robert/home', archived: true }] },
      ['users bob: username', 'projects bob/home: archived path'],
    ],
    [
      'a token of a user who gets another name',
      {
        users: [{ id: 2, username: 'robert' }],
        access_tokens: [{ kind: 'personal', user: 'robert', name: 'ci', scopes: ['read_api'] }],
      },
      ['users bob: username', 'access_tokens ci: scopes user'],
    ],
    [
      'a user whose organization gets another path',
      { organizations: [{ id: 2, path: 'lab' }], users: [{ username: 'bob', auditor: true }] },
      ['organizations labs: path', 'users bob: auditor organization'],
    ],
    [
      'a user whose organization changes places with another',
      {
        organizations: [
          { id: 1, path: 'labs' },
          { id: 2, path: 'default' },
        ],
        users: [{ username: 'bob', auditor: true }],
      },
      ['organizations default: path', 'organizations labs: path', 'users bob: auditor organization'],
    ],
    [
      'a job token by its secret',
      { job_tokens: [{ project: 'bob/home', token: SECRETS[1], expires_at: '2027-01-31T00:00:00Z' }] },
      ['job_tokens 1: expires_at'],
    ],
    [
      'a job token by its id',
      { job_tokens: [{ id: 1, project: 'bob/home', running: true }] },
      ['job_tokens 1: running'],
    ],
  ];
  for (const [what, document, lines] of moved) {
    it(`finds ${what}, and keeps what it does not name`, async () => {
      await directory.apply(TOWN);
      const { changes } = await directory.apply(document, { merge: true });
      assert.deepEqual(changes.map(toLine), lines);
    });
  }

  it('finds the token of a document where "token create" made one of the same name', async () => {
    await directory.apply(TOWN);
    await mintToken(
      { database: directory.database, now: () => new Date('2026-11-24T12:00:00Z'), cell: 1, tokenDays: 0 },
      { kind: 'personal', user: 'bob', name: 'ci', scopes: ['api'], expires_at: null },
      'a test',
    );
    const token = { kind: 'personal', user: 'bob', name: 'ci', scopes: ['read_api'] };
    const { changes } = await directory.apply({ access_tokens: [token] }, { merge: true });
    assert.deepEqual(changes.map(toLine), ['access_tokens ci: scopes']);
  });

  const merge = (document: object) => directory.apply(document, { merge: true });

  const rows: [what: string, document: object, lines: string[]][] = [
    [
      'the state of a user',
      { users: [{ username: 'ALICE', state: 'blocked' }] },
      ['users alice: state username'],
    ],
    ['an e-mail address', { users: [{ username: 'bob', email: 'bob@example.com' }] }, ['users bob: email']],
    ['the path of a group', { groups: [{ id: 11, path: 'zoo' }] }, ['groups acme: path']],
    ['the members of a group', { groups: [{ path: 'acme', members: [] }] }, ['groups acme: members']],
    [
      'the path of a project, and its patterns',
      { projects: [{ id: 101, path: 'acme/web' }] },
      ['projects acme/api: path protected_repositories'],
    ],
    [
      'a flag that is true by default',
      { projects: [{ path: 'acme/api', ci_enabled: true }] },
      ['projects acme/api: ci_enabled'],
    ],
    ['one setting', { settings: { maintenance_mode: false } }, ['settings settings: maintenance_mode']],
    [
      'the end of a token, by its owner and name',
      { access_tokens: [{ user: 'alice', name: 'ci', expires_at: '2027-03-01' }] },
      ['access_tokens ci: expires_at'],
    ],
    [
      'the role of a bot',
      { access_tokens: [{ project: 'acme/api', name: 'bot', role: 'reporter' }] },
      ['access_tokens bot: role'],
    ],
    [
      'the owner of a deploy token',
      { deploy_tokens: [{ username: 'puller', group: 'acme' }] },
      ['deploy_tokens puller: group projects'],
    ],
    [
      'an organization, and not their order',
      { organizations: [{ path: 'labs', maintenance: true }, { path: 'default' }] },
      ['organizations labs: maintenance'],
    ],
    [
      'nothing',
      { users: [{ username: 'alice' }], groups: [{ path: 'acme' }], projects: [{ path: 'acme/api' }] },
      [],
    ],
  ];
  for (const [what, document, lines] of rows) {
    it(`changes ${what}`, async () => {
      await directory.apply(BASE);
      const { changes } = await merge(document);
      assert.deepEqual(changes.map(toLine), lines);
    });
  }

  it('adds an entry that is not stored, with the defaults of the others', async () => {
    await directory.apply(BASE);
    const { changes } = await merge({ users: [{ username: 'carol' }] });
    assert.deepEqual(
      changes.map(({ op, name }) => [op, name]),
      [['+', 'carol']],
    );
  });

  it('reports the problems of what it names, with their lines', async () => {
    await directory.apply(BASE);
    const text = 'version: 1\nusers:\n  - username: alice\n    state: asleep\n';
    const problems = await directory.refusal(text, { merge: true });
    assert.deepEqual(
      problems.map(({ line, path }) => [line, path]),
      [[4, 'users[0].state']],
    );
    const ofSection = await directory.refusal({ users: 'x' }, { merge: true });
    assert.deepEqual(
      ofSection.map(({ path }) => path),
      ['users'],
    );
  });

  it('keeps secrets, and takes new ones', async () => {
    await directory.apply(BASE);
    const digests = () => directory.query('SELECT password_hash FROM users ORDER BY username');
    const before = await digests();
    await merge({ users: [{ username: 'alice', external: true }] });
    assert.deepEqual(await digests(), before);
    await merge({ users: [{ username: 'alice', password: 'another password' }] });
    assert.notDeepEqual(await digests(), before);
  });

  it('never changes a field that it does not name, whatever the document', async () => {
    await directory.apply(ARBITRARY_BASE);
    await fc.assert(
      fc.asyncProperty(arbitraryDocument, arbitraryDocument, async (first, second) => {
        await directory.apply(first).catch(ignoreInvalid);
        const applied = await merge(second).catch(ignoreInvalid);
        for (const { op, section, name, fields } of applied?.changes ?? []) {
          if (op !== '~' || KEYS[section] === undefined) continue;
          const named = namedFields(second, section, name, fields);
          // Where an entry moves, its patterns follow, and an owner takes the place of another.
          const allowed = new Set([
            ...named,
            'protected_repositories',
            'project',
            'projects',
            'group',
            'user',
            'role',
          ]);
          const others = fields.filter(({ field, old }) => !allowed.has(field) && !isRemovedName(field, old));
          if (named.size > 0) assert.deepEqual(others, []);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('changes nothing when it is the export', async () => {
    await directory.apply(BASE);
    assert.deepEqual((await merge(parse(await directory.export()))).changes, []);
  });
});

/** Such as `users alice: state username`. */
function toLine({ section, name, fields }: EntryChange): string {
  const names = fields.map(({ field }) => field).sort();
  return `${section} ${name}: ${names.join(' ')}`;
}

/** The fields of the entry of a document that changed this entry, which may have had another name. */
function namedFields(
  document: object,
  section: string,
  name: string,
  fields: readonly { field: string; new: unknown }[],
): ReadonlySet<string> {
  const key = KEYS[section] ?? '';
  const renamed = fields.find(({ field }) => field === key)?.new;
  const list: unknown = Object.entries(document).find(([one]) => one === section)?.[1];
  const entries = Array.isArray(list) ? list : [];
  const own = entries.filter((entry: Record<string, unknown>) =>
    [name, renamed].some((one) => String(entry[key]).toLowerCase() === String(one).toLowerCase()),
  );
  return new Set(
    own.flatMap((entry: object) =>
      Object.entries(entry).flatMap(([field, value]) => (value === undefined ? [] : [field])),
    ),
  );
}

/** A member or an owner who moved to another organization is no change of this entry. */
function isRemovedName(field: string, old: unknown): boolean {
  return field === 'position' || (Array.isArray(old) && old.length === 0);
}

function ignoreInvalid(error: unknown): undefined {
  if (error instanceof CellpassError && error.code === 'invalid') return undefined;
  throw error;
}
