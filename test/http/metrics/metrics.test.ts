import assert from 'node:assert/strict';
import request from 'supertest';
import { ACME, LOGIN } from '../../support/directory/acme.ts';
import { readMetrics, type Samples, samplesOf } from '../../support/metrics.ts';
import { until } from '../../support/processes/child.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const PULL = 'repository:acme/site:pull';

describe('the metrics', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.apply(ACME);
  });
  after(() => server.close());

  /** By how much each sample grew while `act` ran. */
  async function grown(act: () => PromiseLike<unknown>): Promise<Samples> {
    const before = await readMetrics(server.admin);
    await act();
    const after = await readMetrics(server.admin);
    return new Map([...after].map(([name, value]) => [name, value - (before.get(name) ?? 0)]));
  }

  const answers: [
    what: string,
    ask: () => request.Test,
    labels: [route: string, status: number, reason: string],
  ][] = [
    ['a token', () => server.ask({ as: LOGIN.alice, scope: PULL }), ['/jwt/auth', 200, 'none']],
    [
      'a token with less than asked',
      () => server.ask({ as: LOGIN.reader, scope: 'repository:acme/site:pull,push' }),
      ['/jwt/auth', 200, 'granted_less'],
    ],
    [
      'a wrong password',
      () => server.ask({ as: ['alice', 'guessed'] }),
      ['/jwt/auth', 401, 'wrong_password'],
    ],
    ['an unknown name', () => server.ask({ as: ['nobody', 'guessed'] }), ['/jwt/auth', 401, 'unknown']],
    [
      'an unknown service',
      () => server.ask({ service: 'other', scope: PULL }),
      ['/jwt/auth', 404, 'service_unknown'],
    ],
    [
      'nothing for nobody',
      () => server.ask({ scope: 'repository:acme/none:pull' }),
      ['/jwt/auth', 403, 'nothing_for_anonymous'],
    ],
    ['an unknown path', () => request(server.app).get('/some/where'), ['none', 404, 'path_unknown']],
    ['a wrong method', () => request(server.app).put('/jwt/auth'), ['none', 405, 'method_not_allowed']],
    [
      'a key set',
      () => request(server.app).get('/.well-known/jwks.json'),
      ['/.well-known/jwks.json', 200, 'none'],
    ],
    [
      'an admin',
      () => request(server.admin).get('/admin/v1/refusals/0b8b8a3e-9d3a-4c1e-8f43-2f2a52f0a1aa'),
      ['/admin/v1/refusals/:id', 404, 'not_found'],
    ],
  ];
  for (const [what, ask, [route, status, reason]] of answers) {
    it(`count ${what}: ${route} ${status} ${reason}`, async () => {
      const change = await grown(async () => assert.equal((await ask()).status, status));
      const sample = `cellpass_requests_total{route="${route}",status="${status}",reason="${reason}"}`;
      assert.equal(change.get(sample), 1);
    });
  }

  it('time each step of a request that was taken', async () => {
    const count = (change: Samples, step: string) =>
      change.get(`cellpass_request_step_duration_seconds_count{step="${step}"}`) ?? 0;
    const granted = await grown(() => server.ask({ as: LOGIN.alice, scope: PULL }));
    const refused = await grown(() => server.ask({ as: ['alice', 'guessed'], scope: PULL }));
    const steps = ['authenticate', 'authorize', 'sign', 'total', 'forward'];
    assert.deepEqual(
      steps.map((step) => count(granted, step)),
      [1, 1, 1, 1, 0],
    );
    assert.deepEqual(
      steps.map((step) => count(refused, step)),
      [1, 0, 0, 1, 0],
    );
  });

  it('have no label and no text that a client has sent, and grow by nothing that it invents', async () => {
    const invent = async (n: number): Promise<void> => {
      const word = `invented-${n}`;
      await request(server.app).get(`/${word}`);
      await server.ask({ as: [word, word], scope: `repository:${word}/${word}:${word}`, service: word });
      await server.ask({ as: LOGIN.alice, scope: `repository:acme/${word}:pull`, service: word });
      await server.ask({ scope: `${word}:${word}:${word}` });
      await request(server.app)
        .get('/jwt/auth')
        .set('Authorization', `Basic ${word}`)
        .set('User-Agent', word);
      await request(server.app)
        .post('/jwt/auth')
        .type('form')
        .send({ grant_type: word, username: word, password: word });
      await request(server.admin).delete(`/admin/v1/job-tokens/${word}`);
    };
    await invent(0);
    const before = (await readMetrics(server.admin)).size;
    for (let n = 1; n <= 10; n++) await invent(n);
    const { text } = await request(server.admin).get('/metrics');
    assert.doesNotMatch(text, /invented|alice|acme/);
    assert.equal((await readMetrics(server.admin)).size, before);
  });

  it('show the pool, the password lane, and what runs', async () => {
    const samples = await readMetrics(server.admin);
    const value = (sample: string) => samples.get(sample) ?? Number.NaN;
    const [total, idle, max] = ['total', 'idle', 'max'].map((state) =>
      value(`cellpass_database_connections{state="${state}"}`),
    );
    assert.ok(total! >= 1 && idle! <= total! && total! <= max!, `${total} ${idle} ${max}`);
    assert.equal(max, 10);
    assert.equal(value('cellpass_database_waiting_queries'), 0);
    assert.ok([1, 2].includes(value('cellpass_database_hot_connections')));
    assert.equal(value('cellpass_database_hot_queries'), 0);
    assert.equal(value('cellpass_password_checks{state="running"}'), 0);
    assert.equal(value('cellpass_password_checks{state="waiting"}'), 0);
    assert.equal(value('cellpass_processes'), 1);
    assert.match(
      [...samplesOf(samples, 'cellpass_build_info').keys()].join(),
      /version="\d+\.\d+\.\d+",node="v\d/,
    );
  });

  it('show password logins that wait and are refused', async () => {
    const small = await startTestServer({ limits: { argon2Queue: 2 } });
    try {
      await small.apply(ACME);
      const before = await readMetrics(small.admin);
      const many = 10;
      const refused = 'cellpass_password_checks_refused_total';
      let answered503 = 0;
      // On a busy machine they may come more slowly than they are hashed.
      await until(
        async () => {
          const logIn = async () => (await small.ask({ as: LOGIN.alice, scope: PULL })).status;
          const statuses = await Promise.all(Array.from({ length: many }, logIn));
          answered503 += statuses.filter((status) => status === 503).length;
          return answered503 > 0 || undefined;
        },
        () => 'none was refused',
      );
      const after = await readMetrics(small.admin);
      assert.equal(after.get(refused)! - before.get(refused)!, answered503);
    } finally {
      await small.close();
    }
  });

  it('tell when the key began to sign and when it is replaced', async () => {
    const samples = await readMetrics(server.admin);
    const activated = samples.get('cellpass_active_key_activated_timestamp_seconds')!;
    const next = samples.get('cellpass_next_key_rotation_timestamp_seconds')!;
    const days = (next - activated) / 86_400;
    assert.ok(days > 28 && days <= 30, `${days} days`);
    assert.equal(samples.get('cellpass_signing_keys{state="active"}'), 1);
  });
});
