import assert from 'node:assert/strict';
import request, { type Test } from 'supertest';
import type { AdminTokenBody } from '../../../src/http/types.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { sharedPostgres } from '../../support/database/postgres.ts';
import { type Relay, startRelay } from '../../support/database/relay.ts';
import { assertError } from '../../support/reading.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

type Created = AdminTokenBody & { readonly token: string };

const MINUTE_MS = 60_000;
const NOBODY = `cpat-${'A'.repeat(43)}`;

describe('the admin API over TCP', () => {
  let server: TestServer;
  let relay: Relay;
  let now = new Date();
  before(async () => {
    relay = await startRelay(await (await sharedPostgres()).createMigratedDatabase());
    server = await startTestServer({
      openDatabase: async () => openPostgres(relay.url),
      now: () => now,
    });
  });
  beforeEach(() => {
    now = new Date();
  });
  after(async () => {
    await server.close();
    await relay.close();
  });

  const create = (order: object): Test =>
    request(server.admin)
      .post('/admin/v1/admin-tokens')
      .send({ role: 'all', ...order });
  const created = async (order: object = {}): Promise<Created> =>
    (await create({ name: 'ci', ...order }).expect(201)).body;
  const get = (token: string, path = '/admin/v1/keys'): Test =>
    request(server.remoteAdmin).get(path).set('Authorization', `Bearer ${token}`);
  const revoke = (id: number | string): Test =>
    request(server.admin).post(`/admin/v1/admin-tokens/${id}/revoke`);
  const listed = async (id: number): Promise<AdminTokenBody> => {
    const { body } = await request(server.admin).get('/admin/v1/admin-tokens').expect(200);
    return body.admin_tokens.find((token: AdminTokenBody) => token.id === id);
  };

  describe('needs a token', () => {
    let token: string;
    before(async () => {
      token = (await created()).token;
    });

    for (const path of ['/admin/v1/keys', '/metrics', '/openapi.json', '/.well-known/jwks.json', '/readyz']) {
      it(`and with one answers ${path}`, async () => {
        await get(token, path).expect(200);
      });
    }

    it('and takes the scheme in any case (RFC 9110 section 11.1)', async () => {
      for (const scheme of ['bearer', 'BEARER']) {
        const sent = request(server.remoteAdmin).get('/admin/v1/keys');
        await sent.set('Authorization', `${scheme} ${token}`).expect(200);
      }
    });

    const basic = (user: string, password: string): string =>
      `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
    const wrong: [what: string, header: (token: string) => string | undefined][] = [
      ['no header', () => undefined],
      ['an empty one', () => ''],
      ['the scheme alone', () => 'Bearer'],
      ['the token without a scheme', (good) => good],
      ['another scheme', (good) => `Token ${good}`],
      ['the token as a password', (good) => basic('admin', good)],
      ['the token as a user', (good) => basic(good, '')],
      ['an unknown token', () => `Bearer ${NOBODY}`],
      ['a token cut short', (good) => `Bearer ${good.slice(0, -1)}`],
      ['a token with more behind it', (good) => `Bearer ${good}A`],
      ['a token in capitals', (good) => `Bearer ${good.toUpperCase()}`],
      ['two tokens', (good) => `Bearer ${good} ${good}`],
      ['two tokens with a comma', (good) => `Bearer ${NOBODY}, Bearer ${good}`],
      ['a token between quotes', (good) => `Bearer "${good}"`],
    ];
    for (const [what, header] of wrong) {
      it(`and refuses ${what}`, async () => {
        const value = header(token);
        const sent = request(server.remoteAdmin).get('/admin/v1/keys');
        const answer = await (value === undefined ? sent : sent.set('Authorization', value));
        assert.equal(
          assertError(answer, 401, 'UNAUTHORIZED'),
          'this needs a valid admin token: send one as "Authorization: Bearer cpat-…"',
        );
        assert.equal(answer.headers['www-authenticate'], 'Bearer realm="cellpass admin"');
      });
    }

    it('in the header: in the query or a form it is none', async () => {
      await request(server.remoteAdmin).get(`/admin/v1/keys?access_token=${token}`).expect(401);
      const form = request(server.remoteAdmin).post('/admin/v1/keys/stage').type('form');
      await form.send({ access_token: token }).expect(401);
    });

    it('before it says whether there is anything at a path', async () => {
      for (const path of ['/', '/nowhere', '/admin/v1/keys/', '/admin']) {
        assertError(await request(server.remoteAdmin).get(path), 401, 'UNAUTHORIZED');
        assertError(await get(token, path), 404, 'UNSUPPORTED');
      }
      assertError(await request(server.remoteAdmin).patch('/admin/v1/keys'), 401, 'UNAUTHORIZED');
    });

    it('which opens nothing on the public listener, nor is it a registry credential', async () => {
      await request(server.app).get('/admin/v1/keys').set('Authorization', `Bearer ${token}`).expect(404);
      await server.ask({ as: ['root', token] }).expect(401);
      await server.ask({ as: ['ci', token] }).expect(401);
    });

    it('and takes documents as large as the socket does', async () => {
      const apply = (document: string): Test =>
        request(server.remoteAdmin)
          .post('/admin/v1/directory')
          .set('Authorization', `Bearer ${token}`)
          .type('application/yaml')
          .serialize((text) => text)
          .send(document);
      const large = `version: 1\n#${'x'.repeat(1024 * 1024)}\n`;
      await apply(large).expect(200);
      assertError(await apply(`#${'x'.repeat(17 * 1024 * 1024)}`), 400, 'SIZE_INVALID');
    });
  });

  it('refuses a token from when it expires', async () => {
    const expires_at = new Date(now.getTime() + MINUTE_MS).toISOString();
    const { token } = await created({ expires_at });
    await get(token).expect(200);
    now = new Date(new Date(expires_at).getTime() - 1);
    await get(token).expect(200);
    now = new Date(expires_at);
    await get(token).expect(401);
  });

  it('refuses a revoked token at once, and for ever', async () => {
    const { id, token } = await created();
    await get(token).expect(200);
    const { body } = await revoke(id).expect(200);
    await get(token).expect(401);
    assert.deepEqual((await revoke(id).expect(200)).body, body);
    await get(token).expect(401);
  });

  it('says 503, not 401, when the database is away', async () => {
    const { token } = await created();
    await relay.cut();
    try {
      assertError(await get(token), 503, 'UNAVAILABLE');
      assertError(await get(NOBODY), 503, 'UNAVAILABLE');
      // What can't be a token needs no look-up.
      assertError(await get('none'), 401, 'UNAUTHORIZED');
    } finally {
      await relay.mend();
    }
    await get(token).expect(200);
  });

  it('remembers when a token was last used, and writes that once a minute', async () => {
    const { id, token } = await created();
    assert.equal((await listed(id)).last_used_at, null);
    const first = now;
    const moments: [afterMs: number, rememberedMs: number][] = [
      [0, 0],
      [MINUTE_MS, 0],
      [MINUTE_MS + 1, MINUTE_MS + 1],
    ];
    for (const [afterMs, rememberedMs] of moments) {
      now = new Date(first.getTime() + afterMs);
      await get(token).expect(200);
      const { last_used_at } = await listed(id);
      assert.equal(new Date(last_used_at ?? 0).getTime() - first.getTime(), rememberedMs);
    }
  });

  it('writes what was done under the name of the token, whatever the client calls itself', async () => {
    const { id, token } = await created({ name: 'deploy bot' });
    const stage = request(server.remoteAdmin).post('/admin/v1/keys/stage');
    await stage
      .set('Authorization', `Bearer ${token}`)
      .set('Cellpass-Actor', 'root) admin socket (root')
      .expect(200);
    const { body } = await get(token, '/admin/v1/keys/history').expect(200);
    assert.equal(body.events[0].actor, `admin token deploy bot (${id})`);
    const line = server.log.findLast(({ path }) => path === '/admin/v1/keys/stage');
    assert.equal(line?.['admin'], `admin token deploy bot (${id})`);
  });

  it('makes no token by a token, but lists and revokes them', async () => {
    const { token } = await created();
    const other = await created();
    const remote = (path: string): Test =>
      request(server.remoteAdmin).post(path).set('Authorization', `Bearer ${token}`);
    const refused = await remote('/admin/v1/admin-tokens').send({ name: 'heir' });
    assert.match(assertError(refused, 403, 'DENIED'), /admin socket/);
    const { body } = await get(token, '/admin/v1/admin-tokens').expect(200);
    assert.ok(body.admin_tokens.some(({ id }: AdminTokenBody) => id === other.id));
    await remote(`/admin/v1/admin-tokens/${other.id}/revoke`).expect(200);
    await get(other.token).expect(401);
  });

  describe('a new token', () => {
    it('is named, told once, and kept as a digest', async () => {
      const response = await create({ name: 'once' })
        .set('Cellpass-Actor', 'alice')
        .expect(201)
        .expect('Cache-Control', 'no-store');
      const { token, ...facts }: Created = response.body;
      assert.deepEqual(await listed(facts.id), facts);
      assert.deepEqual([facts.name, facts.created_by], ['once', 'admin socket (alice)']);
      assert.deepEqual([facts.expires_at, facts.revoked_at], [null, null]);
      const rows = await server.database.query(
        'SELECT t::text AS row FROM admin_tokens t UNION ALL SELECT e::text FROM audit_events e',
      );
      assert.ok(!JSON.stringify([rows, server.log]).includes(token.slice('cpat-'.length)));
    });

    it('is in the audit record, and so is its end, once', async () => {
      const { id } = await created({ name: 'noted' });
      await revoke(id);
      await revoke(id);
      const events = await server.database.query(
        "SELECT actor, action, subject FROM audit_events WHERE area = 'admin_tokens' AND subject = $1 ORDER BY id",
        [`noted (${id})`],
      );
      assert.deepEqual(
        events.map(({ action }) => action),
        ['create', 'revoke'],
      );
    });

    it('ends at the first moment of a date', async () => {
      const { expires_at } = await created({ expires_at: '2999-01-31' });
      assert.equal(expires_at, '2999-01-31T00:00:00.000Z');
    });

    const refused: [what: string, order: object | string, status: number][] = [
      ['no name', {}, 422],
      ['an empty name', { name: '' }, 422],
      ['a name that could pass for another actor', { name: 'x) admin socket (root' }, 422],
      ['a name of two lines', { name: 'a\nb' }, 422],
      ['a name that is too long', { name: 'n'.repeat(65) }, 422],
      ['an end in the past', { name: 'ci', expires_at: '2020-01-31' }, 422],
      ['an end that is no date', { name: 'ci', expires_at: 'tomorrow' }, 422],
      ['an end that does not exist', { name: 'ci', expires_at: '2999-02-30' }, 422],
      ['a secret of its own', { name: 'ci', token: NOBODY }, 422],
      ['no JSON', '{', 400],
    ];
    for (const [what, order, status] of refused) {
      it(`is refused with ${what}`, async () => {
        await request(server.admin)
          .post('/admin/v1/admin-tokens')
          .set('Content-Type', 'application/json')
          .send(order)
          .expect(status);
      });
    }

    it('that is not there can not be revoked', async () => {
      assertError(await revoke(999_999), 404, 'NOT_FOUND');
      assertError(await revoke('abc'), 422, 'INVALID');
      assertError(await revoke(0), 422, 'INVALID');
    });
  });
});
