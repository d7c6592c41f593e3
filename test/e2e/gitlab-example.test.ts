import assert from 'node:assert/strict';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../support/database/postgres.ts';
import { type Child, startChild, until } from '../support/processes/child.ts';

const ROOT = join(import.meta.dirname, '../..');
const TSX = join(ROOT, 'node_modules/.bin/tsx');

const ASKS: readonly (readonly [as: string, scope: string, status: number])[] = [
  ['alice:glpat-example-alice-laptop-0001', 'repository:acme/platform/api:pull', 200],
  ['alice:correct horse', 'repository:acme/platform/api:pull,push', 200],
  ['gitlab-ci-token:glcbt-example-api-job-0001', 'repository:acme/platform/api:pull,push', 200],
  ['frank:example blocked password', 'repository:acme/platform/api:pull', 401],
  ['alice:wrong', 'repository:acme/platform/api:pull', 401],
];

for (const args of [[], ['--version', '17.4'], ['--version', '18.2', '--ci']]) {
  describe(`npm run gitlab:example -- ${args.join(' ')}`, function () {
    this.timeout(120_000);
    let dir: string;
    const children: Child[] = [];
    before(async () => {
      dir = await mkdtemp(join(tmpdir(), 'cellpass-example-'));
      for (const name of [
        'examples',
        'src',
        'test',
        'bin',
        'dist',
        'openapi',
        'node_modules',
        'package.json',
      ])
        await symlink(join(ROOT, name), join(dir, name));
    });
    after(async () => {
      for (const child of children.toReversed()) await child.stop();
      await rm(dir, { recursive: true, force: true });
    });

    it('prints the settings with which a server serves its people', async () => {
      const example = startChild('the example', TSX, ['test/support/gitlab/example.ts', ...args], {
        cwd: dir,
      });
      children.push(example);
      const printed = await until(
        () => (example.output().includes('Ctrl+C') ? example.output() : undefined),
        () => `no settings: ${example.output()}`,
        90_000,
      );
      const settings = Object.fromEntries(
        [...printed.matchAll(/^export (\w+)='(.*)'$/gm)].map(([, name, value]) => [name, value]),
      );
      const port = await freePort();
      const server = startChild('cellpass', join(ROOT, 'bin/cellpass'), ['serve'], {
        cwd: dir,
        env: { ...settings, CELLPASS_LISTEN: `127.0.0.1:${port}` },
      });
      children.push(server);
      const url = `http://127.0.0.1:${port}`;
      await until(
        async () => {
          const answer = await fetch(`${url}/readyz`).catch(() => undefined);
          return answer?.ok ? true : undefined;
        },
        () => `not ready: ${server.output()}`,
      );
      for (const [as, scope, status] of ASKS) {
        const answer = await fetch(`${url}/jwt/auth?service=container_registry&scope=${scope}`, {
          headers: { authorization: `Basic ${Buffer.from(as).toString('base64')}` },
        });
        assert.equal(answer.status, status, `${as}: ${await answer.text()}`);
      }
    });
  });
}
