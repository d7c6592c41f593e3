import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import type { AdminTokenBody, KeyHistory, KeyList } from '../../../src/http/types.ts';
import { freePort } from '../../support/database/postgres.ts';
import type { Outcome } from '../../support/processes/child.ts';
import {
  assertRefused,
  done,
  EXAMPLE,
  makeSite,
  type Server,
  type Site,
} from '../../support/processes/site.ts';
import { makeTls, untilServed } from '../../support/processes/tls.ts';

const UNKNOWN = `cpat-${'A'.repeat(43)}`;

/** One story on one server with TLS and two workers: each test goes on where the last one ended. */
/** Without the first line, which must warn of plain http. */
function afterWarning(outcome: Outcome): Outcome {
  const warning = /^warning: http:\/\/127\.0\.0\.1:\d+ is not encrypted: .+\n/;
  assert.match(outcome.stderr, warning);
  return { ...outcome, stderr: outcome.stderr.replace(warning, '') };
}

describe('the admin API from another machine', function () {
  this.timeout(60_000);
  let site: Site;
  let server: Server;
  let tls: Awaited<ReturnType<typeof makeTls>>;
  let port: number;
  let url: string;
  let token: string;

  before(async () => {
    site = await makeSite('postgresql');
    tls = await makeTls(site, 'first.example.com');
    port = await freePort();
    url = `https://127.0.0.1:${port}`;
    server = await site.serve({
      ...tls,
      CELLPASS_WORKERS: '2',
      // Any address of this machine would do; the tests stay on loopback.
      CELLPASS_ADMIN_LISTEN: `127.0.0.1:${port}`,
    });
  });
  after(() => site.remove());

  /** From a machine that has nothing but the token and the CA: no data directory, no settings. */
  const remotely = (args: readonly string[], env: Record<string, string> = {}) =>
    site.run([...args, '--admin-url', url], {
      env: {
        CELLPASS_DATA_DIR: '/nonexistent/and/not/needed',
        CELLPASS_TOKEN_TTL_SECONDS: 'also not read',
        CELLPASS_ADMIN_TOKEN: token,
        NODE_EXTRA_CA_CERTS: tls.CELLPASS_TLS_CERT,
        ...env,
      },
    });
  const doneRemotely = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await remotely(args);
    assert.equal(code, 0, stderr);
    return stdout;
  };

  it('begins with a token that is made on the host: the secret alone on stdout, and JSON on demand', async () => {
    const { code, stdout, stderr } = await site.run([
      'admin-token',
      'create',
      '--name',
      'ops',
      '--role',
      'all',
    ]);
    assert.equal(code, 0);
    assert.match(stdout, /^cpat-[A-Za-z0-9_-]{43}\n$/);
    assert.match(stderr, /^admin token 1 \(ops\), never expires; .+\n$/);
    token = stdout.trim();
    const order = [
      'admin-token',
      'create',
      '--name',
      'ci',
      '--role',
      'all',
      '--expires-at',
      '2999-01-31',
      '--json',
    ];
    const created = JSON.parse(await done(site, ...order));
    assert.match(created.token, /^cpat-/);
    assert.deepEqual([created.id, created.name], [2, 'ci']);
    assertRefused(await site.run([...order.slice(0, -2), '2020-01-31']), 'expires_at', 'future');
  });

  it('takes every command that the socket takes', async () => {
    const applied = JSON.parse(await doneRemotely('directory', 'apply', '-f', EXAMPLE, '--json'));
    assert.equal(applied.changed, true);
    assert.equal(await doneRemotely('directory', 'export'), await done(site, 'directory', 'export'));
    const question = ['explain', '--as', 'user:alice', '--scope', 'repository:acme/web:pull'];
    assert.match(await doneRemotely(...question), /pull: granted/);
    assert.equal(await doneRemotely('keys', 'export-ca'), await done(site, 'keys', 'export-ca'));
    await doneRemotely('keys', 'stage');
    const { keys }: KeyList = JSON.parse(await doneRemotely('keys', 'list', '--json'));
    assert.deepEqual(
      keys.map(({ state }) => state),
      ['active', 'pending'],
    );
    const { events }: KeyHistory = JSON.parse(await done(site, 'keys', 'history', '--json'));
    assert.equal(events[0]?.actor, 'admin token ops (1)');
  });

  it('makes no token there', async () => {
    assertRefused(await remotely(['admin-token', 'create', '--name', 'heir']), 'admin socket');
  });

  it('lists tokens without their secrets, and revokes them', async () => {
    const text = await doneRemotely('admin-token', 'list');
    assert.match(text, /^ID +NAME +ROLE +END +LAST USED/);
    assert.ok(!text.includes(token));
    assert.match(await doneRemotely('admin-token', 'revoke', '2'), /^ci \(2\): revoked at /);
    const { admin_tokens: tokens } = JSON.parse(await done(site, 'admin-token', 'list', '--json'));
    assert.deepEqual(
      tokens.map(({ name, revoked_at, last_used_at }: AdminTokenBody) => [
        name,
        revoked_at === null,
        last_used_at === null,
      ]),
      [
        ['ops', true, false],
        ['ci', false, true],
      ],
    );
    assertRefused(await site.run(['admin-token', 'revoke', '3']), 'no admin token has this id');
    assertRefused(await site.run(['admin-token', 'revoke', 'ops']), 'id');
  });

  const refused: [what: string, env: Record<string, string>, says: (RegExp | string)[]][] = [
    ['an unknown token', { CELLPASS_ADMIN_TOKEN: UNKNOWN }, [/unknown, expired or revoked/]],
    ['a certificate of an unknown CA', { NODE_EXTRA_CA_CERTS: '' }, [/self-signed/, 'NODE_EXTRA_CA_CERTS']],
  ];
  for (const [what, env, says] of refused) {
    it(`says in one line what is wrong with ${what}, and never the secret`, async () => {
      const outcome = await remotely(['keys', 'list'], env);
      assertRefused(outcome, ...says);
      assert.equal(outcome.stdout, '');
      const { CELLPASS_ADMIN_TOKEN: shown = token } = env;
      assert.ok(shown === '' || !outcome.stderr.includes(shown.split('\n')[0] ?? ''), outcome.stderr);
    });
  }

  it('follows no redirect, which could lead the token anywhere', async () => {
    const followed: string[] = [];
    const elsewhere = await listening((request, response) => {
      followed.push(request.url ?? '');
      response.end('{}');
    });
    const first = await listening((_request, response) => {
      response.writeHead(307, { Location: `${urlOf(elsewhere)}/stolen` }).end();
    });
    try {
      const env = { CELLPASS_ADMIN_TOKEN: token };
      const outcome = await site.run(['keys', 'list', '--admin-url', urlOf(first)], { env });
      assertRefused(afterWarning(outcome), urlOf(first), '--admin-url');
      assert.deepEqual(followed, []);
    } finally {
      first.close();
      elsewhere.close();
    }
  });

  it('security check 21: speaks TLS alone, and its certificate is read again on SIGHUP', async () => {
    await untilServed(url, 'first.example.com');
    await assert.rejects(fetch(`http://127.0.0.1:${port}/healthz`));
    const plain = site.run(['keys', 'list', '--admin-url', `http://127.0.0.1:${port}`], {
      env: { CELLPASS_ADMIN_TOKEN: token },
    });
    assertRefused(afterWarning(await plain), `127.0.0.1:${port}`);
    await makeTls(site, 'second.example.com');
    server.child.signal('SIGHUP');
    await untilServed(url, 'second.example.com');
    await untilServed(server.url, 'second.example.com');
    await doneRemotely('keys', 'list');
  });

  it('listens once, whatever the number of workers, and no longer than the server', async () => {
    const said = server.child.output().match(/the admin API answers over TCP/g);
    assert.deepEqual(said, ['the admin API answers over TCP']);
    assert.ok(!server.child.output().includes(token));
    assert.equal(await server.stop(), 0);
    assertRefused(await remotely(['keys', 'list']), url);
  });
});

