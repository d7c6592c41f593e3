import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../../src/config/load.ts';
import { openRevocationFile, type Revoked, readRevocations } from '../../../src/records/revocation-file.ts';
import { revokeAgain } from '../../../src/server/offline/revoke-again.ts';
import { describeOnBoth } from '../../support/directory/document.ts';

const NO_LOG = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
const SHA256 = 'a'.repeat(64);

describeOnBoth('revoking again', (directory) => {
  const replay = async (...revoked: readonly Revoked[]): Promise<void> => {
    const lines = revoked.map((one, second) => ({
      ...one,
      time: new Date(1_000_000 + second * 1000).toISOString(),
      actor: 'a test',
    }));
    await revokeAgain({ database: directory.database, config: loadConfig({}), log: NO_LOG }, lines);
  };
  const names = async (): Promise<unknown[]> =>
    (await directory.query('SELECT name FROM revoked_identities ORDER BY name')).map(({ name }) => name);

  it('refuses identities that the database does not have, but those that were restored since', async () => {
    await replay(
      { kind: 'identity', name: 'ghost' },
      { kind: 'identity', name: 'forgiven' },
      { kind: 'identity_restored', name: 'forgiven' },
    );
    assert.deepEqual(await names(), ['ghost']);
  });

  it('refuses secrets and ID tokens that it does not have, once', async () => {
    const kept_until = '2999-01-01T00:00:00.000Z';
    for (let times = 0; times < 2; times++) {
      await replay(
        { kind: 'token', id: 'access-1', sha256: SHA256 },
        { kind: 'id_token', issuer: 'ci', jti: 'one', kept_until },
        { kind: 'key', kid: 'unknown', reason: 'leaked' },
      );
    }
    assert.equal((await directory.query('SELECT FROM revoked_secrets')).length, 1);
    assert.equal((await directory.query('SELECT FROM revoked_id_tokens')).length, 1);
  });
});

describe('the file of revocations', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'cellpass-revocations-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('is read in the order of the times, so that files of several hosts can be joined', async () => {
    let now = new Date('2026-01-02T00:00:00Z');
    const file = openRevocationFile(dir, { now: () => now, log: NO_LOG });
    assert.equal(await file.add([{ kind: 'identity_restored', name: 'a' }], 'alice'), null);
    now = new Date('2026-01-01T00:00:00Z');
    assert.equal(await file.add([{ kind: 'identity', name: 'a' }], 'alice'), null);
    const lines = await readRevocations(join(dir, 'revocations.jsonl'));
    assert.deepEqual(
      lines.map(({ kind, actor }) => [kind, actor]),
      [
        ['identity', 'alice'],
        ['identity_restored', 'alice'],
      ],
    );
  });

  const wrong: readonly [what: string, line: string][] = [
    ['no JSON', 'hello'],
    ['no time', '{"kind":"identity","name":"a"}'],
    ['an unknown kind', '{"time":"2026-01-01T00:00:00Z","kind":"user","name":"a"}'],
    [
      'a digest that is none',
      '{"time":"2026-01-01T00:00:00Z","kind":"token","id":"access-1","sha256":"abc"}',
    ],
  ];
  for (const [what, line] of wrong) {
    it(`is refused with a line that has ${what}`, async () => {
      const path = join(dir, 'wrong');
      await writeFile(path, `\n${line}\n`);
      await assert.rejects(readRevocations(path), /^CellpassError: line 2 of .+ is no revocation/);
    });
  }
});
