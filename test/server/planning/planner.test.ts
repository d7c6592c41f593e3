import assert from 'node:assert/strict';
import { CellpassError } from '../../../src/errors.ts';
import { createPlanner, type Planner } from '../../../src/server/planning/planner.ts';
import { describeOnBoth } from '../../support/directory/document.ts';
import { emptyDirectory } from '../../support/directory/empty.ts';

const NOW = new Date('2026-11-24T12:00:00Z');
const TOKEN = 'glpat-example-alice-laptop-0001';

describeOnBoth('the planning process', (directory) => {
  let planner: Planner;
  let hashing: (password: string) => Promise<string>;
  before(() => {
    const passwords = {
      hash: (password: string) => hashing(password),
      verify: async (hash: string | null, password: string) => hash === `hash of ${password}`,
    };
    planner = createPlanner({ database: directory.database, passwords, now: () => NOW });
  });
  beforeEach(() => {
    hashing = async (password) => `hash of ${password}`;
  });
  after(() => planner.close());

  const apply = (document: object, prune = false) =>
    planner.apply(JSON.stringify({ version: 1, ...document }), { prune, who: 'a test' });

  const codeOf = async (work: Promise<unknown>): Promise<string> => {
    const error = await work.then(
      () => assert.fail('nothing was refused'),
      (reason: unknown) => reason,
    );
    return error instanceof CellpassError ? error.code : `no code: ${String(error)}`;
  };

  const FULL = {
    users: [{ username: 'alice', password: 'correct horse' }, { username: 'bob' }],
    groups: [{ path: 'acme', members: [{ user: 'bob', role: 'owner', expires_at: '2099-01-31' }] }],
    projects: [{ path: 'acme/api' }],
    access_tokens: [
      { name: 'l', kind: 'project', project: 'acme/api', role: 'guest', scopes: ['api'], token: TOKEN },
    ],
    job_tokens: [{ project: 'acme/api', token: 'glcbt-example-api-job-0001', expires_at: '2099-01-31' }],
  };

  it('applies, prunes and exports as the server itself does', async () => {
    const [byPlanner, exported] = [await apply(FULL), await planner.export()];
    await emptyDirectory(directory.database);
    assert.deepEqual(byPlanner, await directory.apply(FULL));
    assert.equal(exported, await directory.export());
    await apply({ users: [{ username: 'bob' }] }, true);
    assert.deepEqual(await directory.query("SELECT username FROM users WHERE kind = 'human'"), [
      { username: 'bob' },
    ]);
  });

  it('takes documents one after the other', async () => {
    const names = ['a', 'b', 'c', 'd'];
    await Promise.all(names.map((username) => apply({ users: [{ username }] })));
    assert.deepEqual(
      (await directory.query('SELECT username FROM users ORDER BY id')).map(({ username }) => username),
      names,
    );
  });

  it('gives the problems of a document, and changes nothing', async () => {
    const refused = apply({ users: [{ username: 'carol' }], groups: [{ path: 'nowhere/else' }] });
    await assert.rejects(refused, (error: CellpassError) => {
      assert.deepEqual(error.details.problems, [
        { line: 1, path: 'groups[0].path', message: 'there is no parent group "nowhere"' },
      ]);
      return error.code === 'invalid';
    });
    assert.deepEqual(await directory.query('SELECT username FROM users'), []);
  });

  it('gives the error of the database, and changes nothing', async () => {
    await directory.query("ALTER TABLE projects ADD CONSTRAINT broken CHECK (path <> 'acme/broken')");
    try {
      const refused = apply({ groups: [{ path: 'acme' }], projects: [{ path: 'acme/broken' }] });
      await assert.rejects(refused, /broken/);
    } finally {
      await directory.query('ALTER TABLE projects DROP CONSTRAINT broken');
    }
    assert.deepEqual(await directory.query('SELECT path FROM namespaces'), []);
  });

  it('gives the error of the hashing', async () => {
    hashing = async () => {
      throw new CellpassError('unavailable', 'too many passwords wait');
    };
    assert.equal(await codeOf(apply(FULL)), 'unavailable');
    assert.deepEqual(await directory.query('SELECT username FROM users'), []);
  });

  it('leaves the event loop of the server free while it plans', async () => {
    const users = Array.from({ length: 4000 }, (_, at) => ({ username: `user-${at}`, state: 'no state' }));
    await apply({ users: [] });
    const startedAt = performance.now();
    let longestMs = 0;
    let last = startedAt;
    const timer = setInterval(() => {
      longestMs = Math.max(longestMs, performance.now() - last);
      last = performance.now();
    }, 1);
    assert.equal(await codeOf(apply({ users })), 'invalid');
    clearInterval(timer);
    const tookMs = performance.now() - startedAt;
    assert.ok(longestMs < tookMs / 3, `${longestMs.toFixed(0)} ms of ${tookMs.toFixed(0)} ms`);
  });
});
