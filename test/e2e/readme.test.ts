import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { freePort } from '../support/database/postgres.ts';
import { needs } from '../support/e2e/bench.ts';
import { type DebianTool, debianTool } from '../support/e2e/tools.ts';
import { codeBlocks } from '../support/markdown.ts';
import { type Child, type Outcome, runToEnd, startChild, until } from '../support/processes/child.ts';

const ROOT = join(import.meta.dirname, '../..');
const PROGRAMS: readonly DebianTool[] = ['docker-registry', 'docker', 'skopeo'];
/** In README.md and in examples/registry.yml. */
const CELLPASS = '127.0.0.1:8080';
const REGISTRY = '127.0.0.1:5000';

/**
 * A folder like a fresh clone, in which the README's commands run. Free ports replace the README's.
 */
interface Clone {
  readonly dir: string;
  readonly children: Child[];
  run(script: string): Promise<Outcome>;
  start(name: string, script: string, says: RegExp): Promise<void>;
}

describe('README.md', function () {
  this.timeout(120_000);
  let readme = '';
  let clone: Clone;

  before(async () => {
    readme = await readFile(join(ROOT, 'README.md'), 'utf8');
    clone = await makeClone();
    await clone.start('cellpass', 'exec bin/cellpass serve', /"msg":"listening"/);
  });
  after(async () => {
    for (const child of clone.children.toReversed()) await child.stop();
    await rm(clone.dir, { recursive: true, force: true });
  });

  it('leads to a first token', async function () {
    if ((await clone.run('command -v curl')).code !== 0) {
      console.log('skipped: the first token of README.md, because curl is not installed');
      this.skip();
    }
    const [apply, token, explain] = codeBlocks(readme, { heading: '## First token', language: 'bash' });
    await done(clone, apply);
    const { access_token } = JSON.parse(await done(clone, token));
    assert.equal(typeof access_token, 'string');
    await done(clone, explain);
  });

  it('shows what explain really prints', async () => {
    const [shown = ''] = codeBlocks(readme, { heading: '# cellpass', language: 'console' });
    const [command = '', ...lines] = shown.split('\n');
    assert.match(command, /^\$ bin\/cellpass explain /);
    assert.equal(withoutTime(await done(clone, command.slice(2))), withoutTime(lines.join('\n')));
  });

  describe('with a registry', () => {
    for (const program of PROGRAMS) needs(() => debianTool(program));

    it('leads to a first push and pull', async () => {
      const blocks = codeBlocks(readme, { heading: '## First push and pull', language: 'bash' });
      const [exportCa, serve = '', login, pushAndPull, audit] = blocks;
      assert.equal(blocks.length, 5);
      await done(clone, exportCa);
      await clone.start('docker-registry', `exec ${serve}`, /listening on 127\.0\.0\.1/);
      assert.match(await done(clone, login), /Login Succeeded/);
      await done(clone, pushAndPull);
      await until(
        async () => ((await done(clone, audit)).includes('alice') ? true : undefined),
        () => 'the audit record does not name alice',
      );
    });
  });
});

async function makeClone(): Promise<Clone> {
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-readme-'));
  const ports = { [CELLPASS]: await freePort(), [REGISTRY]: await freePort() };
  const translate = (text: string): string =>
    Object.entries(ports).reduce(
      (sum, [address, port]) => sum.replaceAll(address, `127.0.0.1:${port}`),
      text,
    );
  for (const name of ['bin', 'README.md']) await symlink(join(ROOT, name), join(dir, name));
  await mkdir(join(dir, 'keys'));
  await cp(join(ROOT, 'examples'), join(dir, 'examples'), { recursive: true });
  const configuration = join(dir, 'examples/registry.yml');
  await writeFile(configuration, translate(await readFile(configuration, 'utf8')));

  const options = async () => ({ cwd: dir, env: await environment(dir, `127.0.0.1:${ports[CELLPASS]}`) });
  const children: Child[] = [];
  return {
    dir,
    children,
    run: async (script) => runToEnd('bash', ['-e', '-c', translate(script)], await options()),
    start: async (name, script, says) => {
      const child = startChild(name, 'bash', ['-e', '-c', translate(script)], await options());
      children.push(child);
      await until(
        () => {
          if (!child.running()) throw new Error(`${name} ended:\n${child.output()}`);
          return says.test(child.output()) ? true : undefined;
        },
        () => `${name} does not say ${says}:\n${child.output()}`,
        60_000,
      );
    },
  };
}

/**
 * With its own home, so that `docker login` changes no user's login, and with the unpacked
 * programs.
 */
async function environment(home: string, listen: string): Promise<Record<string, string>> {
  const programs = await Promise.all(PROGRAMS.map(debianTool));
  const folders = programs.flatMap((path) => (path === undefined ? [] : [dirname(path)]));
  const path = [...folders, process.env['PATH'] ?? ''].join(delimiter);
  return { HOME: home, PATH: path, CELLPASS_LISTEN: listen };
}

async function done(clone: Clone, script: string | undefined): Promise<string> {
  assert.ok(script !== undefined, 'the README lacks a command');
  const { code, stdout, stderr } = await clone.run(script);
  assert.equal(code, 0, `${script}\n${stdout}${stderr}`);
  return stdout;
}

function withoutTime(text: string): string {
  return text.replace(/\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z| UTC)?/g, 'TIME').trim();
}
