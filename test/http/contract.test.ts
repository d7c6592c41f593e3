import assert from 'node:assert/strict';
import type Router from '@koa/router';
import request from 'supertest';
import { type AdminDeps, createAdminApp, createApp, type PublicDeps } from '../../src/app.ts';
import { loadContract } from '../../src/http/contract.ts';
import { CONTRACT, violationsOf } from '../support/contract.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const METHODS = ['get', 'post', 'put', 'delete', 'patch'] as const;
const PUBLIC = [
  '/jwt/auth',
  '/auth/token',
  '/.well-known/jwks.json',
  '/.well-known/token-ca.pem',
  '/healthz',
  '/readyz',
];

/** Every path of the contract, with something in place of its parameters. */
const PATHS = Object.keys(CONTRACT.paths).map((path) => [path, path.replaceAll(/\{[^}]+\}/g, '1')] as const);

/** Enough to lay out the routes; nothing is asked. */
const NO_DEPS = {
  token: { corsOrigins: new Set() },
  requests: { count: () => undefined },
  refusals: {},
  audit: {},
  readiness: {},
  contract: loadContract(),
  explain: {},
  propagationSeconds: 300,
};
const DEPS = NO_DEPS as unknown as PublicDeps & AdminDeps;

/** `get /path/{parameter}` of every route of an app. */
function routesOf(app: { readonly middleware: readonly unknown[] }): readonly string[] {
  const layers = app.middleware.flatMap(
    (middleware) => (middleware as { readonly router?: Router }).router?.stack ?? [],
  );
  return layers.flatMap(({ path, methods }) => {
    const template = String(path).replaceAll(/:([^/]+)/g, '{$1}');
    return methods
      .filter((method) => method !== 'HEAD')
      .map((method) => `${method.toLowerCase()} ${template}`);
  });
}

describe('the contract', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.close());

  const ask = (app: TestServer['app'], method: (typeof METHODS)[number], path: string) =>
    request(app)
      [method](path)
      .ok(() => true);

  for (const [template, path] of PATHS) {
    it(`${template}: what it says is there, and nothing else is`, async () => {
      const isPublic = PUBLIC.includes(template);
      const app =
        isPublic && (template === '/jwt/auth' || template === '/auth/token') ? server.app : server.admin;
      for (const method of METHODS) {
        const { status, body } = await ask(app, method, path);
        const isDeclared = method in (CONTRACT.paths[template] ?? {});
        const isMissing =
          status === 405 || (status === 404 && body.errors[0].message === 'there is nothing at this path');
        assert.equal(isMissing, !isDeclared, `${method} ${path}: ${status}`);
      }
    });

    it(`${template} is ${PUBLIC.includes(template) ? '' : 'not '}public`, async () => {
      const { status, body } = await ask(server.app, 'get', path);
      const isMissing = status === 404 && body.errors?.[0]?.message === 'there is nothing at this path';
      assert.equal(isMissing, !PUBLIC.includes(template), `${status}`);
    });
  }

  it('has every route of both listeners, and they have every one of its', () => {
    const declared = Object.entries(CONTRACT.paths).flatMap(([path, operations]) =>
      Object.keys(operations)
        .filter((verb) => METHODS.some((method) => method === verb))
        .map((method) => `${method} ${path}`),
    );
    const isPublic = (route: string): boolean => PUBLIC.includes(route.split(' ')[1] ?? '');
    assert.deepEqual([...routesOf(createApp(DEPS))].sort(), declared.filter(isPublic).sort());
    const both = new Set([...routesOf(createApp(DEPS)), ...routesOf(createAdminApp(DEPS))]);
    assert.deepEqual([...both].sort(), declared.sort());
  });

  it('is served, for whoever writes a client', async () => {
    const { body } = await request(server.admin).get('/openapi.json').expect(200);
    assert.deepEqual(Object.keys(body.paths), Object.keys(CONTRACT.paths));
  });

  it('allows what a path takes, in the header', async () => {
    const { headers } = await request(server.app).delete('/jwt/auth').expect(405);
    assert.equal(headers['allow'], 'HEAD, GET, POST');
  });
});

describe('holding answers against the contract', () => {
  const json = { 'content-type': 'application/json; charset=utf-8' };
  const id = '0b8b8a3e-9d3a-4c1e-8f43-2f2a52f0a1aa';
  const error = JSON.stringify({ errors: [{ code: 'DENIED', message: 'no', detail: `request ${id}` }] });
  const rows: [what: string, exchange: Partial<Parameters<typeof violationsOf>[0]>, noticed: boolean][] = [
    ['a good answer', { body: '{"token":"a.b.c","access_token":"a.b.c","expires_in":300}' }, false],
    ['a member too many', { body: '{"token":"a.b.c","access_token":"a.b.c","expires_in":300,"x":1}' }, true],
    ['a member too few', { body: '{"token":"a.b.c","expires_in":300}' }, true],
    [
      'a number that is no integer',
      { body: '{"token":"a.b.c","access_token":"a.b.c","expires_in":3.5}' },
      true,
    ],
    ['a status that is not there', { status: 418, body: error }, true],
    ['another content type', { headers: { 'content-type': 'text/html' }, body: '<p>' }, true],
    ['a good error', { status: 403, body: error }, false],
    ['an error without its id', { status: 403, body: error.replace(id, '') }, true],
    ['a 401 without a challenge', { status: 401, body: error }, true],
    ['a 503 without Retry-After', { status: 503, body: error }, true],
    ['an unknown path that answers like all', { path: '/nowhere', status: 404, body: error }, false],
    ['an unknown path that answers bare', { path: '/nowhere', status: 404, body: '{}' }, true],
    ['an unknown path that answers at all', { path: '/nowhere', status: 200, body: '{}' }, true],
  ];
  for (const [what, exchange, noticed] of rows) {
    it(`${noticed ? 'notices' : 'lets pass'} ${what}`, () => {
      const full = { method: 'GET', path: '/jwt/auth', status: 200, headers: json, body: '', ...exchange };
      assert.equal(violationsOf(full).length > 0, noticed);
    });
  }
});
