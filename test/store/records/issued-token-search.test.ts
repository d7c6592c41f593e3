import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Database, Row, Statement } from '../../../src/store/database/drivers.ts';
import { migrate } from '../../../src/store/database/migrate.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import {
  type IssuedTokenQuestion,
  searchIssuedTokens,
} from '../../../src/store/records/issued-token-search.ts';
import { createIssuedTokens, type IssuedToken } from '../../../src/store/records/issued-tokens.ts';
import { openTestPglite } from '../../support/database/pglite.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';

const openFresh = async (): Promise<Database> =>
  openPostgres(await (await sharedPostgres()).createMigratedDatabase());
const DRIVERS: [name: string, open: () => Promise<Database>][] = [
  ['PostgreSQL', openFresh],
  ['PGlite', openTestPglite],
];
const NOW = new Date('2026-11-24T12:00:00Z');
const HOUR_MS = 3_600_000;
const hoursAgo = (hours: number): Date => new Date(NOW.getTime() - hours * HOUR_MS);
const ALL: IssuedTokenQuestion = { since: hoursAgo(1000), after: null, limit: 1000 };

const grants = (...names: readonly string[]): IssuedToken['access'] =>
  names.map((name) => ({ type: 'repository', name, actions: ['pull'] }));

function issued(hours: number, more: Partial<IssuedToken>): IssuedToken {
  return {
    jti: randomUUID(),
    kid: 'NEW',
    subject: 'alice',
    authType: 'personal_access_token',
    service: 'container_registry',
    access: grants('acme/app'),
    address: '192.0.2.1',
    issuedAt: hoursAgo(hours),
    expiresAt: hoursAgo(hours - 1),
    requestId: randomUUID(),
    cell: 1,
    ...more,
  };
}

const NOBODY = { subject: '', authType: 'none' } as const;
/** The latest first. */
const RECORD = {
  app: issued(0.5, { credential: 'access-1' }),
  two: issued(1, { subject: 'bob', access: grants('acme/web', 'acme/app') }),
  catalog: issued(2, { access: [{ type: 'registry', name: 'catalog', actions: ['*'] }] }),
  nobody: issued(3, { ...NOBODY, credential: 'anonymous' }),
  unnamed: issued(4, { subject: '', authType: 'build', credential: 'job-1' }),
  old: issued(30, { kid: 'OLD', access: [] }),
  oldest: issued(60, { kid: 'OLD', subject: 'bob', access: grants('acme/apple') }),
};

for (const [driver, open] of DRIVERS) {
  describe(`a search for issued tokens on ${driver}`, () => {
    let database: Database;
    before(async () => {
      database = await open();
      await migrate(database);
      await createIssuedTokens(database).save(Object.values(RECORD));
    });
    after(() => database.close());

    const search = (question: Partial<IssuedTokenQuestion>) =>
      searchIssuedTokens(database, { ...ALL, ...question });
    const nameOf = ({ jti }: IssuedToken) =>
      Object.entries(RECORD).find(([, token]) => token.jti === jti)?.[0];

    it('gives what was recorded, as it was', async () => {
      assert.deepEqual(await search({ limit: 1 }), { tokens: [RECORD.app], hasMore: true });
    });

    const rows: [what: string, question: Partial<IssuedTokenQuestion>, found: (keyof typeof RECORD)[]][] = [
      ['everything', {}, ['app', 'two', 'catalog', 'nobody', 'unnamed', 'old', 'oldest']],
      ['since a moment, which counts', { since: hoursAgo(2) }, ['app', 'two', 'catalog']],
      ['until a moment, which does not', { until: hoursAgo(4) }, ['old', 'oldest']],
      ['an id', { jti: RECORD.old.jti }, ['old']],
      ['a subject', { subject: 'bob' }, ['two', 'oldest']],
      ['nobody', { subject: '' }, ['nobody', 'unnamed']],
      ['an access token', { credential: 'access-1' }, ['app']],
      ['a job', { credential: 'job-1' }, ['unnamed']],
      ['anonymous clients', { credential: 'anonymous' }, ['nobody']],
      ['passwords', { credential: 'password' }, []],
      ['a key', { kid: 'OLD' }, ['old', 'oldest']],
      [
        'a repository, and none whose name begins so',
        { repository: 'acme/app' },
        ['app', 'two', 'nobody', 'unnamed'],
      ],
      ['what is no repository', { repository: 'catalog' }, []],
      ['two things at once', { repository: 'acme/app', subject: 'bob' }, ['two']],
      ['a name that means something to a database', { subject: `' OR '%_` }, []],
    ];
    for (const [what, question, found] of rows) {
      it(`finds by ${what}`, async () => {
        const { tokens, hasMore } = await search(question);
        assert.deepEqual([tokens.map(nameOf), hasMore], [found, false]);
      });
    }

    it('goes on where the page before ended, also between two of one moment', async () => {
      const together = [1, 2, 3].map(() => issued(5, { subject: 'carol' }));
      await createIssuedTokens(database).save(together);
      const seen: string[] = [];
      let after: IssuedTokenQuestion['after'] = null;
      for (const more of [true, true, false]) {
        const { tokens, hasMore } = await search({ subject: 'carol', limit: 1, after });
        assert.deepEqual([tokens.length, hasMore], [1, more]);
        after = tokens[0]!;
        seen.push(tokens[0]!.jti);
      }
      assert.deepEqual(seen.sort(), together.map(({ jti }) => jti).sort());
    });
  });
}

