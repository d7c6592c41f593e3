import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type BackupLine, LineCounter, printHeader, printLine } from '../../../src/store/backup/format.ts';
import { checkBackup, openBackup } from '../../../src/store/backup/read-lines.ts';

describe('a backup that does not exist', () => {
  // Often, because the file and its size are asked for at the same time.
  it('is refused, whichever of two questions is answered first', async () => {
    const missing = join(tmpdir(), 'cellpass-no-such.backup');
    for (let round = 0; round < 100; round += 1) {
      const opened = Array.from({ length: 20 }, () => openBackup(missing));
      for (const one of opened) one.catch(() => undefined);
      for (const one of opened)
        await assert.rejects(one, { code: 'invalid', message: /^can't read .*ENOENT/ });
    }
  });
});

describe('a backup of any file', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cellpass-backup-'));
  });
  after(() => rm(folder, { recursive: true }));

  const header = printHeader({
    schema: '0001-directory',
    cellpass: '0.1.0',
    created_at: '2026-11-24T12:00:00.000Z',
    cell: 1,
    settings: [],
  });

  async function writeBackup(name: string, lines: readonly BackupLine[], first = header): Promise<string> {
    const counter = new LineCounter();
    counter.count(first, null);
    const texts = lines.map((line) => {
      const text = printLine(line);
      counter.count(text, line);
      return text;
    });
    const file = join(folder, name);
    await writeFile(file, gzipSync([first, ...texts, JSON.stringify(counter.end()), ''].join('\n')));
    return file;
  }

  it('has rows of any length up to 64 MiB, which are read in a time in proportion to them', async () => {
    const row = (length: number) =>
      ({ kind: 'row', table: 'users', json: `{"username":"${'x'.repeat(length)}"}` }) as const;
    const file = await writeBackup('long', [row(1), row(40_000_000), row(20_000), row(2)]);
    assert.deepEqual((await checkBackup(file)).rows, { users: 4 });
    const tooLong = await writeBackup('too-long', [row(64 * 1024 * 1024)]);
    await assert.rejects(checkBackup(tooLong), { message: /it has a line of more than 64 MiB$/ });
  }).timeout(15_000);

  for (const last_value of [0, -5, 1.5, 1e300]) {
    it(`with a sequence at ${last_value} was changed`, async () => {
      const position = { sequence: 'users_id_seq', last_value, is_called: true };
      const file = await writeBackup('sequence', [{ kind: 'sequence', position }]);
      await assert.rejects(checkBackup(file), { code: 'invalid', message: /was changed or damaged/ });
    });
  }

  for (const version of [0, -1, 2, '1']) {
    it(`of the format ${JSON.stringify(version)} is refused`, async () => {
      const file = await writeBackup('format', [], JSON.stringify({ ...JSON.parse(header), version }));
      await assert.rejects(openBackup(file), { code: 'invalid', message: /reads formats up to 1/ });
    });
  }

  const others: [what: string, make: (path: string) => Promise<unknown>, says: RegExp][] = [
    ['a pipe', async (path) => spawnSync('mkfifo', [path]), / is a device, pipe or socket: copy the backup/],
    ['a device', (path) => symlink('/dev/null', path), / is a device, pipe or socket: copy the backup/],
    ['a folder', (path) => symlink(tmpdir(), path), /^can't read .*EISDIR/],
  ];
  for (const [what, make, says] of others) {
    it(`is not ${what}`, async () => {
      const path = join(folder, what.replace(' ', '-'));
      await make(path);
      await assert.rejects(openBackup(path), { code: 'invalid', message: says });
    });
  }
});
