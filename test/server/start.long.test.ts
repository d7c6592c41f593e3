import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../support/database/postgres.ts';
import { startChild, until } from '../support/processes/child.ts';
import { hashersOf, workersOf } from '../support/processes/children.ts';
import {
  ALICE,
  assertRefused,
  done,
  EXAMPLE,
  fetchJwks,
  fetchToken,
  makeSite,
  ROOT,
  type Server,
  type Site,
  saying,
  verify,
} from '../support/processes/site.ts';

const PUSH = 'repository:acme/web:pull,push';

for (const kind of ['embedded', 'postgresql'] as const) {
  describe(`serve on the ${kind} database`, () => {
    let site: Site;
    let server: Server;

    before(async function () {
      this.timeout(60_000);
      site = await makeSite(kind);
      server = await site.serve();
      await done(site, 'directory', 'apply', '-f', EXAMPLE);
    });

    after(() => site.remove());

    it('is ready in a fresh folder', async () => {
      assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
    });

    it('lets only its own user at what it keeps', () => {
      assert.equal(modeOf(site.dataDir), '700');
      assert.equal(modeOf(site.socket), '600');
      assert.equal(modeOf(join(site.dir, 'keys')), '700');
      assert.equal(modeOf(site.masterKey), '600');
      if (kind === 'embedded') assert.equal(modeOf(join(site.dataDir, 'pgdata')), '700');
    });

    it('gives a token that the published keys verify', async () => {
      const claims = await verify(await fetchToken(server.url, ALICE, PUSH), await fetchJwks(server.url));
      assert.equal(claims.sub, 'alice');
      assert.deepEqual(
        claims.access.map(({ type, name, actions }) => ({ type, name, actions })),
        [{ type: 'repository', name: 'acme/web', actions: ['pull', 'push'] }],
      );
    });

    for (const command of ['serve', 'migrate']) {
      // On PostgreSQL a migration takes a lock in the database and needs no data directory.
      if (kind === 'postgresql' && command === 'migrate') continue;
      it(`refuses ${command} on its data directory, and goes on unharmed`, async () => {
        assertRefused(
          await site.run([command]),
          /in use by another process/,
          site.dataDir,
          /CELLPASS_DATA_DIR/,
        );
        await verify(await fetchToken(server.url, ALICE, PUSH), await fetchJwks(server.url));
        assert.match(await done(site, 'directory', 'apply', '-f', EXAMPLE), /nothing changed/);
      });
    }

    it('keeps its keys and its directory over a restart', async () => {
      const jwks = await fetchJwks(server.url);
      const token = await fetchToken(server.url, ALICE, PUSH);
      assert.equal(await server.stop(), 0);
      assert.equal(existsSync(site.socket), false);
      server = await site.serve();
      assert.deepEqual(await fetchJwks(server.url), jwks);
      await verify(token, await fetchJwks(server.url));
      await verify(await fetchToken(server.url, ALICE, PUSH), jwks);
    });

    it('starts again after a kill -9, which leaves the socket behind', async () => {
      const jwks = await fetchJwks(server.url);
      server.child.signal('SIGKILL');
      await server.child.ended;
      assert.equal(existsSync(site.socket), true);
      server = await site.serve();
      assert.equal(modeOf(site.socket), '600');
      assert.deepEqual(await fetchJwks(server.url), jwks);
      await verify(await fetchToken(server.url, ALICE, PUSH), jwks);
      assert.match(await done(site, 'keys', 'list'), /active/);
    });
  });
}

describe('a server that is killed', () => {
  it('leaves no process behind that hashes passwords', async function () {
    this.timeout(60_000);
    const site = await makeSite('postgresql');
    try {
      const { child } = await site.serve();
      const hashers = hashersOf(child.pid!);
      assert.equal(hashers.length, 1);
      child.signal('SIGKILL');
      await until(
        () => (hashers.some(isAlive) ? undefined : true),
        () => 'it is still there',
        10_000,
      );
    } finally {
      await site.remove();
    }
  });
});

describe('SIGUSR1', () => {
  it('opens the debugger of no process, which other users of the machine could connect to', async function () {
    this.timeout(60_000);
    const site = await makeSite('postgresql');
    try {
      const port = await freePort();
      const server = await site.serve({
        CELLPASS_WORKERS: '2',
        NODE_OPTIONS: `--inspect-port=127.0.0.1:${port}`,
      });
      await done(site, 'directory', 'apply', '-f', EXAMPLE);
      const { pid = 0 } = server.child;
      const processes = [pid, ...workersOf(pid), ...hashersOf(pid)];
      assert.equal(processes.length, 4);
      for (const one of processes) process.kill(one, 'SIGUSR1');
      // Each process has answered after the signal, so that it has had time to open it.
      for (let login = 0; login < 10; login++) await fetchToken(server.url, ALICE, PUSH);
      await assert.rejects(fetch(`http://127.0.0.1:${port}/json`));
      assert.doesNotMatch(server.child.output(), /Debugger/);
      assert.ok(processes.every(isAlive));
    } finally {
      await site.remove();
    }
  });
});

describe('npm start', () => {
  it('passes SIGTERM on, and leaves no server behind', async function () {
    this.timeout(60_000);
    const site = await makeSite('postgresql');
    const url = `http://127.0.0.1:${await freePort()}`;
    const env = { ...site.env, CELLPASS_LISTEN: url.slice('http://'.length) };
    const npm = startChild('npm start', 'npm', ['start'], { env, cwd: ROOT });
    let servers: readonly number[] = [];
    try {
      await saying(npm, '"msg":"listening"');
      servers = descendantsOf(npm.pid!);
      await npm.stop();
      await until(
        () => (servers.some(isAlive) ? undefined : true),
        () => 'a process of it is still there',
        10_000,
      );
      assert.match(npm.output(), /"msg":"stopping/);
    } finally {
      await npm.stop();
      for (const pid of servers.filter(isAlive)) process.kill(pid, 'SIGKILL');
      await site.remove();
    }
  });
});

function descendantsOf(pid: number): readonly number[] {
  const { stdout } = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' });
  const children = stdout.split('\n').filter(Boolean).map(Number);
  return [...children, ...children.flatMap(descendantsOf)];
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}
