import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import request from 'supertest';
import { parse } from 'yaml';
import { ADMIN_ROLES, type AdminRole } from '../../../src/authn/admin-role.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

interface Operation {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  readonly path: string;
  readonly role: string | undefined;
}

const METHODS = ['get', 'post', 'put', 'delete'] as const;

/** Every operation of the admin API in the contract. */
function operations(): readonly Operation[] {
  const { paths } = parse(readFileSync('openapi/openapi.yaml', 'utf8'));
  return Object.entries<Record<string, { 'x-admin-role'?: string; security?: unknown[] }>>(paths).flatMap(
    ([path, item]) =>
      METHODS.flatMap((method) => {
        const operation = item[method];
        if (operation === undefined || !(path.startsWith('/admin/v1/') || path === '/metrics')) return [];
        return [{ method, path, role: operation['x-admin-role'] }];
      }),
  );
}

/** Who may do what, as docs/admin-api.md has it. */
const MAY: Readonly<Record<string, readonly AdminRole[]>> = {
  read: ['read', 'directory', 'keys', 'all'],
  directory: ['directory', 'all'],
  keys: ['keys', 'all'],
  all: ['all'],
};
/** Over the socket alone, whatever the role. */
const SOCKET_ONLY = 'post /admin/v1/admin-tokens';

describe('the roles of admin tokens', () => {
  let server: TestServer;
  const tokens = new Map<AdminRole, string>();
  before(async () => {
    server = await startTestServer();
    for (const role of ADMIN_ROLES) {
      const { body } = await request(server.admin)
        .post('/admin/v1/admin-tokens')
        .send({ name: role, role })
        .expect(201);
      assert.equal(body.role, role);
      tokens.set(role, body.token);
    }
  });
  after(() => server.close());

  it('are named by the contract for each operation that changes something', () => {
    const found = operations();
    assert.ok(found.length > 30, String(found.length));
    const missing = found.filter(({ method, role }) => method !== 'get' && role === undefined);
    assert.deepEqual(missing, []);
  });

  for (const { method, path, role: needed = 'read' } of operations()) {
    it(`${method} ${path} is for ${needed}`, async () => {
      const target = path.replaceAll(/\{[^}]+\}/g, '9');
      for (const role of ADMIN_ROLES) {
        const answer = await request(server.remoteAdmin)
          [method](target)
          .set('Authorization', `Bearer ${tokens.get(role)}`)
          .set('Content-Type', 'application/json')
          // No operation takes it, so that nothing happens where the role is enough.
          .send(method === 'get' ? undefined : '{"unknown": true}');
        const mayPass = MAY[needed]!.includes(role) && `${method} ${path}` !== SOCKET_ONLY;
        assert.equal(answer.status !== 403, mayPass, `${role}: ${answer.status}`);
        if (mayPass || `${method} ${path}` === SOCKET_ONLY) continue;
        assert.match(
          answer.body.errors[0].message,
          new RegExp(`role (${needed} or )?all; this one has ${role}`),
        );
      }
    });
  }

  it('are read where none is named, and all over the socket', async () => {
    const { body } = await request(server.admin)
      .post('/admin/v1/admin-tokens')
      .send({ name: 'plain' })
      .expect(201);
    assert.equal(body.role, 'read');
    await request(server.admin)
      .post('/admin/v1/directory')
      .type('application/yaml')
      .send('version: 1')
      .expect(200);
  });

  it('close an operation that the contract does not know', async () => {
    const ask = (role: AdminRole) =>
      request(server.remoteAdmin)
        .post('/admin/v1/new')
        .set('Authorization', `Bearer ${tokens.get(role)}`);
    for (const role of ADMIN_ROLES) assert.equal((await ask(role)).status, 404);
  });

  it('stay all for tokens of before', async () => {
    await server.database.query(
      "INSERT INTO admin_tokens (name, token_sha256, created_at, created_by) VALUES ('old', decode(repeat('00', 32), 'hex'), now(), 'x')",
    );
    const { body } = await request(server.admin).get('/admin/v1/admin-tokens');
    assert.equal(body.admin_tokens.find(({ name }: { name: string }) => name === 'old').role, 'all');
  });
});
