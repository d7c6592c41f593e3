import assert from 'node:assert/strict';
import type { Role } from '../../../../src/policy/role.ts';
import { findReachable } from '../../../../src/store/source/own/reachable.ts';
import type { ReachQuestion } from '../../../../src/store/source/questions.ts';
import { describeOnBoth } from '../../../support/directory/document.ts';

/** Another group comes first, with more projects than one statement looks at. */
const COMPANY = {
  users: [
    { username: 'ann', id: 1 },
    { username: 'none', id: 2 },
    { username: 'boss', id: 3 },
    { username: 'crowd', id: 4 },
  ],
  organizations: [{ path: 'default', owners: ['boss'] }],
  groups: [
    { path: 'big', id: 10, members: [{ user: 'crowd', role: 'developer' }] },
    { path: 'invited', id: 11, members: [{ user: 'ann', role: 'developer' }] },
    { path: 'shared', id: 12, invited_groups: [{ group: 'invited', role: 'developer' }] },
    { path: 'shared/below', id: 13 },
    { path: 'zoo', id: 14 },
  ],
  projects: [
    { path: 'ann/home', id: 1 },
    { path: 'shared/below/app', id: 2 },
    { path: 'zoo/app', id: 3, members: [{ user: 'ann', role: 'developer' }] },
    { path: 'zoo/guest', id: 4, members: [{ user: 'ann', role: 'guest' }] },
    { path: 'zoo/lent', id: 5, invited_groups: [{ group: 'invited', role: 'maintainer' }] },
  ],
  deploy_tokens: [
    {
      username: 'of-zoo',
      id: 1,
      group: 'zoo',
      scopes: ['read_registry'],
      token: 'gldt-example-000000000001',
    },
    {
      username: 'of-app',
      id: 2,
      projects: ['zoo/app'],
      scopes: ['read_registry'],
      token: 'gldt-example-000000000002',
    },
  ],
};
const BIG = `INSERT INTO projects (id, namespace_id, path, path_key)
  SELECT n, 10, 'big/p' || n, 'big/p' || n FROM generate_series(10001, 20500) AS n`;
const ROLES: readonly Role[] = ['developer', 'maintainer', 'owner'];
const NO_SUBJECT = { userId: null, deployTokenId: null, jobProjectId: null };
const OF_ANN = ['ann/home', 'shared/below/app', 'zoo/app', 'zoo/lent'];

describeOnBoth('the projects that a subject has by itself', (directory) => {
  const ask = (asked: Partial<ReachQuestion>) =>
    directory.database.transaction((sql) =>
      findReachable(sql, {
        ...{ subject: NO_SUBJECT, roles: ROLES, visibilities: [], everything: false, groupId: null },
        ...{ after: '', ...asked },
      }),
    );

  it('are found at once, however many others there are', async () => {
    await directory.apply(COMPANY);
    await directory.query(BIG);
    const rows: [asked: Partial<ReachQuestion>, expected: string[]][] = [
      [{ subject: { ...NO_SUBJECT, userId: 1 } }, OF_ANN],
      [{ subject: { ...NO_SUBJECT, userId: 1 }, after: 'shared' }, OF_ANN.slice(1)],
      [{ subject: { ...NO_SUBJECT, userId: 1 }, groupId: 14 }, ['zoo/app', 'zoo/lent']],
      [{ subject: { ...NO_SUBJECT, userId: 2 } }, []],
      [{ subject: { ...NO_SUBJECT, deployTokenId: 1 } }, ['zoo/app', 'zoo/guest', 'zoo/lent']],
      [{ subject: { ...NO_SUBJECT, deployTokenId: 2 } }, ['zoo/app']],
      [{ subject: { ...NO_SUBJECT, jobProjectId: 3 } }, ['zoo/app']],
    ];
    for (const [asked, expected] of rows) {
      assert.deepEqual(await ask(asked), { paths: expected, last: null }, JSON.stringify(asked));
    }
  });

  it('are found page by page where they are many, or the user owns the organization', async () => {
    await directory.apply(COMPANY);
    await directory.query(BIG);
    for (const [userId, total] of [
      [4, 10_500],
      [3, 10_505],
    ] as const) {
      const found: string[] = [];
      let after: string | null = '';
      while (after !== null) {
        const page: Awaited<ReturnType<typeof ask>> = await ask({
          subject: { ...NO_SUBJECT, userId },
          after,
        });
        found.push(...page.paths);
        after = page.last;
      }
      assert.equal(found.length, total);
      assert.deepEqual(found, [...new Set(found)].toSorted());
    }
  });
});
