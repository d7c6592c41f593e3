import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { decodeProtectedHeader } from 'jose';
import { createMasterKey } from '../../src/keys/master-key.ts';
import { loadMasterKey } from '../../src/keys/master-key-file.ts';
import { inTemporaryFolder } from '../support/keys.ts';

const PLAINTEXT = new TextEncoder().encode('a private key');

function inKeysDir(work: (keysDir: string, file: string) => Promise<void>): () => Promise<void> {
  return () => inTemporaryFolder((folder) => work(join(folder, 'keys'), join(folder, 'keys', 'master.key')));
}

async function put(file: string, text: string): Promise<void> {
  await mkdir(join(file, '..'), { recursive: true });
  await writeFile(file, text, { mode: 0o600 });
}

describe('the master key file', () => {
  it(
    'is made at the first start, for its owner only, and read at the next',
    inKeysDir(async (keysDir, file) => {
      const first = await loadMasterKey(keysDir, { mayCreate: true });
      assert.match(await readFile(file, 'utf8'), /^[A-Za-z0-9_-]{43}\n$/);
      assert.equal((await stat(file)).mode & 0o777, 0o600);
      assert.deepEqual(first.warnings, []);
      const second = await loadMasterKey(keysDir, { mayCreate: false });
      const jwe = await first.masterKey.encrypt('a', PLAINTEXT);
      assert.deepEqual(Buffer.from(await second.masterKey.decrypt('a', jwe)), Buffer.from(PLAINTEXT));
    }),
  );

  it(
    'is one and the same for all who make it at once, and they leave nothing else behind',
    inKeysDir(async (keysDir) => {
      const loaded = await Promise.all(
        Array.from({ length: 8 }, () => loadMasterKey(keysDir, { mayCreate: true })),
      );
      const jwe = await loaded[0]!.masterKey.encrypt('a', PLAINTEXT);
      for (const { masterKey } of loaded) await masterKey.decrypt('a', jwe);
      assert.deepEqual(await readdir(keysDir), ['master.key']);
    }),
  );

  it(
    'never replaces what has its name, not even a link that leads nowhere yet',
    inKeysDir(async (keysDir, file) => {
      await mkdir(keysDir);
      await symlink('elsewhere', file);
      await assert.rejects(loadMasterKey(keysDir, { mayCreate: true }), { code: 'invalid' });
      assert.equal(await readlink(file), 'elsewhere');
      assert.deepEqual(await readdir(keysDir), ['master.key']);
    }),
  );

  it(
    'is not made when keys in the database depend on it: the message says which file, and how to go on',
    inKeysDir(async (keysDir, file) => {
      await assert.rejects(loadMasterKey(keysDir, { mayCreate: false }), (error: unknown) => {
        assert.ok(error instanceof Error && 'code' in error);
        assert.equal(error.code, 'conflict');
        assert.ok(error.message.includes(file));
        assert.match(error.message, /missing.*Restore the file from a backup.*lost/);
        return true;
      });
      await assert.rejects(stat(file), { code: 'ENOENT' });
    }),
  );

  const good = randomBytes(32).toString('base64url');
  const malformed: [title: string, text: string][] = [
    ['empty', ''],
    ['too short', randomBytes(16).toString('base64url')],
    ['too long', randomBytes(33).toString('base64url')],
    ['of another alphabet', `${good.slice(0, 20)}+/${good.slice(22)}`],
    ['padded', `${good}=`],
    ['changed in its unused bits', `${'A'.repeat(42)}B`],
    ['two lines', `${good}\n${good}\n`],
    ['begun with a space', ` ${good}`],
  ];
  for (const [title, text] of malformed) {
    it(
      `is refused when ${title}, and left as it is, even where one might be made`,
      inKeysDir(async (keysDir, file) => {
        await put(file, text);
        for (const mayCreate of [true, false]) {
          await assert.rejects(loadMasterKey(keysDir, { mayCreate }), (error: unknown) => {
            assert.ok(error instanceof Error && 'code' in error);
            assert.equal(error.code, 'invalid');
            assert.ok(error.message.includes(file));
            assert.ok(text === '' || !error.message.includes(text));
            return true;
          });
        }
        assert.equal(await readFile(file, 'utf8'), text);
      }),
    );
  }

  it(
    'is refused by name when it can’t be read',
    inKeysDir(async (keysDir, file) => {
      await mkdir(file, { recursive: true });
      await assert.rejects(loadMasterKey(keysDir, { mayCreate: true }), {
        code: 'invalid',
        message: /master\.key/,
      });
    }),
  );

  it(
    'is refused by name when its folder can’t be made, with the way to make the file by hand',
    inKeysDir(async (keysDir) => {
      await writeFile(keysDir, 'a file where the folder should be');
      await assert.rejects(loadMasterKey(join(keysDir, 'below'), { mayCreate: true }), {
        code: 'invalid',
        message: /master\.key/,
      });
    }),
  );

  it(
    'is taken from a file that others may read, with a warning',
    inKeysDir(async (keysDir, file) => {
      await put(file, good);
      for (const [mode, warnings] of [
        [0o600, 0],
        [0o400, 0],
        [0o640, 1],
        [0o604, 1],
      ] as const) {
        await chmod(file, mode);
        const loaded = await loadMasterKey(keysDir, { mayCreate: false });
        assert.equal(loaded.warnings.length, warnings, mode.toString(8));
      }
    }),
  );
});

