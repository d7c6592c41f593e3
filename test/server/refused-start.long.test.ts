import assert from 'node:assert/strict';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { Agent, fetch } from 'undici';
import { freePort, sharedPostgres } from '../support/database/postgres.ts';
import { assertRefused, type DatabaseKind, makeSite, type Site } from '../support/processes/site.ts';
import { makeTls, untilServed } from '../support/processes/tls.ts';

/** Starts and stops once, so that there are keys. */
async function madeSite(kind: DatabaseKind): Promise<Site> {
  const site = await makeSite(kind);
  const server = await site.serve();
  assert.equal(await server.stop(), 0);
  return site;
}

async function emptyDatabase(): Promise<string> {
  return (await sharedPostgres()).createDatabase();
}

describe('a server that must not start', () => {
  describe('with a master key that is not the one', () => {
    let site: Site;
    let original: string;
    before(async () => {
      site = await madeSite('postgresql');
      original = await readFile(site.masterKey, 'utf8');
    });
    after(() => site.remove());

    const keys: [what: string, content: string][] = [
      ['corrupted', 'this is not a key\n'],
      ['empty', ''],
      ['another', `${Buffer.alloc(32, 7).toString('base64url')}\n`],
    ];
    for (const [what, content] of keys) {
      it(`${what}: says how to recover, and overwrites nothing`, async () => {
        await writeFile(site.masterKey, content);
        assertRefused(await site.run(['serve']), site.masterKey, /backup|restore/i);
        assert.equal(await readFile(site.masterKey, 'utf8'), content);
      });
    }

    it('missing: the same, and makes none', async () => {
      await rm(site.masterKey);
      assertRefused(await site.run(['serve']), site.masterKey, /backup|restore/i);
      await assert.rejects(readFile(site.masterKey), { code: 'ENOENT' });
    });

    it('starts again with the right one, which it only reads', async () => {
      await writeFile(site.masterKey, original);
      await chmod(site.masterKey, 0o400);
      const server = await site.serve();
      assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
      assert.equal(await server.stop(), 0);
    });
  });

  describe('in folders that every user can write to', () => {
    let site: Site;
    before(async () => {
      site = await madeSite('embedded');
    });
    after(() => site.remove());
    const withMode = async (folder: string, mode: number, work: () => Promise<void>): Promise<void> => {
      await chmod(folder, mode);
      try {
        await work();
      } finally {
        await chmod(folder, 0o700);
      }
    };

    for (const mode of [0o777, 0o1777, 0o702]) {
      it(`names the keys folder of mode ${mode.toString(8)}`, () =>
        withMode(dirname(site.masterKey), mode, async () =>
          assertRefused(await site.run(['serve']), /CELLPASS_KEYS_DIR: .*chmod o-w/),
        ));

      it(`names the data folder of mode ${mode.toString(8)} with the embedded database`, () =>
        withMode(site.dataDir, mode, async () =>
          assertRefused(await site.run(['serve']), /CELLPASS_DATA_DIR: .*replace the database.*chmod o-w/),
        ));
    }

    it('starts where only its group can write', () =>
      withMode(site.dataDir, 0o770, async () => {
        const server = await site.serve();
        assert.equal(await server.stop(), 0);
      }));
  });

  describe('with settings, files or a database that do not fit', () => {
    let site: Site;
    before(async () => {
      site = await makeSite('postgresql');
    });
    after(() => site.remove());

    it('reports everything that is wrong with its settings at once', async () => {
      const env = { CELLPASS_LISTEN: 'nowhere', CELLPASS_TOKEN_TTL_SECONDS: '1', CELLPASS_CELL: 'x' };
      assertRefused(await site.run(['serve'], { env }), ...Object.keys(env));
    });

    it('names a socket path that is too long', async () => {
      const env = { CELLPASS_DATA_DIR: join(site.dir, 'd'.repeat(110)) };
      assertRefused(await site.run(['serve'], { env }), 'CELLPASS_DATA_DIR', 'admin.sock');
    });

    it('names a data directory that it can not make', async () => {
      await writeFile(join(site.dir, 'file'), '');
      const env = { CELLPASS_DATA_DIR: join(site.dir, 'file', 'data') };
      assertRefused(await site.run(['serve'], { env }), 'CELLPASS_DATA_DIR');
    });

    it('names a port that is in use', async () => {
      const port = await freePort();
      const holder = createServer().listen(port, '127.0.0.1');
      try {
        const env = { CELLPASS_LISTEN: `127.0.0.1:${port}` };
        assertRefused(await site.run(['serve'], { env }), 'CELLPASS_LISTEN', String(port));
      } finally {
        holder.close();
      }
    });

    it('says that PostgreSQL is away', async () => {
      const env = { CELLPASS_DATABASE_URL: 'postgresql://postgres@127.0.0.1:9/none' };
      assertRefused(await site.run(['serve'], { env }), 'CELLPASS_DATABASE_URL', '127.0.0.1:9');
    });

    it('does not migrate when it may not', async () => {
      const env = { CELLPASS_MIGRATE: 'false', CELLPASS_DATABASE_URL: await emptyDatabase() };
      assertRefused(await site.run(['serve'], { env }), 'cellpass migrate');
      const { code, stdout } = await site.run(['migrate', '--json'], { env });
      assert.equal(code, 0);
      assert.ok(JSON.parse(stdout).applied.length > 0);
      const server = await site.serve(env);
      assert.equal(await server.stop(), 0);
    });

    it("does not take another cell's database", async () => {
      const env = { CELLPASS_DATABASE_URL: await emptyDatabase() };
      const server = await site.serve({ ...env, CELLPASS_CELL: '3' });
      assert.equal(await server.stop(), 0);
      assertRefused(
        await site.run(['serve'], { env: { ...env, CELLPASS_CELL: '4' } }),
        'CELLPASS_CELL',
        'cell 3',
      );
    });

    const files: [what: string, name: string][] = [
      ['certificate', 'CELLPASS_TLS_CERT'],
      ['key', 'CELLPASS_TLS_KEY'],
    ];
    for (const [what, name] of files) {
      it(`names a TLS ${what} that is not there`, async () => {
        const tls = await makeTls(site, 'localhost');
        assertRefused(
          await site.run(['serve'], { env: { ...tls, [name]: join(site.dir, 'none.pem') } }),
          name,
        );
      });
    }
  });
});

describe('TLS', () => {
  it('is all that the port speaks, and its certificate is read again on SIGHUP', async () => {
    const site = await makeSite('embedded');
    try {
      const tls = await makeTls(site, 'first.example.com');
      const server = await site.serve(tls);
      await untilServed(server.url, 'first.example.com');
      const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
      assert.equal((await fetch(`${server.url}/healthz`, { dispatcher })).status, 200);
      await dispatcher.close();
      await assert.rejects(fetch(`http://127.0.0.1:${server.port}/healthz`));
      await makeTls(site, 'second.example.com');
      server.child.signal('SIGHUP');
      await untilServed(server.url, 'second.example.com');
      assert.equal(await server.stop(), 0);
    } finally {
      await site.remove();
    }
  });
});