describe('a search for issued tokens', () => {
  let database: Database;
  before(async () => {
    database = await openFresh();
    await migrate(database);
    await createIssuedTokens(database).save(Object.values(RECORD));
  });
  after(() => database.close());

  /** The tables that PostgreSQL opens, by how they are looked through. */
  async function tablesFor(question: Partial<IssuedTokenQuestion>): Promise<readonly string[]> {
    let plan = '';
    const explaining: Pick<Database, 'transaction'> = {
      transaction: (work) =>
        database.transaction((sql) =>
          work({
            ...sql,
            query: async <R extends Row>(statement: string | Statement, params?: readonly unknown[]) => {
              const text = typeof statement === 'string' ? statement : statement.text;
              if (!/^\s*SELECT/.test(text)) return sql.query<R>(statement, params);
              const lines = await sql.query(`EXPLAIN (COSTS OFF) ${text}`, params);
              plan = lines.map((line) => String(line['QUERY PLAN'])).join('\n');
              return [];
            },
          }),
        ),
    };
    await searchIssuedTokens(explaining, { ...ALL, ...question });
    return [...plan.matchAll(/ on (issued_tokens_\w+?)(?:_\d)? /g)].map(([, table = '']) => table).sort();
  }

  it('opens no day outside its bounds, and for a subject nothing of nobody', async () => {
    const known = (...days: readonly string[]) => days.map((day) => `issued_tokens_known_202611${day}`);
    const both = (...days: readonly string[]) => [
      ...days.map((day) => `issued_tokens_anonymous_202611${day}`),
      ...known(...days),
    ];
    const day = new Date('2026-11-24T00:00:00Z');
    assert.deepEqual(await tablesFor({}), both('22', '23', '24'));
    assert.deepEqual(await tablesFor({ since: day }), both('24'));
    assert.deepEqual(await tablesFor({ until: day, since: hoursAgo(30) }), both('23'));
    assert.deepEqual(await tablesFor({ after: RECORD.oldest }), both('22'));
    assert.deepEqual(await tablesFor({ since: day, subject: 'alice' }), known('24'));
    assert.deepEqual(await tablesFor({ since: day, credential: 'access-1' }), known('24'));
  });

  it('is given up in time, and says what to do', async () => {
    await database.transaction(async (other) => {
      await other.query('LOCK TABLE issued_tokens IN ACCESS EXCLUSIVE MODE');
      await assert.rejects(searchIssuedTokens(database, ALL, { timeoutMs: 50 }), {
        code: 'unavailable',
        message: /^this takes too long: ask for a shorter time/,
      });
    });
    assert.equal((await searchIssuedTokens(database, ALL)).tokens.length, Object.keys(RECORD).length);
  });
});
