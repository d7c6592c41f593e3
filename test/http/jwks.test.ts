import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import request from 'supertest';
import { startTestServer, type TestServer } from '../support/server.ts';

describe('what registries verify with', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.close());

  const jwks = () => request(server.app).get('/.well-known/jwks.json');

  it('is a JWK Set that lists each key under both ids', async () => {
    const { body, headers } = await jwks().expect(200);
    const key = server.keyring.active();
    assert.deepEqual(
      new Set(body.keys.map(({ kid }: { kid: string }) => kid)),
      new Set([key.kid, key.thumbprint]),
    );
    assert.match(headers['content-type'] ?? '', /^application\/json/);
  });

  it('has no private members', async () => {
    const { body } = await jwks();
    for (const key of body.keys)
      assert.deepEqual(Object.keys(key).sort(), ['alg', 'e', 'kid', 'kty', 'n', 'use']);
  });

  it('may be kept for at most half of the time that a key is published before it signs', async () => {
    const { headers } = await jwks();
    assert.equal(headers['cache-control'], 'public, max-age=150');
  });

  it('is not sent again to whoever has it', async () => {
    const first = await jwks();
    const etag = first.headers['etag'] ?? '';
    assert.match(etag, /^"[^"]+"$/);
    const again = await jwks().set('If-None-Match', etag).expect(304);
    assert.equal(again.text, '');
    await jwks().set('If-None-Match', '"another"').expect(200);
  });

  it('is a CA certificate, in PEM', async () => {
    const { text } = await request(server.app).get('/.well-known/token-ca.pem').buffer().expect(200);
    assert.equal(new X509Certificate(text).ca, true);
    assert.doesNotMatch(text, /PRIVATE/);
  });

  it('is on the admin listener, too', async () => {
    await request(server.admin).get('/.well-known/jwks.json').expect(200);
    await request(server.admin).get('/.well-known/token-ca.pem').expect(200);
  });
});
