import assert from 'node:assert/strict';
import type { Subject } from '../../src/policy/subject.ts';
import { ANONYMOUS } from '../../src/policy/subject.ts';
import { createLastUse } from '../../src/records/last-use.ts';
import { printTokenId } from '../../src/store/directory/token-id.ts';
import type { TokenUse } from '../../src/store/directory/tokens.ts';

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
