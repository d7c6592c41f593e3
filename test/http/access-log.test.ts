import assert from 'node:assert/strict';
import { pino } from 'pino';
import request from 'supertest';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { sharedPostgres } from '../support/database/postgres.ts';
import { type Relay, startRelay } from '../support/database/relay.ts';
import { secret } from '../support/directory/acme.ts';
import { until } from '../support/processes/child.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const CANARIES = {
  password: `canary-password-${secret('glpat-').slice(6)}`,
  token: secret('glpat-'),
  deployToken: secret('gldt-'),
  jobToken: secret('glcbt-'),
  wrong: `canary-wrong-${secret('glpat-').slice(6)}`,
};

const DIRECTORY = {
  version: 1,
  users: [{ username: 'alice', password: CANARIES.password }],
  projects: [{ path: 'alice/app' }],
  access_tokens: [
    { name: 'a', kind: 'personal', user: 'alice', scopes: ['read_registry'], token: CANARIES.token },
  ],
  deploy_tokens: [
    { username: 'puller', scopes: ['read_registry'], projects: ['alice/app'], token: CANARIES.deployToken },
  ],
  job_tokens: [{ project: 'alice/app', user: 'alice', token: CANARIES.jobToken }],
};

describe('the log', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.apply(DIRECTORY);
  });
  after(() => server.close());

  const lastLine = () => server.log.filter(({ message }) => message === 'request').at(-1) ?? {};

  it('has one line for a request: who, what was asked and granted, with which key', async () => {
    const before = server.log.length;
    await server.ask({
      as: ['x', CANARIES.token],
      scope: 'repository:alice/app:pull,push',
      ip: '203.0.113.7',
    });
    assert.equal(server.log.length, before + 1);
    const { request_id, duration_ms, kid, jti, ...rest } = lastLine();
    assert.deepEqual(rest, {
      level: 'info',
      message: 'request',
      method: 'GET',
      path: '/jwt/auth',
      status: 200,
      client: '203.0.113.7',
      cell: 1,
      service: 'container_registry',
      subject: 'alice',
      auth_type: 'personal_access_token',
      credential: 'access-1',
      asked: ['repository:alice/app:pull,push'],
      granted: ['repository:alice/app:pull'],
      refused: ['alice/app:push credential_ability'],
    });
    assert.equal(kid, server.keyring.active().kid);
    assert.match(String(jti), /^[0-9a-f-]{36}$/);
    assert.ok(Number(duration_ms) > 0);
    assert.match(String(request_id), /^[0-9a-f-]{36}$/);
  });

  it('has no more than a few thousand characters, whatever a client asks', async () => {
    const long = 'n'.repeat(240);
    const scope = Array.from({ length: 64 }, (_, n) => `repository:alice/app/${long}${n}:pull,push,delete`);
    const before = server.log.length;
    await server.ask({ as: ['x', CANARIES.token], scope });
    await server.ask({ as: ['x', CANARIES.token], service: 's'.repeat(5000) });
    await request(server.app).get(`/${'p'.repeat(5000)}`);
    await server.ask({ as: ['n'.repeat(200), 'p'.repeat(3000)], scope });
    const lines = server.log.slice(before);
    assert.equal(lines.length, 4);
    for (const line of lines) assert.ok(JSON.stringify(line).length < 8000, JSON.stringify(line));
    assert.match(JSON.stringify(lines[0]), /and \d+ more/);
  });

  it('does not name whom nobody has verified', async () => {
    const mistyped = `typed-${secret('glpat-').slice(6)}`;
    const before = server.log.length;
    await server.ask({ as: [mistyped, 'alice'], scope: 'repository:alice/app:pull' });
    await server.ask({ as: [mistyped, CANARIES.token], scope: 'repository:alice/app:pull' });
    const form = { grant_type: 'password', service: 'container_registry', username: mistyped, password: 'x' };
    await request(server.app).post('/jwt/auth').type('form').send(form);
    const lines = server.log.slice(before);
    assert.deepEqual(
      lines.map((line) => line['subject']),
      [undefined, 'alice', undefined],
    );
    assert.doesNotMatch(JSON.stringify(lines), /typed-/);
  });

  it('has the id that the client got, and the reason that it did not get', async () => {
    const { body, headers } = await server.ask({ as: ['alice', CANARIES.wrong] });
    const { request_id, reason } = lastLine();
    assert.equal(body.errors[0].detail, `request ${request_id}`);
    assert.equal(headers['x-request-id'], request_id);
    assert.equal(reason, 'wrong_password');
    assert.doesNotMatch(JSON.stringify(body), /wrong_password/);
  });

  it('has the cause of a 503 as an error', async () => {
    const broken = await startTestServer();
    await broken.database.close();
    await broken.ask({ as: ['alice', CANARIES.wrong] });
    const line = broken.log.filter(({ message }) => message === 'request').at(-1);
    assert.equal(line?.['level'], 'error');
    assert.ok(line?.['err'] instanceof Error);
    await broken.close().catch(() => undefined);
  });

  it('has one line for each request, whatever becomes of it', async () => {
    const ways: [send: () => request.Test, status: number, reason: string | undefined][] = [
      [() => server.ask({ as: ['x', CANARIES.token] }), 200, undefined],
      [() => server.ask({ as: ['x', CANARIES.token], service: 'other' }), 404, 'service_unknown'],
      [() => server.ask({ scope: 'repository:alice/app:pull' }), 403, 'nothing_for_anonymous'],
      [() => request(server.app).get('/jwt/auth').set('Authorization', 'Basic !'), 401, 'malformed_basic'],
      [() => request(server.app).get('/nowhere'), 404, 'path_unknown'],
      [() => request(server.app).put('/jwt/auth'), 405, 'method_not_allowed'],
      [() => request(server.admin).get('/admin/v1/keys'), 200, undefined],
    ];
    for (const [send, status, reason] of ways) {
      const before = server.log.length;
      const { body, headers } = await send();
      assert.equal(server.log.length, before + 1);
      const line = lastLine();
      assert.deepEqual([line['status'], line['reason']], [status, reason]);
      assert.equal(line['request_id'], headers['x-request-id']);
      if (status >= 400) assert.equal(body.errors[0].detail, `request ${line['request_id']}`);
    }
  });
});

