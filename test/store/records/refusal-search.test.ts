import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { parseScopes } from '../../../src/policy/scope.ts';
import { ANONYMOUS, type Subject } from '../../../src/policy/subject.ts';
import type { Database } from '../../../src/store/database/drivers.ts';
import { migrate } from '../../../src/store/database/migrate.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { type RefusalQuestion, searchRefusals } from '../../../src/store/records/refusal-search.ts';
import { type RefusalRecord, saveRefusals } from '../../../src/store/records/refusals.ts';
import { openTestPglite } from '../../support/database/pglite.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';
import { aDeployToken, aJob, aTokenUser } from '../../support/policy/subjects.ts';

const DRIVERS: [name: string, open: () => Promise<Database>][] = [
  ['PostgreSQL', async () => openPostgres(await (await sharedPostgres()).createMigratedDatabase())],
  ['PGlite', openTestPglite],
];
const NOW = new Date('2026-11-24T12:00:00Z');
const HOUR_MS = 3_600_000;
const hoursAgo = (hours: number): Date => new Date(NOW.getTime() - hours * HOUR_MS);
const EVERYTHING: RefusalQuestion = { after: null, limit: 1000 };

function record(hours: number, more: Partial<RefusalRecord>): RefusalRecord {
  return {
    at: hoursAgo(hours).toISOString(),
    client: '192.0.2.1',
    error: null,
    question: null,
    ...more,
  };
}

function asked(subject: Subject, ...scopes: readonly string[]): RefusalRecord['question'] {
  return {
    subject: { ...subject, abilities: [], expiresAt: null },
    asked: parseScopes(scopes),
    facts: { instance: { registryEnabled: true, maintenanceMode: false }, projects: [] },
  };
}

const error = (reason: 'wrong_password' | 'unknown' | 'nothing_for_anonymous'): RefusalRecord['error'] => ({
  code: reason === 'nothing_for_anonymous' ? 'denied' : 'unauthorized',
  message: 'no',
  reason,
});

/** The latest first. */
const RECORD = {
  part: record(1, { question: asked(aTokenUser([]), 'repository:acme/app:pull,push'), reasons: ['role'] }),
  guess: record(2, {
    error: error('wrong_password'),
    early: { account: 'alice', credential: 'password', asked: ['repository:acme/web:pull'] },
    client: '2001:db8::1',
  }),
  stranger: record(3, {
    error: error('unknown'),
    early: { account: null, credential: null, asked: ['repository:acme/app:pull'] },
    client: '203.0.113.9',
  }),
  puller: record(4, { question: asked(aDeployToken(), 'nonsense'), reasons: ['syntax'], client: '10.1.2.3' }),
  anonymous: record(5, {
    error: error('nothing_for_anonymous'),
    question: asked(ANONYMOUS, 'repository:acme/app-two:pull', 'registry:catalog:*'),
    reasons: ['project_unknown'],
    client: '',
  }),
  job: record(6, { question: asked(aJob(null), 'repository:acme/app:push'), reasons: ['job_push'] }),
  service: record(7, {
    error: { code: 'service_unknown', message: 'no', reason: 'service_unknown' },
    early: { subject: 'bob', credential: 'access-2', asked: [] },
  }),
  old: record(30, { error: error('unknown') }),
};

for (const [driver, open] of DRIVERS) {
  describe(`a search for refusals on ${driver}`, () => {
    let database: Database;
    const stored = Object.values(RECORD).map((one) => ({ requestId: randomUUID(), record: one }));
    before(async () => {
      database = await open();
      await migrate(database);
      await saveRefusals(database, stored);
    });
    after(() => database.close());

    const search = (question: Partial<RefusalQuestion>) =>
      searchRefusals(database, { ...EVERYTHING, ...question });
    const nameOf = (requestId: string) =>
      Object.keys(RECORD)[stored.findIndex((one) => one.requestId === requestId)];

    it('gives what was recorded, as it was', async () => {
      assert.deepEqual(await search({ limit: 1 }), { refusals: [stored[0]], hasMore: true });
    });

    const rows: [what: string, question: Partial<RefusalQuestion>, found: (keyof typeof RECORD)[]][] = [
      ['everything', {}, Object.keys(RECORD) as (keyof typeof RECORD)[]],
      ['since a moment, which counts', { since: hoursAgo(2) }, ['part', 'guess']],
      ['a subject, and the account of a failed login', { subject: 'alice' }, ['part', 'guess']],
      ['a subject in another case', { subject: 'Alice' }, ['part', 'guess']],
      ['a deploy token', { subject: 'puller' }, ['puller']],
      ['a subject whose request ended early', { subject: 'bob' }, ['service']],
      ['anonymous clients, and jobs without a user', { subject: '' }, ['anonymous', 'job']],
      ['an unknown subject', { subject: 'nobody' }, []],
      ['a repository, of failed logins too', { repository: 'acme/app' }, ['part', 'stranger', 'job']],
      ['what is no repository', { repository: 'catalog' }, []],
      ['the cause of an error', { reason: 'wrong_password' }, ['guess']],
      ['a rule', { reason: 'role' }, ['part']],
      ['the cause of a dropped scope', { reason: 'syntax' }, ['puller']],
      ['everything that was granted in part', { reason: 'granted_less' }, ['part', 'puller', 'job']],
      ['an IPv4 address', { addresses: '203.0.113.9/32' }, ['stranger']],
      ['an IPv6 address', { addresses: '2001:db8::1/128' }, ['guess']],
      ['a range', { addresses: '10.0.0.0/8' }, ['puller']],
      ['two things at once', { subject: 'alice', repository: 'acme/web' }, ['guess']],
      ['a name that means something to a database', { subject: `' OR '%_`, repository: '") || true' }, []],
    ];
    for (const [what, question, found] of rows) {
      it(`finds by ${what}`, async () => {
        const { refusals, hasMore } = await search(question);
        assert.deepEqual([refusals.map(({ requestId }) => nameOf(requestId)), hasMore], [found, false]);
      });
    }

    it('goes on where the page before ended, also between two of one moment', async () => {
      const together = [1, 2, 3].map(() => ({
        requestId: randomUUID(),
        record: record(8, { early: { account: 'carol', credential: null, asked: [] } }),
      }));
      await saveRefusals(database, together);
      const seen: string[] = [];
      let after: RefusalQuestion['after'] = null;
      for (const more of [true, true, false]) {
        const { refusals, hasMore } = await search({ subject: 'carol', limit: 1, after });
        assert.deepEqual([refusals.length, hasMore], [1, more]);
        const { requestId, record: found } = refusals[0]!;
        after = { at: new Date(found.at), requestId };
        seen.push(requestId);
      }
      assert.deepEqual(seen.sort(), together.map(({ requestId }) => requestId).sort());
    });
  });
}
