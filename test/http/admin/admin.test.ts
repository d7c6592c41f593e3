import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import request from 'supertest';
import { secret } from '../../support/directory/acme.ts';
import { assertError } from '../../support/reading.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const DOCUMENT = `
version: 1
users:
  - {username: alice, id: 11}
groups:
  - {path: acme, id: 20, members: [{user: alice, role: developer}]}
projects:
  - {path: acme/app, id: 101}
`;

describe('the admin API', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await apply(DOCUMENT).expect(200);
  });
  after(() => server.close());

  const apply = (document: string, query = '') =>
    request(server.admin)
      .post(`/admin/v1/directory${query}`)
      .set('Content-Type', 'application/yaml')
      .send(document);

  describe('the directory', () => {
    it('says what was done, and that nothing was the second time', async () => {
      const { body } = await apply(DOCUMENT).expect(200);
      assert.equal(body.changed, false);
      assert.deepEqual(body.sections.projects, { added: 0, changed: 0, unchanged: 1, removed: 0 });
    });

    it('reports every problem with its line, and changes nothing', async () => {
      const wrong =
        'version: 1\nusers:\n  - {username: new}\n  - {username: a b}\nprojects:\n  - {path: nowhere/app}\n';
      const { body } = await apply(wrong).expect(422);
      assert.deepEqual(
        body.problems.map(({ line }: { line: number }) => line),
        [4, 6],
      );
      const { text } = await request(server.admin).get('/admin/v1/directory').buffer().expect(200);
      assert.doesNotMatch(text, /new/);
    });

    it('is exported in the form in which it is applied', async () => {
      const { text } = await request(server.admin).get('/admin/v1/directory').buffer().expect(200);
      assert.match(text, /path: acme\/app/);
      const { body } = await apply(text, '?prune=true').expect(200);
      assert.equal(body.changed, false);
    });

    it('prunes only when asked', async () => {
      const without = DOCUMENT.replace('acme/app', 'acme/other').replace('101', '102');
      assert.equal((await apply(without).expect(200)).body.sections.projects.removed, 0);
      assert.equal((await apply(without, '?prune=true').expect(200)).body.sections.projects.removed, 1);
      await apply(DOCUMENT, '?prune=true').expect(200);
    });

    it('is refused with a prune that is neither true nor false', async () => {
      for (const prune of ['yes', '', 'true&prune=false']) {
        assertError(await apply(DOCUMENT, `?prune=${prune}`), 400, 'INVALID');
      }
    });

    it('is refused when it is not UTF-8', async () => {
      const latin = Buffer.from(`${DOCUMENT}# Jürgen\n`, 'latin1');
      const sent = request(server.admin)
        .post('/admin/v1/directory')
        .type('application/yaml')
        .serialize((body) => body)
        .send(latin);
      assertError(await sent, 400, 'INVALID');
    });

    it('is refused when it is not YAML, with the line', async () => {
      const { body } = await apply('version: 1\nusers: [\n').expect(422);
      assert.ok(body.problems[0].line >= 2, JSON.stringify(body.problems));
    });
  });

  describe('the token of a CI job', () => {
    const put = (id: number | string, body: object | string) =>
      request(server.admin)
        .put(`/admin/v1/job-tokens/${id}`)
        .set('Content-Type', 'application/json')
        .send(body);
    const pull = (token: string) =>
      server.ask({ as: ['gitlab-ci-token', token], scope: 'repository:acme/app:pull,push' });

    it('works at once, and is gone at once', async () => {
      const token = secret('glcbt-');
      await put(501, { project: 'acme/app', user: 'alice', token }).expect(204);
      const { access } = await server.verify((await pull(token).expect(200)).body.token);
      assert.deepEqual(access[0]?.actions, ['pull', 'push']);
      await request(server.admin).delete('/admin/v1/job-tokens/501').expect(204);
      await pull(token).expect(401);
      await request(server.admin).delete('/admin/v1/job-tokens/501').expect(404);
    });

    it('may be given by its digest, and changed', async () => {
      const token = secret('glcbt-');
      const token_sha256 = createHash('sha256').update(token).digest('hex');
      await put(502, { project: 'acme/app', user: 'alice', token_sha256 }).expect(204);
      await pull(token).expect(200);
      await put(502, { project: 'acme/app', user: 'alice', token_sha256, running: false }).expect(204);
      await pull(token).expect(401);
    });

    it('ends by itself', async () => {
      const token = secret('glcbt-');
      const job = { project: 'acme/app', user: 'alice', token };
      await put(503, { ...job, expires_at: new Date(Date.now() + 60_000).toISOString() }).expect(204);
      const { expires_in } = (await pull(token).expect(200)).body;
      assert.ok(expires_in > 0 && expires_in <= 60, `${expires_in}`);
      await put(503, { ...job, expires_at: '2020-01-01T00:00:00Z' }).expect(204);
      await pull(token).expect(401);
    });

    it('may be of a job without a user, whose push is refused as a whole', async () => {
      const token = secret('glcbt-');
      await put(504, { project: 'acme/app', token }).expect(204);
      await pull(token).expect(403);
    });

    const token = secret('glcbt-');
    const wrong: [what: string, id: number | string, body: object | string, status: number][] = [
      ['an unknown project', 510, { project: 'acme/none', token }, 422],
      ['an unknown user', 510, { project: 'acme/app', user: 'nobody', token }, 422],
      ['no secret', 510, { project: 'acme/app' }, 422],
      ['two secrets', 510, { project: 'acme/app', token, token_sha256: '0'.repeat(64) }, 422],
      ['a short secret', 510, { project: 'acme/app', token: 'short' }, 422],
      ['an unknown member', 510, { project: 'acme/app', token, ruuning: true }, 422],
      ['an id that is no number', 'abc', { project: 'acme/app', token }, 422],
      ['an id of 0', 0, { project: 'acme/app', token }, 422],
      ['no JSON', 510, '{', 400],
    ];
    for (const [what, id, body, status] of wrong) {
      it(`is refused with ${what}`, async () => {
        await put(id, body).expect(status);
      });
    }

    it('is refused when another job has the same secret', async () => {
      await put(511, { project: 'acme/app', user: 'alice', token }).expect(204);
      await put(512, { project: 'acme/app', user: 'alice', token }).expect(409);
    });
  });

  it('lists keys with their state', async () => {
    const { body } = await request(server.admin).get('/admin/v1/keys').expect(200);
    const key = server.keyring.active();
    assert.deepEqual(
      body.keys.map(({ kid, thumbprint, state }: Record<string, string>) => [kid, thumbprint, state]),
      [[key.kid, key.thumbprint, 'active']],
    );
  });
});
