import assert from 'node:assert/strict';
import request from 'supertest';
import type { Database } from '../../../src/store/database/drivers.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';
import { DIRECTORY } from '../../support/failing.ts';
import { until } from '../../support/processes/child.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const CROWD = 200;

describe('requests under way', () => {
  let server: TestServer;
  let isSlow: boolean;
  let asked: number;
  let release: (() => void)[];

  /** Holds every question that asks for the project `acme/slow`. */
  const holding = (database: Database): Database => ({
    ...database,
    query: async (statement, params) => {
      const isQuestion = typeof statement !== 'string' && /^(find|ask)-/.test(statement.name ?? '');
      if (isSlow && isQuestion && JSON.stringify(params).includes('acme/slow')) {
        asked += 1;
        await new Promise<void>((resolve) => release.push(resolve));
      }
      return database.query(statement, params);
    },
  });

  before(async () => {
    const url = await (await sharedPostgres()).createMigratedDatabase();
    server = await startTestServer({ openDatabase: async () => holding(openPostgres(url)) });
    await server.apply(DIRECTORY);
  });
  after(() => server.close());
  beforeEach(() => {
    isSlow = true;
    asked = 0;
    release = [];
  });
  afterEach(() => {
    isSlow = false;
    for (const resolve of release) resolve();
  });

  const pull = (path: string, ip: string) => server.ask({ scope: `repository:${path}:pull`, ip });
  const metric = async (name: string): Promise<string | undefined> => {
    const { text } = await request(server.admin).get('/metrics');
    return text.split('\n').find((line) => line.startsWith(name));
  };

  it('of one address leave room for others, and wait for their turn', async () => {
    const crowd = Array.from({ length: CROWD }, () =>
      pull('acme/slow', '192.0.2.1').then((answer) => answer),
    );
    await until(
      async () => (asked >= 32 ? true : undefined),
      () => `${asked} asked`,
    );
    const started = performance.now();
    assert.equal((await pull('acme/app', '192.0.2.2')).status, 200);
    assert.ok(performance.now() - started < 1500, 'others wait for nobody');
    assert.equal(asked, 32);
    assert.match((await metric('cellpass_share_held{resource="requests"}')) ?? '', / 32$/);
    isSlow = false;
    for (const resolve of release.splice(0)) resolve();
    for (const { status } of await Promise.all(crowd)) assert.equal(status, 403);
  });

  it('that get no turn in time are told 503, and when to come back', async () => {
    const crowd = Array.from({ length: 40 }, () => pull('acme/slow', '192.0.2.3').then((answer) => answer));
    const answers = await Promise.all(crowd);
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [503]);
    for (const { headers } of answers) assert.match(headers['retry-after'] ?? '', /^\d+$/);
    assert.equal(asked, 32, 'what was too late was never asked about');
  });
});
