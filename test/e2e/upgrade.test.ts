import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, sharedPostgres } from '../support/database/postgres.ts';
import { type Load, startLoad } from '../support/e2e/load.ts';
import { type Child, type Outcome, runToEnd, startChild } from '../support/processes/child.ts';
import { ALICE, EXAMPLE, fetchJwks, fetchToken, ROOT, saying, verify } from '../support/processes/site.ts';

/** The release before: the last commit without admin roles. Move it on with each release. */
const BEFORE = 'd7f8992b959d32d5a1f2267031662841b45ac387';
const SCOPE = 'repository:acme/platform/api:pull,push';
const TIMES = 20;

/** One program with a data directory of its own; all share the database and `master.key`. */
interface Replica {
  readonly url: string;
  readonly child: Child;
  run(...args: string[]): Promise<string>;
}

/** One story: a release replaces the one before, while clients ask both. */
describe('an upgrade under load', function () {
  this.timeout(180_000);
  let dir: string;
  let folder: string;
  let database: string;
  let load: Load;
  const children: Child[] = [];
  /** What a load balancer would send clients to. */
  const urls: string[] = [];
  let old: Replica;
  let next: Replica;

  const start = async (root: string, name: string): Promise<Replica> => {
    const port = await freePort();
    const env = {
      HOME: dir,
      CELLPASS_DATABASE_URL: database,
      CELLPASS_KEYS_DIR: join(dir, 'keys'),
      CELLPASS_DATA_DIR: join(dir, name),
      CELLPASS_LISTEN: `127.0.0.1:${port}`,
    };
    const bin = join(root, 'bin/cellpass');
    const child = startChild(name, bin, ['serve'], { env, cwd: dir });
    children.push(child);
    await saying(child, '"msg":"listening"');
    const run = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await runToEnd(bin, args, { env, cwd: dir });
      assert.equal(code, 0, `${name}: ${args.join(' ')}: ${stderr}`);
      return stdout;
    };
    return { url: `http://127.0.0.1:${port}`, child, run };
  };

  /** Out of the balancer first, as `/readyz` does it, then SIGTERM. */
  const stop = async ({ url, child }: Replica): Promise<void> => {
    urls.splice(urls.indexOf(url), 1);
    await load.more(1);
    await child.stop();
  };

  before(async function () {
    if (!hasCommit(BEFORE)) {
      console.log(
        `      skipped: this clone has no commit ${BEFORE.slice(0, 7)}; "git fetch --unshallow" gets it`,
      );
      this.skip();
    }
    dir = await mkdtemp(join(tmpdir(), 'cellpass-upgrade-'));
    folder = join(dir, 'before');
    await buildBefore(folder);
    database = await (await sharedPostgres()).createDatabase();
    old = await start(folder, 'old');
    await old.run('directory', 'apply', '-f', EXAMPLE);
    const { token } = JSON.parse(
      await old.run(
        ...'token create --kind personal --user alice --scopes read_registry --name ci --json'.split(' '),
      ),
    );
    urls.push(old.url);
    let turn = 0;
    const ask = (credentials: readonly [string, string]) => async (): Promise<Outcome> => {
      const url = urls[turn++ % urls.length] ?? '';
      return outcomeOf(async () => verify(await fetchToken(url, credentials, SCOPE), await fetchJwks(url)));
    };
    load = startLoad({ password: ask(ALICE), token: ask(['alice', token]), again: ask(['alice', token]) });
  });
  after(async () => {
    await load?.stop();
    for (const child of children) await child.stop();
    if (dir !== undefined) await rm(dir, { recursive: true, force: true });
  });
  afterEach(() => assert.deepEqual(load.failures, []));

  it('begins with the release before', () => load.more(TIMES));

  it('migrates when the first new replica starts, and both answer', async () => {
    next = await start(ROOT, 'new');
    assert.match(next.child.output(), /"msg":"migrated the database"/);
    urls.push(next.url);
    await load.more(TIMES);
  });

  it('keeps the keys of both together: a rotation by either is followed by the other', async () => {
    for (const by of [next, old]) {
      const { activated } = JSON.parse(await by.run('keys', 'rotate', '--force', '--json'));
      await load.more(TIMES);
      for (const { url } of [old, next]) {
        const header = (await fetchToken(url, ALICE, SCOPE)).split('.')[0] ?? '';
        assert.equal(JSON.parse(Buffer.from(header, 'base64url').toString()).kid, activated);
      }
    }
  });

  it('takes changes by both', async () => {
    for (const [by, other] of [
      [old, next],
      [next, old],
    ] as const) {
      const order = 'token create --kind personal --user alice --scopes read_registry --name both --json';
      const { id, token } = JSON.parse(await by.run(...order.split(' ')));
      await fetchToken(other.url, ['alice', token], SCOPE);
      await other.run('token', 'revoke', id);
      await assert.rejects(fetchToken(by.url, ['alice', token], SCOPE), /401/);
      await other.run('directory', 'apply', '-f', EXAMPLE);
    }
  });

  it('lets an old replica start again on the new schema, with a warning', async () => {
    await stop(old);
    old = await start(folder, 'old');
    assert.match(old.child.output(), /a newer cellpass has migrated the database/);
    urls.push(old.url);
    await load.more(TIMES);
  });

  it('ends with the new release alone, and no request has failed', async () => {
    await stop(old);
    await load.more(TIMES);
    await load.stop();
    assert.deepEqual(load.failures, []);
  });
});

function hasCommit(commit: string): boolean {
  try {
    execFileSync('git', ['-C', ROOT, 'cat-file', '-e', `${commit}^{commit}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** The sources of the commit, with the packages of this checkout. */
async function buildBefore(folder: string): Promise<void> {
  const archive = `${folder}.tar`;
  execFileSync('git', ['-C', ROOT, 'archive', '--format=tar', `--prefix=before/`, '-o', archive, BEFORE]);
  execFileSync('tar', ['-xf', archive, '-C', join(folder, '..')]);
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const { code, stdout } = await runToEnd(
    join(ROOT, 'node_modules/.bin/tsc'),
    ['-p', 'tsconfig.build.json'],
    {
      cwd: folder,
      timeoutMs: 120_000,
    },
  );
  assert.equal(code, 0, stdout);
}

async function outcomeOf(work: () => Promise<unknown>): Promise<Outcome> {
  try {
    await work();
    return { code: 0, stdout: '', stderr: '' };
  } catch (error) {
    return { code: 1, stdout: '', stderr: String(error) };
  }
}
