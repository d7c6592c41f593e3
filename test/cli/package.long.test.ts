import assert from 'node:assert/strict';
import { chmod, copyFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, sharedPostgres } from '../support/database/postgres.ts';
import { type Child, type Outcome, runToEnd, startChild } from '../support/processes/child.ts';
import { ALICE, EXAMPLE, fetchJwks, fetchToken, saying, verify } from '../support/processes/site.ts';

const ROOT = join(import.meta.dirname, '../..');
const MINUTE_MS = 60_000;
const NOBODY = 65_534;
/**
 * A private key: its first line with another of base64 after it (libraries hold the first alone),
 * or the private half of a JWK.
 */
const PRIVATE_KEY =
  /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}|"d"\s*:\s*"[A-Za-z0-9_-]{40}/;

/** A server with a folder of its own, as a user who may write to nothing else. */
interface Installation {
  readonly url: string;
  readonly child: Child;
  run(...args: readonly string[]): Promise<Outcome>;
}

describe('the package, installed elsewhere with what production needs', () => {
  let dir: string;
  let packed: readonly string[];
  const children: Child[] = [];

  before(async function () {
    this.timeout(3 * MINUTE_MS);
    dir = await mkdtemp(join(tmpdir(), 'cellpass-package-'));
    await chmod(dir, 0o755);
    const [{ filename, files }] = JSON.parse(
      await succeed('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', dir], ROOT),
    );
    packed = files.map((file: { readonly path: string }) => file.path);
    await succeed('tar', ['-xzf', filename], dir);
    const program = join(dir, 'package');
    for (const name of ['package-lock.json', '.npmrc']) await copyFile(join(ROOT, name), join(program, name));
    // As deploy/Dockerfile does it. No package may need its install script, because npm 11 doesn't run them unasked.
    await succeed('npm', ['ci', '--omit=dev', '--ignore-scripts', '--prefer-offline'], program);
    await succeed('chmod', ['-R', 'a-w,a+rX', program], dir);
  });

  after(async () => {
    for (const child of children) await child.stop();
    if (dir !== undefined) await rm(dir, { recursive: true, force: true });
  });

  /** npm needs its own settings and caches. */
  async function succeed(command: string, args: string[], cwd: string): Promise<string> {
    const env = Object.fromEntries(
      Object.entries(process.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    );
    const { code, stdout, stderr } = await runToEnd(command, args, { cwd, env, timeoutMs: 2 * MINUTE_MS });
    assert.equal(code, 0, `${command} ${args.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  }

  async function install(name: string, more: Readonly<Record<string, string>> = {}): Promise<Installation> {
    const home = join(dir, name);
    await succeed('install', ['-d', '-m', '0700', ...(isRoot() ? ['-o', String(NOBODY)] : []), home], dir);
    const port = await freePort();
    const env = {
      HOME: home,
      CELLPASS_DATA_DIR: join(home, 'data'),
      CELLPASS_KEYS_DIR: join(home, 'keys'),
      CELLPASS_LISTEN: `127.0.0.1:${port}`,
      ...more,
    };
    const [command, ...args] = unprivileged(join(dir, 'package/bin/cellpass'));
    const child = startChild('cellpass serve', command, [...args, 'serve'], { env, cwd: '/' });
    children.push(child);
    await saying(child, '"msg":"listening"');
    return {
      url: `http://127.0.0.1:${port}`,
      child,
      run: (...rest) => runToEnd(command, [...args, ...rest], { env, cwd: '/' }),
    };
  }

  it('holds the program and the contract, and nothing else', () => {
    const isExpected =
      /^(LICENSE|README\.md|package\.json|bin\/cellpass|openapi\/openapi\.yaml|dist\/.+\.js)$/;
    assert.deepEqual(
      packed.filter((path) => !isExpected.test(path)),
      [],
    );
    for (const path of ['LICENSE', 'bin/cellpass', 'openapi/openapi.yaml', 'dist/main.js']) {
      assert.ok(packed.includes(path), path);
    }
  });

  it('is what the image holds', async () => {
    const dockerfile = await readFile(join(ROOT, 'deploy/Dockerfile'), 'utf8');
    const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '));
    const copied = [...last.matchAll(/^COPY (?:--from=\S+ )?(.+) \S+$/gm)].flatMap(([, sources = '']) =>
      sources.split(' ').map((source) => source.replace('/src/', '')),
    );
    const held = packed.map((path) => path.replace(/\/.*/, '')).filter((path) => path !== 'README.md');
    assert.deepEqual(new Set(copied), new Set([...held, 'node_modules']));
  });

  it('security check 4: neither it nor what it depends on holds a private key', async function () {
    this.timeout(MINUTE_MS);
    const files = await readdir(join(dir, 'package'), { recursive: true, withFileTypes: true });
    const paths = files.filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name));
    assert.ok(paths.length > packed.length);
    const found: string[] = [];
    for (const path of paths) {
      if (PRIVATE_KEY.test(await readFile(path, 'latin1'))) found.push(path);
    }
    assert.deepEqual(found, []);
  });

  it('serves, gives a token for a password, and ends at SIGTERM; security check 4: two installations have no key in common', async function () {
    this.timeout(2 * MINUTE_MS);
    const first = await install('first');
    const second = await install('second', {
      CELLPASS_DATABASE_URL: await (await sharedPostgres()).createDatabase(),
    });
    // Whoever runs the program may not reach into the checkout.
    const document = join(dir, 'acme.yaml');
    await copyFile(EXAMPLE, document);
    const applied = await first.run('directory', 'apply', '-f', document);
    assert.equal(applied.code, 0, applied.stderr);
    const jwks = await fetchJwks(first.url);
    const claims = await verify(await fetchToken(first.url, ALICE, 'repository:acme/web:pull'), jwks);
    assert.equal(claims.sub, 'alice');

    const others = await fetchJwks(second.url);
    const moduli = [jwks, others].flatMap(({ keys }) => [...new Set(keys.map(({ n }) => n))]);
    assert.equal(new Set(moduli).size, moduli.length);
    assert.ok(moduli.length >= 2);

    for (const { child } of [first, second]) {
      child.signal('SIGTERM');
      assert.equal(await child.ended, 0, child.output());
    }
  });
});

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** The command as a user without rights, where there are any to give up. */
function unprivileged(command: string): [command: string, ...args: string[]] {
  if (!isRoot()) return [command];
  const id = String(NOBODY);
  return [
    'setpriv',
    '--reuid',
    id,
    '--regid',
    id,
    '--clear-groups',
    '--bounding-set=-all',
    '--no-new-privs',
    command,
  ];
}
