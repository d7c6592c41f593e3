import assert from 'node:assert/strict';
import request from 'supertest';
import { createLastUse } from '../../../src/http/token/last-use.ts';
import type { TokenPage } from '../../../src/http/types.ts';
import type { Subject } from '../../../src/policy/subject.ts';
import { ANONYMOUS } from '../../../src/policy/subject.ts';
import { printTokenId } from '../../../src/store/directory/token-id.ts';
import type { TokenUse } from '../../../src/store/directory/tokens.ts';
import { ACME, LOGIN, REFUSED_LOGINS } from '../../support/directory/acme.ts';
import { startTestServer } from '../../support/server.ts';

const AT = new Date('2026-11-24T12:00:00Z');
const MINUTE_MS = 60_000;

function deployToken(deployTokenId: number): Subject {
  return {
    kind: 'deploy_token',
    deployTokenId,
    username: 'puller',
    tokenScopes: [],
    abilities: new Set(),
    expiresAt: null,
  };
}

function user(accessTokenId?: number): Subject {
  return {
    kind: 'user',
    authType: 'gitlab_or_ldap',
    person: { id: 1, username: 'alice', admin: false, auditor: false, external: false },
    tokenScopes: null,
    abilities: new Set(),
    expiresAt: null,
    ...(accessTokenId !== undefined && { accessTokenId }),
  };
}

describe('noting the last use of tokens', () => {
  let batches: string[][];
  let warnings: object[];
  let clockMs: number;
  beforeEach(() => {
    batches = [];
    warnings = [];
    clockMs = 0;
  });

  const start = (save?: (uses: readonly TokenUse[]) => Promise<void>) => {
    const log = {
      debug: () => undefined,
      info: () => undefined,
      warn: (fields: object) => void warnings.push(fields),
      error: () => undefined,
    };
    const keep = async (uses: readonly TokenUse[]): Promise<void> =>
      void batches.push(uses.map(({ key }) => printTokenId(key)));
    return createLastUse({ save: save ?? keep, log, monotonicMs: () => clockMs });
  };

  it('writes each token once, however often it comes, and nothing of whoever has none', async () => {
    const lastUse = start();
    for (const subject of [user(1), deployToken(1), user(1), ANONYMOUS, user(), user(2)])
      lastUse.note(subject, AT);
    await lastUse.flush();
    await lastUse.flush();
    assert.deepEqual(batches, [['access-1', 'deploy-1', 'access-2']]);
    await lastUse.close();
  });

  it('writes it again after five minutes, and what is waiting at the end', async () => {
    const lastUse = start();
    for (const minutes of [0, 4.9, 5.1]) {
      clockMs = minutes * MINUTE_MS;
      lastUse.note(user(1), AT);
      await lastUse.flush();
    }
    assert.equal(batches.length, 2);
    lastUse.note(user(2), AT);
    await lastUse.close();
    assert.deepEqual(batches.at(-1), ['access-2']);
  });

  it('fails nothing when it can not write, and writes the next use', async () => {
    let away = true;
    const lastUse = start(async (uses) => {
      if (away) throw new Error('away');
      batches.push(uses.map(({ key }) => printTokenId(key)));
    });
    lastUse.note(user(1), AT);
    await lastUse.flush();
    assert.equal(warnings.length, 1);
    away = false;
    lastUse.note(user(1), AT);
    await lastUse.close();
    assert.deepEqual(batches, [['access-1']]);
  });

  it('holds a bounded number, and what was too much is written when it comes again', async () => {
    const lastUse = start();
    for (let id = 1; id <= 6000; id++) lastUse.note(user(id), AT);
    await lastUse.flush();
    lastUse.note(user(1), AT);
    lastUse.note(user(6000), AT);
    await lastUse.close();
    assert.deepEqual([batches[0]?.length, batches[1]], [5000, ['access-6000']]);
  });
});

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