describe('encryption at rest', () => {
  it('is a compact JWE, alg dir, enc A256GCM, that names what it holds', async () => {
    const masterKey = await createMasterKey(randomBytes(32), 'master.key');
    const jwe = await masterKey.encrypt('KID:1', PLAINTEXT);
    assert.deepEqual(decodeProtectedHeader(jwe), { alg: 'dir', enc: 'A256GCM', kid: 'KID:1' });
    assert.equal(jwe.split('.').length, 5);
  });

  it('refuses another master key, and says which key and which file', async () => {
    const [right, wrong] = [randomBytes(32), randomBytes(32)];
    const jwe = await (await createMasterKey(right, 'master.key')).encrypt('KID:1', PLAINTEXT);
    const masterKey = await createMasterKey(wrong, '/keys/master.key');
    await assert.rejects(masterKey.decrypt('KID:1', jwe), {
      code: 'conflict',
      message: /KID:1.*\/keys\/master\.key.*Restore/,
    });
  });

  const damages: [title: string, damage: (jwe: string) => string][] = [
    [
      'a ciphertext that was changed',
      (jwe) => jwe.replace(/\.([^.])([^.]+\.[^.]+)$/, (_, a, rest) => `.${a === 'A' ? 'B' : 'A'}${rest}`),
    ],
    ['a text that is no JWE', () => 'plain'],
    ['a row without content', () => ''],
    [
      'another algorithm',
      (jwe) =>
        `${Buffer.from('{"alg":"dir","enc":"A128GCM","kid":"KID:1"}').toString('base64url')}${jwe.slice(jwe.indexOf('.'))}`,
    ],
    [
      'another kid in the header',
      (jwe) =>
        `${Buffer.from('{"alg":"dir","enc":"A256GCM","kid":"KID:2"}').toString('base64url')}${jwe.slice(jwe.indexOf('.'))}`,
    ],
  ];
  for (const [title, damage] of damages) {
    it(`refuses ${title}`, async () => {
      const masterKey = await createMasterKey(randomBytes(32), 'master.key');
      const damaged = damage(await masterKey.encrypt('KID:1', PLAINTEXT));
      for (const kid of ['KID:1', 'KID:2']) {
        await assert.rejects(masterKey.decrypt(kid, damaged), { code: 'conflict' });
      }
    });
  }

  it('refuses a row that was exchanged with another', async () => {
    const masterKey = await createMasterKey(randomBytes(32), 'master.key');
    const jwe = await masterKey.encrypt('KID:1', PLAINTEXT);
    await assert.rejects(masterKey.decrypt('KID:2', jwe), { code: 'conflict', message: /KID:2.*KID:1/ });
  });

  it('prints nothing of the key', async () => {
    const octets = randomBytes(32);
    const masterKey = await createMasterKey(octets, 'master.key');
    const printed = `${JSON.stringify(masterKey)}${inspect(masterKey, { depth: 10, showHidden: true })}`;
    for (const encoding of ['hex', 'base64', 'base64url'] as const) {
      assert.ok(!printed.includes(octets.toString(encoding)));
    }
  });
});
