import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeProtectedHeader } from 'jose';
import { createProgram } from '../../../src/cli/program.ts';
import { runCommand } from '../../../src/main.ts';
import {
  ALICE,
  assertRefused,
  done,
  EXAMPLE,
  fetchToken,
  makeSite,
  type Server,
  type Site,
} from '../../support/processes/site.ts';

/** Five mistakes, on lines 3, 5, 7, 9 and 11. */
const FIVE_MISTAKES = `version: 1
users:
  - {username: alice, stat: blocked}
groups:
  - {path: acme/sub}
projects:
  - {path: alice/app, visibility: secret}
access_tokens:
  - {name: t, kind: personal, user: nobody, scopes: [api], token: glpat-example-token-0001}
deploy_tokens:
  - {username: d, scopes: [read_registry], projects: [alice/app], token: short}
`;

describe('the command line', () => {
  let site: Site;
  let server: Server;
  before(async () => {
    site = await makeSite('postgresql');
    server = await site.serve();
  });
  after(() => site.remove());

  it('prints each problem of the settings on a line of its own on a terminal', async () => {
    let stderr = '';
    const terminal = {
      environment: { CELLPASS_LISTEN: 'nowhere', CELLPASS_WORKERS: 'two' },
      stdout: () => undefined,
      stderr: (text: string) => (stderr += text),
    };
    const problem = (name: string) => `${name}: must be .*`;
    const [listen, workers] = [problem('CELLPASS_LISTEN'), problem('CELLPASS_WORKERS')];
    assert.equal(await runCommand(['config', 'show'], terminal), 1);
    assert.match(stderr, new RegExp(`^cellpass: the configuration is wrong: ${listen}; ${workers}\\n$`));
    stderr = '';
    await runCommand(['config', 'show'], { ...terminal, confirm: async () => false });
    assert.match(
      stderr,
      new RegExp(`^cellpass: the configuration is wrong:\\n  ${listen}\\n  ${workers}\\n$`),
    );
  });

  const usages: [what: string, args: string[]][] = [
    ['an unknown command', ['nonsense']],
    ['an unknown subcommand', ['keys', 'nonsense']],
    ['an unknown option', ['keys', 'list', '--nonsense']],
    ['a missing option', ['directory', 'apply']],
    ['a missing name', ['admin-token', 'create']],
    ['a way to a server for a command that needs none', ['doctor', '--admin-url', 'https://a.example']],
    ['a missing value', ['directory', 'check', '-f']],
    ['a token without what its kind needs', ['token', 'create', '--kind', 'personal', '--scopes', 'api']],
    ['explain without a question', ['explain']],
    ['a number that is none', ['audit', '--limit', '0']],
    ['explain of two things at once', ['explain', '--as', 'anonymous', '--request', 'x']],
  ];
  for (const [what, args] of usages) {
    it(`exits with 2 for ${what}`, async () => {
      const { code, stdout, stderr } = await site.run(args);
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr, /error:/);
    });
  }

  const commands = [
    [],
    ['serve'],
    ['migrate'],
    ['directory'],
    ['directory', 'apply'],
    ['directory', 'check'],
    ['directory', 'export'],
    ['directory', 'undo'],
    ['history'],
    ['user'],
    ['user', 'add'],
    ['user', 'block'],
    ['user', 'unblock'],
    ['user', 'set-password'],
    ['member'],
    ['member', 'add'],
    ['member', 'role'],
    ['member', 'remove'],
    ['group', 'rename'],
    ['project', 'move'],
    ['project', 'visibility'],
    ['token'],
    ['token', 'create'],
    ['token', 'list'],
    ['token', 'revoke'],
    ['audit'],
    ['who-can'],
    ['what-can'],
    ['keys'],
    ['keys', 'list'],
    ['keys', 'export-jwks'],
    ['keys', 'export-ca'],
    ['keys', 'export-cert'],
    ['keys', 'history'],
    ['keys', 'probe'],
    ['keys', 'stage'],
    ['keys', 'activate'],
    ['keys', 'rotate'],
    ['keys', 'retire'],
    ['keys', 'revoke'],
    ['keys', 'import'],
    ['keys', 'rewrap'],
    ['keys', 'stage-ca'],
    ['keys', 'import-ca'],
    ['keys', 'activate-ca'],
    ['keys', 'discard-ca'],
    ['cells'],
    ['cells', 'check'],
    ['cells', 'haproxy'],
    ['explain'],
    ['admin-token'],
    ['admin-token', 'create'],
    ['admin-token', 'list'],
    ['admin-token', 'revoke'],
    ['config'],
    ['config', 'show'],
    ['doctor'],
  ];
  it('has help everywhere', async () => {
    for (const args of commands) {
      // In this process: starting one for each takes a quarter of a minute.
      let stdout = '';
      const terminal = {
        environment: {},
        stdout: (text: string) => (stdout += text),
        stderr: assert.fail,
      };
      await assert.rejects(
        createProgram(terminal, '1.0.0').parseAsync([...args, '--help'], { from: 'user' }),
        { exitCode: 0 },
      );
      assert.ok(stdout.startsWith(`Usage: cellpass ${args.join(' ')}`.trimEnd()), args.join(' '));
    }
    const { code, stdout } = await site.run(['keys', '--help']);
    assert.deepEqual([code, stdout.startsWith('Usage: cellpass keys')], [0, true]);
  });

  it('reports every mistake in a document with its line, with and without a server', async () => {
    const file = join(site.dir, 'wrong.yaml');
    await writeFile(file, FIVE_MISTAKES);
    for (const args of [
      ['directory', 'check'],
      ['directory', 'apply'],
    ]) {
      const { code, stdout, stderr } = await site.run([...args, '-f', file]);
      assert.deepEqual([code, stdout], [1, '']);
      for (const line of [3, 5, 7, 9, 11])
        assert.ok(stderr.includes(`${file}:${line}: `), `line ${line} in\n${stderr}`);
      assert.match(stderr, /5 problems/);
      assert.equal(/knows only this document.*apply --dry-run/.test(stderr), args.includes('check'));
    }
    const elsewhere = { CELLPASS_DATA_DIR: join(site.dir, 'none') };
    assert.equal((await site.run(['directory', 'check', '-f', EXAMPLE], { env: elsewhere })).code, 0);
  });

  it('says what to do when no server answers, or no file is there', async () => {
    const env = { CELLPASS_DATA_DIR: join(site.dir, 'none') };
    assertRefused(await site.run(['keys', 'list'], { env }), 'cellpass serve', 'CELLPASS_DATA_DIR');
    assertRefused(await site.run(['directory', 'apply', '-f', 'none.yaml']), 'none.yaml');
  });

  it('applies the example, once, and exports it again', async () => {
    const first = JSON.parse(await done(site, 'directory', 'apply', '-f', EXAMPLE, '--json'));
    assert.equal(first.changed, true);
    assert.match(await done(site, 'directory', 'apply', '-f', EXAMPLE), /nothing changed/);
    const exported = join(site.dir, 'exported.yaml');
    await writeFile(exported, await done(site, 'directory', 'export'));
    const again = JSON.parse(await done(site, 'directory', 'apply', '-f', exported, '--prune', '--json'));
    assert.equal(again.changed, false);
  });

  it('explains as README says, for people and as JSON', async () => {
    await done(site, 'directory', 'apply', '-f', EXAMPLE);
    const question = ['explain', '--as', 'user:alice', '--scope', 'repository:acme/platform/api:pull,delete'];
    const text = await done(site, ...question);
    assert.match(text, /^granted in part\n/);
    assert.match(
      text,
      /pull: granted by role: alice is developer through group acme\/platform, inherited from acme/,
    );
    assert.match(text, /delete: refused/);
    const { scopes } = JSON.parse(await done(site, ...question, '--json'));
    assert.deepEqual(
      scopes[0].actions.map(({ action, verdict }: Record<string, string>) => [action, verdict]),
      [
        ['pull', 'grant'],
        ['delete', 'refuse'],
      ],
    );
    assertRefused(
      await site.run(['explain', '--as', 'user:nobody', '--scope', 'repository:a/b:pull']),
      'nobody',
    );
    assertRefused(await site.run(['explain', '--request', 'not-an-id']), /id/);
  });

  it('exports what verifies a token: the CA its certificate, the JWK Set its key', async () => {
    await done(site, 'directory', 'apply', '-f', EXAMPLE);
    const header = decodeProtectedHeader(await fetchToken(server.url, ALICE, 'repository:acme/web:pull'));
    const ca = join(site.dir, 'ca.pem');
    const leaf = join(site.dir, 'leaf.pem');
    await writeFile(ca, await done(site, 'keys', 'export-ca'));
    await writeFile(leaf, `-----BEGIN CERTIFICATE-----\n${header.x5c?.[0]}\n-----END CERTIFICATE-----\n`);
    assert.match(execFileSync('openssl', ['verify', '-CAfile', ca, leaf], { encoding: 'utf8' }), /OK/);
    const { keys } = JSON.parse(await done(site, 'keys', 'export-jwks'));
    assert.ok(keys.some(({ kid }: { kid: string }) => kid === header.kid));
    const listed = JSON.parse(await done(site, 'keys', 'list', '--json'));
    assert.deepEqual(
      [listed.keys.length, listed.keys[0].kid, listed.keys[0].state],
      [1, header.kid, 'active'],
    );
    assert.match(await done(site, 'keys', 'list'), /^STATE +KID/);
  });
});
