import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { DirectoryDocument } from '../../../src/directory/document/document.ts';
import { type ReadDocument, readDocument } from '../../../src/directory/document/read.ts';
import { type Plan, planDirectory } from '../../../src/directory/plan/plan.ts';
import { planOnPart } from '../../../src/directory/stored/plan-on-part.ts';
import type { Database, Sql } from '../../../src/store/database/drivers.ts';
import { readDirectory } from '../../../src/store/directory/read-rows.ts';
import { ARBITRARY_BASE, arbitraryDocument } from '../../support/directory/arbitrary-document.ts';
import { describeOnBoth } from '../../support/directory/document.ts';
import { emptyDirectory } from '../../support/directory/empty.ts';

const NOW = new Date('2026-11-24T12:00:00Z');
const RUNS = 15;
const DOCUMENTS = 8;

function toInput(document: object) {
  const read: ReadDocument = readDocument(JSON.stringify({ version: 1, ...document }));
  assert.notEqual(read.document, null);
  return {
    read: { ...read, document: read.document as DirectoryDocument },
    assume: false,
    identityRules: { issuers: null, unknownIssuers: '' },
    now: NOW,
    passwordHashes: new Map(),
  };
}

/** What a plan does and says; the names of new bots are random. */
function outcome({ changes, problems, counts, wantedIds }: Plan): unknown {
  const sorted = (rows: readonly unknown[]): string[] =>
    rows.map((row) => JSON.stringify(row).replaceAll(/_bot_[0-9a-f]{32}/g, '_bot_X')).sort();
  // Nothing is written of a plan with problems.
  if (problems.length > 0) return { problems: sorted(problems) };
  return {
    changes: Object.entries(changes).map(([table, { upsert, remove }]) => [
      table,
      sorted(upsert),
      sorted(remove),
    ]),
    counts,
    wantedIds: [...wantedIds],
  };
}

describeOnBoth('a plan on the rows that a document depends on', (directory) => {
  /** Both plans of a document; then applies it if it has no problems. */
  async function compare(document: object): Promise<boolean> {
    const input = toInput(document);
    const [part, whole] = await directory.database.transaction(async (sql) => [
      (await planOnPart(sql, input)).plan,
      planDirectory({ ...input, prune: false, stored: await readDirectory(sql) }),
    ]);
    assert.deepEqual(outcome(part), outcome(whole));
    const isValid = part.problems.length + input.read.problems.length === 0;
    if (isValid) await directory.apply(document);
    return isValid;
  }

  it('is the plan on the whole directory where a tree that can not be loses a token', async () => {
    await emptyDirectory(directory.database);
    await directory.apply(ARBITRARY_BASE);
    const token = 'glpat-example-000000008';
    await directory.apply({ job_tokens: [{ id: 1, project: 'h/p', token }] });
    const isValid = await compare({
      // The group h, with its project p, would be a second g with a second g/p.
      groups: [{ path: 'g', id: 2 }],
      access_tokens: [{ kind: 'personal', user: 'ann', name: 'one', scopes: ['api'], token }],
    });
    assert.equal(isValid, false);
  });

  it('is the plan on the whole directory', async () => {
    let valid = 0;
    const documents = fc.array(arbitraryDocument, { minLength: DOCUMENTS, maxLength: DOCUMENTS });
    await fc.assert(
      fc
        .asyncProperty(documents, async (list) => {
          for (const document of list) if (await compare(document)) valid += 1;
        })
        .beforeEach(async () => {
          await emptyDirectory(directory.database);
          await directory.apply(ARBITRARY_BASE);
        }),
      { numRuns: RUNS },
    );
    // Otherwise the property would only compare refusals.
    assert.ok(valid > (RUNS * DOCUMENTS) / 10, `only ${valid} documents were valid`);
  });

  const moves: [what: string, document: object][] = [
    ['a group with all below', { groups: [{ path: 'new', id: 1 }] }],
    [
      'a group and an entry below by its new path',
      {
        groups: [{ path: 'new', id: 1 }, { path: 'new/Sub' }],
        projects: [{ path: 'new/sub/deep/api', members: [{ user: 'bob', role: 'owner' }] }],
      },
    ],
    ['a group to another organization, with its bots', { groups: [{ path: 'acme', organization: 'labs' }] }],
    [
      'an organization that gets another name',
      {
        organizations: [
          { path: 'default', id: 1 },
          { path: 'lab', id: 2 },
        ],
        groups: [{ path: 'acme', organization: 'lab' }],
      },
    ],
    [
      'a user with projects and their bots',
      {
        users: [{ username: 'Ann2', id: 1, organization: 'labs' }],
        projects: [{ path: 'ann2/dots', visibility: 'public' }],
      },
    ],
    ['a project to another organization', { projects: [{ path: 'other/api', id: 101 }] }],
    [
      'a chain of moves',
      {
        groups: [
          { path: 'new', id: 1 },
          { path: 'new/sub/Deeper', id: 3 },
        ],
        projects: [{ path: 'new/sub/deeper/api' }],
      },
    ],
    ['the case of a path', { groups: [{ path: 'ACME' }] }],
  ];
  for (const [what, document] of moves) {
    it(`knows everything that moves with ${what}`, async () => {
      await directory.apply(BEFORE);
      assert.equal(await compare(document), true);
    });
  }

  it('reads as many rows in a large directory as in a small one', async () => {
    const document = {
      users: [{ username: 'user-1', admin: true }],
      groups: [{ path: 'group-1', members: [{ user: 'user-2', role: 'owner' }] }],
      projects: [{ path: 'group-2/api', invited_groups: [{ group: 'group-1', role: 'guest' }] }],
      access_tokens: [{ name: 'laptop', kind: 'personal', user: 'user-3', scopes: ['api'] }],
    };
    const counts: number[] = [];
    for (const size of [10, 300]) {
      await directory.apply(town(size));
      counts.push(await rowsRead(directory.database, (sql) => planOnPart(sql, toInput(document))));
    }
    assert.ok(counts[0]! < 25, String(counts));
    assert.equal(counts[1], counts[0]);
  });
});

