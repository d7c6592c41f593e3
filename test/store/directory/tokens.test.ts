import assert from 'node:assert/strict';
import { readTokenId } from '../../../src/store/directory/token-id.ts';
import {
  findToken,
  listTokens,
  revokeSecrets,
  revokeToken,
  saveTokenUses,
  type TokenUse,
} from '../../../src/store/directory/tokens.ts';
import { describeOnBoth } from '../../support/directory/document.ts';

const NOW = new Date('2026-11-24T12:00:00Z');
const GRANULARITY_MS = 300_000;
const minutesLater = (minutes: number): Date => new Date(NOW.getTime() + minutes * 60_000);
const access = (number: number, at = NOW): TokenUse => ({ key: { table: 'access', number }, at });
const deploy = (number: number, at = NOW): TokenUse => ({ key: { table: 'deploy', number }, at });

const secret = (at: number) => ({ token_sha256: String(at).padStart(64, '0') });
const DIRECTORY = {
  users: [{ username: 'alice', id: 11 }],
  groups: [{ path: 'acme', id: 20 }],
  access_tokens: [1, 2, 3].map((id) => ({
    id,
    name: `token ${id}`,
    kind: 'personal',
    user: 'alice',
    scopes: ['api'],
    expires_at: '2027-01-31',
    ...secret(id),
  })),
  deploy_tokens: [
    {
      id: 1,
      username: 'puller',
      group: 'acme',
      scopes: ['read_registry'],
      expires_at: '2027-01-31T01:00:00+02:00',
      ...secret(9),
    },
  ],
};

describeOnBoth('stored tokens', (directory) => {
  beforeEach(async () => {
    await directory.apply(DIRECTORY);
  });

  const lastUses = async () => {
    const tokens = await listTokens(directory.database, {}, { after: null, limit: 100 });
    return tokens.map(({ lastUsedAt }) => lastUsedAt?.toISOString().slice(11, 16) ?? null);
  };

  it('are read alike on both databases, in whatever zone', async () => {
    const tokens = await listTokens(directory.database, {}, { after: null, limit: 100 });
    assert.deepEqual(
      tokens.map(({ key, expiresAt, scopes }) => [key.table, key.number, expiresAt, ...scopes]),
      [
        ['access', 1, '2027-01-31', 'api'],
        ['access', 2, '2027-01-31', 'api'],
        ['access', 3, '2027-01-31', 'api'],
        ['deploy', 1, '2027-01-30T23:00:00.000Z', 'read_registry'],
      ],
    );
    assert.deepEqual(await findToken(directory.database, { table: 'deploy', number: 1 }), tokens[3]);
    assert.equal(await findToken(directory.database, { table: 'deploy', number: 2 }), undefined);
  });

  it('remember their last use, each at most every few minutes, and never an earlier one', async () => {
    const { database } = directory;
    const save = (...uses: TokenUse[]) => saveTokenUses(database, uses, GRANULARITY_MS);
    await save(access(2), deploy(1), access(99));
    assert.deepEqual(await lastUses(), [null, '12:00', null, '12:00']);
    await save(access(2, minutesLater(4)), access(1, minutesLater(4)), deploy(1, minutesLater(-60)));
    assert.deepEqual(await lastUses(), ['12:04', '12:00', null, '12:00']);
    await save(access(2, minutesLater(5)));
    assert.deepEqual(await lastUses(), ['12:04', '12:05', null, '12:00']);
    await save();
    await directory.apply({ access_tokens: [{ ...DIRECTORY.access_tokens[0], revoked: true }] });
    assert.deepEqual(await lastUses(), ['12:04', '12:05', null, '12:00']);
  });

  it('are revoked for ever, at the moment when it was done last', async () => {
    const { database } = directory;
    const key = { table: 'access', number: 2 } as const;
    for (const at of [NOW, minutesLater(1)]) {
      assert.equal((await revokeToken(database, key, at))?.revoked, true);
    }
    const [row] = await directory.query('SELECT revoked_at, token_digest FROM revoked_secrets');
    assert.deepEqual(row?.['revoked_at'], minutesLater(1));
    assert.equal(await revokeToken(database, { table: 'access', number: 99 }, NOW), undefined);
    assert.equal((await directory.query('SELECT FROM revoked_secrets')).length, 1);
  });

  it('are revoked again by their secrets, whether a token has the secret or not', async () => {
    const { database } = directory;
    const digests = [1, 2, 99].map((at) => secret(at).token_sha256);
    assert.equal(await revokeSecrets(database, digests, NOW), 2);
    assert.equal(await revokeSecrets(database, [...digests, ...digests], NOW), 0);
    assert.equal((await findToken(database, { table: 'access', number: 1 }))?.revoked, true);
    assert.equal((await directory.query('SELECT FROM revoked_secrets')).length, 3);
  });

  it('are not waited for: what another transaction holds is passed over', async () => {
    const { database } = directory;
    if (database.kind === 'pglite') return;
    await database.transaction(async (sql) => {
      await sql.query('UPDATE access_tokens SET revoked = false WHERE id = 2');
      await saveTokenUses(database, [access(3), access(2), access(1)], GRANULARITY_MS);
    });
    assert.deepEqual(await lastUses(), ['12:00', null, '12:00', null]);
  });
});

describe('the id of a token', () => {
  const rows: [text: string, key: ReturnType<typeof readTokenId>][] = [
    ['access-12', { table: 'access', number: 12 }],
    ['deploy-3', { table: 'deploy', number: 3 }],
    ['12', null],
    ['access-0', null],
    ['access-012', null],
    ['deploy-', null],
    ['job-1', null],
    ['access-9999999999999999', null],
    ['access-1 ', null],
  ];
  for (const [text, key] of rows) {
    it(`${text} is ${key === null ? 'none' : 'one'}`, () => {
      assert.deepEqual(readTokenId(text), key);
    });
  }
});
