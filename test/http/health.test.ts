import assert from 'node:assert/strict';
import request from 'supertest';
import { startTestServer } from '../support/server.ts';

describe('health', () => {
  it('is alive and ready', async () => {
    const server = await startTestServer();
    for (const path of ['/healthz', '/readyz']) {
      const { body } = await request(server.app).get(path).expect(200);
      assert.deepEqual(body, { status: 'ok' });
    }
    await server.close();
  });

  it('is alive but not ready while it drains', async () => {
    const server = await startTestServer({ isDraining: () => true });
    await request(server.app).get('/healthz').expect(200);
    const { headers } = await request(server.app).get('/readyz').expect(503);
    assert.equal(headers['retry-after'], '1');
    await server.close();
  });

  it('is alive but not ready without its database', async () => {
    const server = await startTestServer();
    await server.database.close();
    await request(server.app).get('/healthz').expect(200);
    await request(server.app).get('/readyz').expect(503);
    await server.close().catch(() => undefined);
  });
});
