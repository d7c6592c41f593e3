import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listenOnSocket, makeDataDir } from '../../../src/http/listener/admin-socket.ts';

const NOBODY = 65_534;

describe('the admin socket where the system refuses it', () => {
  let dir: string;
  let servers: Server[];
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'cellpass-socket-'));
    await chmod(dir, 0o755);
    servers = [];
  });
  afterEach(async () => {
    for (const server of servers) server.close();
    await chmod(join(dir, 'data'), 0o700).catch(() => undefined);
    await rm(dir, { recursive: true, force: true });
  });

  const newServer = (): Server => {
    const server = createServer();
    servers.push(server);
    return server;
  };
  /** The superuser may do everything, so another user does it. */
  async function asAnother<T>(work: () => Promise<T>): Promise<T> {
    if (process.getuid?.() !== 0) return work();
    process.seteuid?.(NOBODY);
    try {
      return await work();
    } finally {
      process.seteuid?.(0);
    }
  }
  const NOT_ALLOWED = /CELLPASS_DATA_DIR: can't .*this user may not write there: .*chown.*CELLPASS_DATA_DIR/;

  it('says who may write to a directory that belongs to another user', async () => {
    await mkdir(join(dir, 'data'), { mode: 0o500 });
    const path = join(dir, 'data/admin.sock');
    await asAnother(() =>
      assert.rejects(listenOnSocket(newServer(), path), { code: 'conflict', message: NOT_ALLOWED }),
    );
    assert.deepEqual(await readdir(join(dir, 'data')), []);
  });

  it('does not say "in use" of a stale socket that only another user can remove', async function () {
    if (process.getuid?.() !== 0) return this.skip();
    await mkdir(join(dir, 'data'), { mode: 0o755 });
    const path = join(dir, 'data/admin.sock');
    await writeFile(path, '', { mode: 0o600 });
    await asAnother(() =>
      assert.rejects(listenOnSocket(newServer(), path), { code: 'conflict', message: NOT_ALLOWED }),
    );
    assert.deepEqual(await readdir(join(dir, 'data')), ['admin.sock']);
  });

  it('says the same of a directory that can not be made', async () => {
    await mkdir(join(dir, 'data'), { mode: 0o500 });
    await asAnother(async () =>
      assert.throws(() => makeDataDir(join(dir, 'data/inner')), { code: 'conflict', message: NOT_ALLOWED }),
    );
  });

  it('names a file in the place of the directory', async () => {
    await writeFile(join(dir, 'file'), '');
    for (const path of [join(dir, 'file'), join(dir, 'file/inner')]) {
      assert.throws(() => makeDataDir(path), {
        code: 'conflict',
        message: /is a file: set CELLPASS_DATA_DIR/,
      });
    }
  });
});
