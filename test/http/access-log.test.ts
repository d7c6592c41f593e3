import assert from 'node:assert/strict';
import request from 'supertest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { secret } from './acme.ts';

const CANARIES = {
  password: `canary-password-${secret('glpat-').slice(6)}`,
  token: secret('glpat-'),
  deployToken: secret('gldt-'),
  jobToken: secret('glcbt-'),
  wrong: `canary-wrong-${secret('glpat-').slice(6)}`,
};

describe('the log', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await server.apply({
      users: [{ username: 'alice', password: CANARIES.password }],
      projects: [{ path: 'alice/app' }],
      access_tokens: [
        { name: 'a', kind: 'personal', user: 'alice', scopes: ['read_registry'], token: CANARIES.token },
      ],
      deploy_tokens: [
        {
          username: 'puller',
          scopes: ['read_registry'],
          projects: ['alice/app'],
          token: CANARIES.deployToken,
        },
      ],
      job_tokens: [{ project: 'alice/app', user: 'alice', token: CANARIES.jobToken }],
    });
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
    const { request_id, duration_ms, kid, ...rest } = lastLine();
    assert.deepEqual(rest, {
      level: 'info',
      message: 'request',
      method: 'GET',
      path: '/jwt/auth',
      status: 200,
      client: '203.0.113.7',
      service: 'container_registry',
      subject: 'alice',
      auth_type: 'personal_access_token',
      asked: ['repository:alice/app:pull,push'],
      granted: ['repository:alice/app:pull'],
      refused: ['alice/app:push credential_ability'],
    });
    assert.equal(kid, server.keyring.active().kid);
    assert.ok(Number(duration_ms) > 0);
    assert.match(String(request_id), /^[0-9a-f-]{36}$/);
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

  it('never has a secret, nor has what is kept of refusals', async () => {
    const secrets = Object.values(CANARIES);
    for (const password of secrets) {
      for (const username of ['alice', 'puller', 'gitlab-ci-token', password]) {
        await server.ask({
          as: [username, password],
          scope: ['repository:alice/app:pull,push,delete', `repository:${password}:pull`],
        });
        await request(server.app)
          .post('/jwt/auth')
          .type('form')
          .send({ grant_type: 'password', username, password });
        await request(server.app)
          .post('/jwt/auth')
          .type('form')
          .send({ grant_type: 'refresh_token', refresh_token: password });
      }
      await request(server.app).get('/jwt/auth').set('Authorization', `Bearer ${password}`);
      await request(server.admin)
        .put('/admin/v1/job-tokens/9')
        .send({ project: 'alice/none', token: password });
    }
    await request(server.admin).get('/admin/v1/refusals/0b8b8a3e-9d3a-4c1e-8f43-2f2a52f0a1aa');
    const kept = await server.database.query('SELECT record::text FROM refusals');
    assert.ok(kept.length > 0);
    // A secret that somebody asks as a repository's name is, of course, in the record of what was asked; the log has no dropped scopes.
    const lines = JSON.stringify(server.log);
    const records = JSON.stringify(kept).replaceAll(/repository:[^"\\]*/g, '');
    for (const canary of secrets) {
      assert.ok(!lines.includes(canary), 'in the log');
      assert.ok(!records.includes(canary), 'in a record');
    }
  });
});
