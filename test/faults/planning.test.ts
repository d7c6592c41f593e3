import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { CellpassError } from '../../src/errors.ts';
import { createPlanner } from '../../src/server/planning/planner.ts';
import type { Database } from '../../src/store/database/drivers.ts';
import { describeOnBoth } from '../support/directory/document.ts';
import { plannersOf } from '../support/processes/children.ts';

const LIMITS = { silenceMs: 60_000, heapMb: 512, idleMs: 60_000 };
const LARGE = JSON.stringify({
  version: 1,
  users: Array.from({ length: 100_000 }, (_, at) => ({ username: `user-${at}` })),
});
const SMALL = JSON.stringify({ version: 1, users: [{ username: 'alice' }] });

describeOnBoth('a planning process that fails', (directory) => {
  const users = async (): Promise<readonly unknown[]> =>
    (await directory.query('SELECT username FROM users')).map(({ username }) => username);

  /** The error of the work, as code and message. */
  const errorOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => assert.fail('nothing failed'),
      (error: unknown) =>
        error instanceof CellpassError ? `${error.code}: ${error.message}` : `no code: ${String(error)}`,
    );

  const open = ({
    database = directory.database,
    hash = async () => 'a hash',
    ...limits
  }: Partial<typeof LIMITS> & {
    database?: Pick<Database, 'transaction'>;
    hash?: () => Promise<string>;
  }) => {
    const passwords = { hash, verify: async () => false };
    return createPlanner({ database, passwords, now: () => new Date() }, { ...LIMITS, ...limits });
  };

  const rows: [what: string, limits: Partial<typeof LIMITS>, message: RegExp][] = [
    [
      'computes for too long',
      { silenceMs: 1500 },
      /^size: planning the document took more than 1.5 s of comp/,
    ],
    ['needs too much memory', { heapMb: 50 }, /^size: planning the document took more than 50 MB of memory/],
  ];
  for (const [what, limits, message] of rows) {
    it(`because a document ${what} is replaced`, async () => {
      const planner = open(limits);
      try {
        assert.match(await errorOf(planner.apply(LARGE, { prune: false, who: 'a test' })), message);
        assert.deepEqual(await users(), []);
        await planner.apply(SMALL, { prune: false, who: 'a test' });
        assert.deepEqual(await users(), ['alice']);
      } finally {
        await planner.close();
      }
    });
  }

  it('because it is killed in the middle of a transaction leaves nothing behind', async () => {
    const transaction: Database['transaction'] = (work, options) =>
      directory.database.transaction(
        (sql) =>
          work({
            ...sql,
            query: async (statement, params) => {
              const rows = await sql.query<never>(statement, params);
              if (String(statement).includes('INSERT INTO users')) killPlanner();
              return rows;
            },
          }),
        options,
      );
    const planner = open({ database: { transaction } });
    try {
      assert.match(
        await errorOf(planner.apply(SMALL, { prune: false, who: 'a test' })),
        /^unavailable: the process that plans directory documents ended \(SIGKILL\)/,
      );
      assert.deepEqual(await users(), []);
    } finally {
      await planner.close();
    }
  });

  it('because the server stops fails with its documents', async () => {
    let hashing = (): void => undefined;
    const begun = new Promise<void>((resolve) => {
      hashing = resolve;
    });
    const planner = open({
      hash: () => {
        hashing();
        return new Promise(() => undefined);
      },
    });
    const document = { version: 1, users: [{ username: 'alice', password: 'correct horse' }] };
    const failures = [document, document].map((one) =>
      errorOf(planner.apply(JSON.stringify(one), { prune: false, who: 'a test' })),
    );
    await begun;
    await planner.close();
    for (const failure of await Promise.all(failures)) assert.match(failure, /^unavailable: /);
    assert.deepEqual(await users(), []);
  });

  it('because it is idle ends, and starts again', async () => {
    const planner = open({ idleMs: 1 });
    try {
      await planner.apply(SMALL, { prune: false, who: 'a test' });
      while (plannersOf(process.pid).length > 0) await delay(5);
      await planner.apply(SMALL, { prune: true, who: 'a test' });
      assert.deepEqual(await users(), ['alice']);
    } finally {
      await planner.close();
    }
  });
});

function killPlanner(): void {
  for (const pid of plannersOf(process.pid)) process.kill(pid, 'SIGKILL');
}