const BEFORE = {
  organizations: [
    { path: 'default', id: 1 },
    { path: 'labs', id: 2 },
  ],
  users: [
    { username: 'ann', id: 1 },
    { username: 'bob', id: 2 },
  ],
  groups: [
    { path: 'acme', id: 1 },
    { path: 'acme/sub', id: 2 },
    { path: 'acme/sub/deep', id: 3, members: [{ user: 'ann', role: 'guest' }] },
    { path: 'other', id: 4, organization: 'labs' },
  ],
  projects: [
    {
      path: 'acme/sub/deep/api',
      id: 101,
      members: [{ user: 'ann', role: 'guest' }],
      protected_repositories: [{ pattern: 'acme/sub/deep/api/prod*', minimum_role_for_push: 'owner' }],
    },
    { path: 'ann/dots', id: 102 },
  ],
  access_tokens: [
    { ...token('glpat-example-acme-group-0001'), kind: 'group', group: 'acme/sub', role: 'owner' },
    { ...token('glpat-example-acme-api-0001'), kind: 'project', project: 'acme/sub/deep/api', role: 'guest' },
    { ...token('glpat-example-ann-dots-0001'), kind: 'project', project: 'ann/dots', role: 'guest' },
  ],
};

function token(secret: string) {
  return { name: 'ci', scopes: ['api'], token: secret };
}

function town(size: number): object {
  const numbers = Array.from({ length: size }, (_, at) => at + 1);
  return {
    users: numbers.map((n) => ({ username: `user-${n}`, email: `user-${n}@example.com` })),
    groups: numbers.map((n) => ({ path: `group-${n}`, members: [{ user: `user-${n}`, role: 'owner' }] })),
    projects: numbers.map((n) => ({ path: `group-${n}/api` })),
    access_tokens: numbers.map((n) => ({
      ...token(`glpat-example-of-user-${String(n).padStart(4, '0')}`),
      name: 'laptop',
      kind: 'personal',
      user: `user-${n}`,
    })),
  };
}

async function rowsRead(database: Database, work: (sql: Sql) => Promise<unknown>): Promise<number> {
  let rows = 0;
  await database.transaction((sql) =>
    work({
      ...sql,
      query: async (statement, params) => {
        const answer = await sql.query<never>(statement, params);
        rows += answer.length;
        return answer;
      },
    }),
  );
  return rows;
}
