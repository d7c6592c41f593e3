import assert from 'node:assert/strict';
import { decodeJwt } from 'jose';
import request from 'supertest';
import type { IssuedTokenPageView } from '../../../src/http/types.ts';
import { ACME, LOGIN } from '../../support/directory/acme.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const PULL = 'repository:acme/site:pull';

describe('the record of issued tokens over the admin API', () => {
  let server: TestServer;
  let jti: string;
  let requestId: string;
  before(async () => {
    server = await startTestServer();
    await server.apply(ACME);
    const { body, headers } = await server.ask({ as: LOGIN.api, scope: PULL, ip: '203.0.113.7' });
    jti = String(decodeJwt(body.token).jti);
    requestId = String(headers['x-request-id']);
    await server.ask({ scope: PULL });
  });
  after(() => server.close());

  const get = (query: string, status = 200) =>
    request(server.admin).get(`/admin/v1/issued-tokens?${query}`).expect(status);
  const list = async (query: string): Promise<IssuedTokenPageView> => (await get(query)).body;

  it('has a token at once, with all that is known of it', async () => {
    const { tokens, next } = await list('repository=acme/site&subject=alice');
    const [{ issued_at, expires_at, ...token } = { issued_at: '', expires_at: '' }, ...others] = tokens;
    assert.deepEqual([others, next], [[], null]);
    assert.deepEqual(token, {
      jti,
      kid: server.keyring.active().kid,
      subject: 'alice',
      auth_type: 'personal_access_token',
      service: 'container_registry',
      access: [{ type: 'repository', name: 'acme/site', actions: ['pull'] }],
      address: '203.0.113.7',
      request_id: requestId,
      cell: 1,
      credential: 'access-1',
    });
    assert.ok(Date.parse(issued_at) < Date.parse(expires_at));
  });

  const DAY_MS = 24 * 3_600_000;
  const moment = (ms: number): string => new Date(Date.now() + ms).toISOString();
  const counts: [what: string, query: () => string, count: number][] = [
    ['the last day', () => '', 2],
    ['nobody', () => 'subject=', 1],
    ['an unknown subject', () => 'subject=nobody', 0],
    ['an id', () => `jti=${jti}`, 1],
    ['an id in upper case', () => `jti=${jti.toUpperCase()}`, 1],
    ['a token of the directory', () => 'credential=access-1', 1],
    ['another token', () => 'credential=access-2', 0],
    ['anonymous clients', () => 'credential=anonymous', 1],
    ['passwords', () => 'credential=password', 0],
    ['a key', () => `kid=${encodeURIComponent(server.keyring.active().kid)}`, 2],
    ['another key', () => 'kid=another', 0],
    ['two days around now', () => `since=${moment(-DAY_MS)}&until=${moment(DAY_MS)}`, 2],
    ['tomorrow', () => `since=${moment(DAY_MS)}`, 0],
    ['the day before yesterday', () => `until=${moment(-DAY_MS)}`, 0],
    ['since a date', () => 'since=2026-01-01', 2],
  ];
  for (const [what, query, count] of counts) {
    it(`has ${count} for ${what}`, async () => {
      assert.equal((await list(query())).tokens.length, count);
    });
  }

  it('comes page by page, the latest first', async () => {
    const first = await list('limit=1');
    const second = await list(`limit=1&after=${first.next}`);
    assert.deepEqual([first.tokens[0]?.auth_type, second.tokens[0]?.jti, second.next], ['none', jti, null]);
  });

  const wrong = [
    'jti=1',
    'limit=0',
    'limit=1001',
    'since=yesterday',
    'since=2026-11-24T00:00:00',
    'since=2026-02-30',
    'until=1969-12-31',
    'since=2026-11-24&until=2026-11-24',
    'after=x',
    'after=2026-11-24T00:00:00.000Z_x',
    'subject=a&subject=b',
    'subject=%00',
    'repository=%00',
    'kid=%00',
    'credential=access',
    'credential=access-0',
    'credential=',
  ];
  for (const query of wrong) it(`${query} is 422`, () => get(query, 422));

  it('needs an admin token over TCP, and has no place among what clients see', async () => {
    await request(server.remoteAdmin).get('/admin/v1/issued-tokens').expect(401);
    await request(server.app).get('/admin/v1/issued-tokens').expect(404);
  });
});
