import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server as TcpServer } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { assertRefused, makeSite, type Site } from '../support/processes/site.ts';

describe('a start that fails early leaves nothing behind', function () {
  this.timeout(60_000);
  let holder: TcpServer;
  let taken: string;
  before(async () => {
    holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    taken = `127.0.0.1:${(holder.address() as AddressInfo).port}`;
  });
  after(() => void holder.close());

  const ports = ['CELLPASS_LISTEN', 'CELLPASS_ADMIN_LISTEN', 'CELLPASS_METRICS_LISTEN'];

  for (const kind of ['embedded', 'postgresql'] as const) {
    for (const workers of kind === 'embedded' ? ['1'] : ['1', '2']) {
      for (const variable of ports) {
        it(`${variable} in use, ${kind}, ${workers} worker(s)`, async () => {
          const site = await makeSite(kind);
          try {
            const env = { CELLPASS_WORKERS: workers, [variable]: taken };
            assertRefused(
              await site.run(['serve'], { env }),
              `${variable}: `,
              /another process listens there/,
            );
            await assertNothing(site);
          } finally {
            await site.remove();
          }
        });
      }
    }
  }

  it('the admin socket of a data directory in use: no keys, no migration', async () => {
    const site = await makeSite('postgresql');
    const socket = createServer();
    try {
      await mkdir(site.dataDir);
      socket.listen(site.socket);
      await once(socket, 'listening');
      assertRefused(await site.run(['serve']), /in use by another process/);
      assert.deepEqual(await readdir(site.dataDir), ['admin.sock']);
      assert.equal(existsSync(site.masterKey), false);
      assert.deepEqual(await tablesOf(site), []);
    } finally {
      socket.close();
      await site.remove();
    }
  });

  const files: [what: string, variable: string, make: (site: Site) => Promise<Record<string, string>>][] = [
    [
      'a topology file with a mistake',
      'CELLPASS_CELLS_FILE',
      async (site) => {
        const file = join(site.dir, 'cells.yaml');
        await writeFile(file, 'cells: [{id: one}]\n');
        return { CELLPASS_CELLS_FILE: file };
      },
    ],
    [
      'a master key that is none',
      'master.key',
      async (site) => {
        await mkdir(join(site.dir, 'keys'), { mode: 0o700 });
        await writeFile(site.masterKey, 'none\n', { mode: 0o600 });
        return {};
      },
    ],
  ];
  for (const [what, variable, make] of files) {
    it(what, async () => {
      const site = await makeSite('postgresql');
      try {
        assertRefused(await site.run(['serve'], { env: await make(site) }), variable);
        assert.equal(existsSync(site.dataDir), false);
        assert.deepEqual(await tablesOf(site), []);
      } finally {
        await site.remove();
      }
    });
  }
});

describe('the log line "listening"', function () {
  this.timeout(60_000);
  const ALL_FREE = {
    CELLPASS_LISTEN: '127.0.0.1:0',
    CELLPASS_ADMIN_LISTEN: '127.0.0.1:0',
    CELLPASS_METRICS_LISTEN: '127.0.0.1:0',
    // Another port than the listener's: a proxy answers there.
    CELLPASS_PUBLIC_URL: 'https://registry.example.com:8443',
  };

  for (const workers of ['1', '2']) {
    it(`has the own port of each listener, ${workers} worker(s)`, async () => {
      const site = await makeSite('postgresql');
      try {
        const { child } = await site.serve({ ...ALL_FREE, CELLPASS_WORKERS: workers });
        const text = child.output();
        const line = JSON.parse(text.split('\n').find((one) => one.includes('"msg":"listening"')) ?? '{}');
        assert.equal(line.realm, 'https://registry.example.com:8443/jwt/auth');
        const paths: [field: string, path: string, status: number][] = [
          ['listen', '/.well-known/jwks.json', 200],
          ['admin_listen', '/admin/v1/keys', 401],
          ['metrics_listen', '/metrics', 200],
        ];
        for (const [field, path, status] of paths) {
          assert.equal((await fetch(`http://${line[field]}${path}`)).status, status, field);
        }
      } finally {
        await site.remove();
      }
    });
  }
});

/** No data directory, no key, and in PostgreSQL no table. */
async function assertNothing(site: Site): Promise<void> {
  assert.deepEqual(
    (await readdir(site.dir)).filter((name) => name === 'data' || name === 'keys'),
    [],
  );
  assert.deepEqual(await tablesOf(site), []);
}

async function tablesOf(site: Site): Promise<readonly unknown[]> {
  const url = site.env['CELLPASS_DATABASE_URL'];
  if (url === undefined) return [];
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).rows;
  } finally {
    await client.end();
  }
}
