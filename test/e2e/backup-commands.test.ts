import assert from 'node:assert/strict';
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort, sharedPostgres } from '../support/database/postgres.ts';
import { codeBlocks } from '../support/markdown.ts';
import { runToEnd, startChild } from '../support/processes/child.ts';
import {
  ALICE,
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

const DOCUMENT = await readFile(join(ROOT, 'docs/backup.md'), 'utf8');
const SCOPE = 'repository:acme/platform/api:pull,push';

/**
 * The commands of docs/backup.md, as they are there, with other folders. What the system does, such
 * as stopping a service, the test does in their place.
 */
describe('the commands of docs/backup.md', function () {
  this.timeout(120_000);
  let site: Site;
  let server: Server;
  let jwks: Awaited<ReturnType<typeof fetchJwks>>;
  before(async () => {
    site = await makeSite('embedded');
    server = await site.serve();
    await done(site, 'directory', 'apply', '--yes', '-f', EXAMPLE);
    jwks = await fetchJwks(server.url);
  });
  after(() => site.remove());

  const shell = (script: string, env: Readonly<Record<string, string>>) =>
    runToEnd('/bin/sh', ['-ec', `PATH=${ROOT}/bin:$PATH\n${script}`], { env, cwd: site.dir });

  /** Starts a server with the settings that the commands exported, and asks it for a token. */
  const assertServes = async (env: Readonly<Record<string, string>>): Promise<void> => {
    const port = await freePort();
    const all = { HOME: site.dir, ...env, CELLPASS_LISTEN: `127.0.0.1:${port}` };
    const child = startChild('cellpass serve', join(ROOT, 'bin/cellpass'), ['serve'], {
      env: all,
      cwd: site.dir,
    });
    try {
      await saying(child, '"msg":"listening"');
      const token = await fetchToken(`http://127.0.0.1:${port}`, ALICE, SCOPE);
      // By the keys from before: registries need nothing.
      assert.deepEqual((await verify(token, jwks)).access[0]?.actions, ['pull', 'push']);
    } finally {
      await child.stop();
    }
  };

  it('restore on an empty machine', async () => {
    await done(site, 'backup', join(site.dir, 'cellpass.backup'));
    await copyFile(site.masterKey, join(site.dir, 'master.key'));
    const [script = ''] = codeBlocks(DOCUMENT, { heading: '## Restore on an empty machine', language: '' });
    const commands = script.replaceAll('/var/lib/cellpass', `${site.dir}/new`);
    assert.notEqual(commands, script);
    const restore = commands.replace(/^cellpass serve\n/m, '');
    assert.notEqual(restore, commands);
    const { code, stderr } = await shell(restore, { HOME: site.dir });
    assert.equal(code, 0, stderr);
    await assertServes({
      CELLPASS_DATA_DIR: `${site.dir}/new/data`,
      CELLPASS_KEYS_DIR: `${site.dir}/new/keys`,
    });
  });

  it('move from the embedded database to PostgreSQL', async () => {
    const [script = ''] = codeBlocks(DOCUMENT, {
      heading: '## Move from the embedded database to PostgreSQL',
      language: '',
    });
    const url = await (await sharedPostgres()).createDatabase();
    let commands = script;
    for (const [documented, here] of [
      ['/var/lib/cellpass/data', site.env['CELLPASS_DATA_DIR']],
      ['/var/lib/cellpass/keys', site.env['CELLPASS_KEYS_DIR']],
      ['postgresql://cellpass:…@db.example.com/cellpass?sslmode=verify-full', url],
    ] as const) {
      assert.ok(commands.includes(documented) && here !== undefined, documented);
      commands = commands.replace(documented, here);
    }
    const [before = '', after = ''] = commands.split('systemctl stop cellpass\n');
    const backup = await shell(before, site.env);
    assert.equal(backup.code, 0, backup.stderr);
    assert.equal(await server.stop(), 0);
    const restore = await shell(after.replace(/^createdb .*\n/m, ''), site.env);
    assert.equal(restore.code, 0, restore.stderr);
    await assertServes({ ...site.env, CELLPASS_DATABASE_URL: url });
  });
});
