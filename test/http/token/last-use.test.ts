import assert from 'node:assert/strict';
import request from 'supertest';
import type { TokenPage } from '../../../src/http/types.ts';
import { ACME, LOGIN, REFUSED_LOGINS } from '../../support/directory/acme.ts';
import { startTestServer } from '../../support/server.ts';

describe('the last use of a token', () => {
  it('is of whoever came in, also where nothing was granted, and of nobody who was refused', async () => {
    const server = await startTestServer();
    try {
      await server.apply(ACME);
      const used = async (): Promise<string[]> => {
        await server.ask();
        const page = await fetchTokens(server);
        return page
          .filter(({ last_used_at }) => last_used_at !== null)
          .map(({ name, username }) => name ?? username);
      };
      for (const [, as] of REFUSED_LOGINS) await server.ask({ as, scope: 'repository:acme/app:pull' });
      assert.deepEqual(await used(), []);
      await server.ask({ as: LOGIN.powerless, scope: 'repository:acme/app:pull' }).expect(403);
      await server.ask({ as: LOGIN.reader }).expect(200);
      await server.ask({ as: LOGIN.deployer, service: 'nobody' }).expect(404);
      await server.ask({ as: LOGIN.alice }).expect(200);
      assert.deepEqual((await used()).sort(), ['deployer', 'powerless', 'reader']);
    } finally {
      await server.close();
    }
  });

  it('costs a request nothing: it is asked once, and the rest comes later', async () => {
    const server = await startTestServer();
    await server.apply(ACME);
    const { query } = server.database;
    let hang = (): void => undefined;
    const hanging = new Promise<void>((resolve) => {
      hang = resolve;
    });
    const names: string[] = [];
    server.database.query = (async (statement, params) => {
      if (typeof statement === 'string' && statement.includes('last_used_at')) await hanging;
      else names.push(typeof statement === 'string' ? statement : statement.name);
      return query.call(server.database, statement, params);
    }) as typeof query;
    try {
      await server.ask({ as: LOGIN.reader, scope: 'repository:acme/app:pull' }).expect(200);
      assert.deepEqual(
        names.filter((name) => /^(find|ask)-/.test(name)),
        ['ask-token'],
      );
    } finally {
      hang();
      server.database.query = query;
      await server.close();
    }
  });
});

async function fetchTokens(server: Awaited<ReturnType<typeof startTestServer>>) {
  const { body } = await request(server.admin).get('/admin/v1/tokens').expect(200);
  return (body as TokenPage).tokens;
}