describe('the log at its lowest level, as it is written', () => {
  let written = '';
  let relay: Relay;
  let server: TestServer;
  before(async () => {
    const write = (line: string): void => {
      written += line;
    };
    const log = pino({ level: 'trace' }, { write });
    relay = await startRelay(await (await sharedPostgres()).createMigratedDatabase());
    server = await startTestServer({ log, openDatabase: async () => openPostgres(relay.url) });
  });
  after(async () => {
    await server.close();
    await relay.close();
  });

  const secrets = Object.values(CANARIES);
  const send = (form: object) => request(server.app).post('/jwt/auth').type('form').send(form);
  const apply = (document: unknown) =>
    request(server.admin)
      .post('/admin/v1/directory')
      .type('application/yaml')
      .send(typeof document === 'string' ? document : JSON.stringify(document));
  const putJob = (id: number, project: string, token: string) =>
    request(server.admin).put(`/admin/v1/job-tokens/${id}`).send({ project, token });

  /** By every way on which a secret can come in, right or wrong. */
  async function tellAllSecrets(): Promise<void> {
    await apply(DIRECTORY);
    for (const password of secrets) {
      for (const username of ['alice', 'puller', 'gitlab-ci-token', password]) {
        const scope = ['repository:alice/app:pull,push,delete', `repository:${password}:pull`];
        await server.ask({ as: [username, password], scope });
        await send({ grant_type: 'password', service: 'container_registry', username, password });
        await send({ grant_type: 'refresh_token', refresh_token: password });
        await send({ grant_type: 'other', username, password });
      }
      await request(server.app).get(`/jwt/auth?username=alice&password=${password}&token=${password}`);
      for (const scheme of ['Bearer', 'Basic'])
        await request(server.app).get('/jwt/auth').set('Authorization', `${scheme} ${password}`);
      await apply({ ...DIRECTORY, unknown: password, users: [{ username: '-', password }] });
      await apply(`version: 1\nusers: [{username: alice, password: ${password}`);
      await putJob(9, 'alice/none', password);
      await putJob(9, 'alice/app', password);
    }
  }

  it('never has a secret, nor has what is kept of refusals', async () => {
    await tellAllSecrets();
    const working = written.length;
    await relay.cut();
    await tellAllSecrets();
    await relay.mend();
    assert.ok(working > 0 && /"err":/.test(written.slice(working)), 'errors are in the log with their cause');

    await request(server.admin).get('/admin/v1/refusals/0b8b8a3e-9d3a-4c1e-8f43-2f2a52f0a1aa');
    const kept = await server.database.query('SELECT record::text FROM refusals');
    assert.ok(kept.length > 0);
    // A secret that somebody asks as a repository's name is, of course, in the record of what was asked; the log has no dropped scopes.
    const audited = await until(
      async () => {
        const rows = await server.database.query('SELECT to_jsonb(t)::text AS record FROM issued_tokens t');
        return rows.length > 0 ? JSON.stringify(rows) : undefined;
      },
      () => 'no token is on record',
    );
    const metrics = (await request(server.admin).get('/metrics')).text;
    const records = JSON.stringify(kept).replaceAll(/repository:[^"\\]*/g, '');
    for (const secretText of secrets) {
      const forms = [secretText, Buffer.from(`alice:${secretText}`).toString('base64')];
      for (const form of forms) {
        assert.ok(!written.includes(form), 'in the log');
        assert.ok(!records.includes(form), 'in a record');
        assert.ok(!audited.includes(form), 'in the audit record');
        assert.ok(!metrics.includes(form), 'in the metrics');
      }
    }
  });
});
