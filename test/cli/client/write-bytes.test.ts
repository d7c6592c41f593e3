import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assertReplaceable, writeToFile } from '../../../src/cli/client/write-bytes.ts';

describe('a file that a command writes', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cellpass-write-'));
  });
  const socket = createServer();
  after(async () => {
    socket.close();
    await rm(folder, { recursive: true });
  });

  const made: [what: string, make: (path: string) => Promise<unknown>, says: RegExp | null][] = [
    ['nothing', async () => undefined, null],
    ['a file', (path) => writeFile(path, 'old'), null],
    ['a link to nothing', (path) => symlink('/nowhere/at/all', path), null],
    ['a link to a file', (path) => symlink(import.meta.filename, path), null],
    ['a folder', (path) => mkdir(path), / is a folder: name a file, or - for standard output$/],
    ['a link to a folder', (path) => symlink(tmpdir(), path), / is a folder: /],
    ['a link to a device', (path) => symlink('/dev/null', path), / is a device, pipe or socket: /],
    ['a pipe', async (path) => spawnSync('mkfifo', [path]), / is a device, pipe or socket: /],
    [
      'a socket',
      (path) => new Promise<void>((resolve) => void socket.listen(path, resolve)),
      / is a device, pipe or socket: /,
    ],
  ];
  for (const [at, [what, make, says]] of made.entries()) {
    it(`${says === null ? 'takes' : 'does not take'} the place of ${what}`, async () => {
      const path = join(folder, String(at));
      await make(path);
      if (says === null) return assertReplaceable(path);
      await assert.rejects(assertReplaceable(path), { code: 'invalid', message: says });
    });
  }

  it('needs a name', () => assert.rejects(assertReplaceable(''), { message: /is empty: name a file$/ }));

  it('is written whole, or is an error that names it', async () => {
    const bytes = async function* () {
      yield Buffer.alloc(5000, 'a');
      yield Buffer.alloc(5000, 'b');
    };
    const path = join(folder, 'bytes');
    await writeToFile(path, bytes());
    assert.equal((await readFile(path)).length, 10_000);
    await assert.rejects(writeToFile(path, bytes()), {
      code: 'invalid',
      message: /^can't write .*bytes: EEXIST/,
    });
    const code = `import { writeToFile } from './src/cli/client/write-bytes.ts';
      await writeToFile(process.env.FILE, (async function* () { yield Buffer.alloc(5000); })());`;
    // A bound for the size of a file, which acts as a full disk does.
    const run = spawnSync(
      'bash',
      ['-c', 'ulimit -f 2; exec node --import=tsx --input-type=module -e "$CODE"'],
      {
        env: { ...process.env, CODE: code, FILE: join(folder, 'small'), TSX_DISABLE_CACHE: '1' },
        encoding: 'utf8',
      },
    );
    assert.match(run.stderr, /can't write .*small: EFBIG/);
  });
});