describe('security check 21: the admin API over TCP', function () {
  this.timeout(60_000);
  let site: Site;
  before(async () => {
    site = await makeSite('postgresql');
  });
  after(() => site.remove());

  it('security check 21: is refused without TLS where others could listen in, before anything is made', async () => {
    const outcome = await site.run(['serve'], { env: { CELLPASS_ADMIN_LISTEN: '0.0.0.0:0' } });
    assertRefused(outcome, 'CELLPASS_ADMIN_LISTEN', 'CELLPASS_TLS_CERT');
    assert.equal(existsSync(site.dataDir), false);
  });

  it('security check 21: answers in the clear on loopback, where there is no TLS', async () => {
    const port = await freePort();
    const server = await site.serve({ CELLPASS_ADMIN_LISTEN: `127.0.0.1:${port}` });
    const CELLPASS_ADMIN_TOKEN = (
      await done(site, 'admin-token', 'create', '--name', 'ops', '--role', 'all')
    ).trim();
    const args = ['keys', 'list', '--admin-url', `http://127.0.0.1:${port}/`];
    assert.equal((await site.run(args, { env: { CELLPASS_ADMIN_TOKEN } })).code, 0);
    assert.equal((await fetch(`http://127.0.0.1:${port}/admin/v1/keys`)).status, 401);
    const tls = await site.run(['keys', 'list', '--admin-url', `https://127.0.0.1:${port}`], {
      env: { CELLPASS_ADMIN_TOKEN },
    });
    assertRefused(tls, 'it does not speak TLS', 'correct https to http');
    assert.equal(await server.stop(), 0);
  });

  it('names a port that is in use', async () => {
    const holder = createTcpServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    try {
      const env = { CELLPASS_ADMIN_LISTEN: `127.0.0.1:${(holder.address() as AddressInfo).port}` };
      assertRefused(await site.run(['serve'], { env }), 'CELLPASS_ADMIN_LISTEN', env.CELLPASS_ADMIN_LISTEN);
    } finally {
      holder.close();
    }
  });
});

function listening(listener: Parameters<typeof createServer>[1]): Promise<HttpServer> {
  const server = createServer(listener);
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

function urlOf(server: HttpServer): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
