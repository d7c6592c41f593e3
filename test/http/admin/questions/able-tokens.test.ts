import assert from 'node:assert/strict';
import request from 'supertest';
import { startTestServer, type TestServer } from '../../../support/server.ts';
import { COMPANY, NOW } from './company.ts';

describe('token list by what tokens can', () => {
  let server: TestServer;

  before(async () => {
    server = await startTestServer({ now: () => NOW });
    await server.apply(COMPANY);
    await server.apply({ groups: [{ path: 'acme/sub' }], projects: [{ path: 'acme/sub/deep' }] });
  });
  after(() => server.close());

  const list = async (query: object): Promise<{ ids: string[]; next: string | null }> => {
    const { body } = await request(server.admin).get('/admin/v1/tokens').query(query).expect(200);
    return { ids: body.tokens.map(({ id }: { id: string }) => id), next: body.next };
  };

  const PUSHERS = ['access-503', 'access-504', 'access-505', 'deploy-702'];
  const ROWS: [title: string, query: object, expected: string[]][] = [
    ['those that can push', { can: 'push', under: 'acme' }, PUSHERS],
    ['those that can push anywhere', { can: 'push' }, PUSHERS],
    [
      'those that can pull, but not what is only public',
      { can: 'pull', under: 'acme' },
      ['access-501', 'access-503', 'access-504', 'access-505', 'deploy-701'],
    ],
    ['those that reach a group from above', { can: 'push', under: 'Acme/Sub' }, ['access-503', 'access-505']],
    ['deploy tokens from above, too', { can: 'pull', under: 'acme/sub', kind: 'deploy' }, ['deploy-701']],
    ['none whose scope is too narrow', { can: 'push', under: 'office' }, []],
    ['those of a personal namespace', { can: 'pull', under: 'alice' }, ['access-501']],
    ['only those that match all else', { can: 'push', under: 'acme', kind: 'group' }, ['access-505']],
  ];
  for (const [title, query, expected] of ROWS) {
    it(`has ${title}`, async () => {
      assert.deepEqual(await list(query), { ids: expected, next: null });
    });
  }

  it('comes in pages', async () => {
    const first = await list({ can: 'push', under: 'acme', limit: 3 });
    assert.deepEqual(first.ids, PUSHERS.slice(0, 3));
    const second = await list({ can: 'push', under: 'acme', limit: 3, after: first.next });
    assert.deepEqual(second, { ids: PUSHERS.slice(3), next: null });
  });

  const WRONG: [title: string, query: object, status: number][] = [
    ['a group without an action', { under: 'acme' }, 422],
    ['an unknown group', { can: 'push', under: 'none' }, 404],
    ['an unknown action', { can: 'shove', under: 'acme' }, 422],
  ];
  for (const [title, query, status] of WRONG) {
    it(`refuses ${title}`, async () => {
      await request(server.admin).get('/admin/v1/tokens').query(query).expect(status);
    });
  }
});
