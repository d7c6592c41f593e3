import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Outcome } from '../../support/processes/child.ts';
import {
  assertRefused,
  done,
  EXAMPLE,
  makeSite,
  type Server,
  type Site,
} from '../../support/processes/site.ts';

/** One story: a backup, revocations after it, a lost database. */
describe('revocations.jsonl', function () {
  this.timeout(120_000);
  let site: Site;
  let server: Server;
  let backup: string;
  let file: string;
  const secrets: Record<string, string> = {};
  const mint = async (name: string): Promise<string> => {
    const order = `token create --kind personal --user alice --scopes read_registry --name ${name} --json`;
    const { id, token } = JSON.parse(await done(site, ...order.split(' ')));
    secrets[name] = token;
    return id;
  };
  const login = async (name: string): Promise<number> => {
    const basic = Buffer.from(`alice:${secrets[name]}`).toString('base64');
    const url = `${server.url}/jwt/auth?service=container_registry&scope=repository:acme/platform/api:pull`;
    const { status } = await fetch(url, { headers: { authorization: `Basic ${basic}` } });
    return status;
  };
  /** Runs a command while the file can't be written. */
  const runWithoutFile = async (...args: string[]): Promise<Outcome> => {
    await rename(file, `${file}.kept`);
    await mkdir(file);
    try {
      return await site.run(args);
    } finally {
      await rm(file, { recursive: true });
      await rename(`${file}.kept`, file);
    }
  };
  const lines = async () =>
    (await readFile(file, 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  let early: string;
  let late: string;
  let activeKid: string;

  before(async () => {
    site = await makeSite('embedded');
    file = join(site.dataDir, 'revocations.jsonl');
    backup = join(site.dir, 'backup');
    server = await site.serve();
    await done(site, 'directory', 'apply', '-f', EXAMPLE);
    early = await mint('early');
    await mint('kept');
    await done(site, ...'admin-token create --name ops'.split(' '));
    await done(site, 'backup', backup);
    late = await mint('late');
  });
  after(() => site.remove());

  it('has one line for each revocation, and no secret', async () => {
    await done(site, 'token', 'revoke', early);
    await done(site, 'token', 'revoke', late);
    await done(site, 'admin-token', 'revoke', '1');
    const { keys } = JSON.parse(await done(site, 'keys', 'list', '--json'));
    activeKid = keys.find((key: { state: string }) => key.state === 'active').kid;
    await done(site, 'keys', 'revoke', activeKid, '--reason', 'leaked');
    assert.deepEqual(
      (await lines()).map(({ kind, id, kid }) => [kind, id ?? kid]),
      [
        // The example declares one as revoked.
        ['token', 'access-3'],
        ['token', early],
        ['token', late],
        ['admin_token', 1],
        ['key', activeKid],
      ],
    );
    const text = await readFile(file, 'utf8');
    for (const secret of Object.values(secrets)) assert.ok(!text.includes(secret));
  });

  it('has what a document declares as revoked, and what undoes the undo of that', async () => {
    const id = await mint('documented');
    const document = join(site.dir, 'document.json');
    const entry = {
      id: Number(id.slice('access-'.length)),
      kind: 'personal',
      user: 'alice',
      name: 'documented',
    };
    await writeFile(document, JSON.stringify({ version: 1, access_tokens: [{ ...entry, revoked: true }] }));
    const before = (await lines()).length;
    const apply = async (...args: string[]) =>
      JSON.parse(await done(site, 'directory', 'apply', '-f', document, '--merge', '--json', ...args));
    assert.equal((await site.run(['directory', 'apply', '-f', document, '--merge', '--dry-run'])).code, 2);
    assert.equal((await lines()).length, before);
    const { change_id, changes } = await apply('--yes');
    assert.equal(changes.length, 1);
    const undone = JSON.parse(await done(site, 'directory', 'undo', String(change_id), '--json'));
    const redone = JSON.parse(await done(site, 'directory', 'undo', String(undone.change_id), '--json'));
    const added = (await lines()).slice(before);
    assert.deepEqual(
      added.map(({ kind, id: token }) => [kind, token]),
      [
        ['token', id],
        ['token', id],
      ],
    );
    const digest = createHash('sha256')
      .update(secrets['documented'] ?? '')
      .digest('hex');
    assert.equal(added[0].sha256, digest);
    assert.equal(await login('documented'), 401);
    const valid = JSON.parse(await done(site, 'directory', 'undo', String(redone.change_id), '--json'));
    const { code, stderr } = await runWithoutFile('directory', 'undo', String(valid.change_id));
    assert.equal(code, 0, stderr);
    assert.equal(stderr.match(/^warning: /gm)?.length, 1, stderr);
  });

  it('is not needed for a revocation: the answer then has a warning', async () => {
    const id = await mint('unnoted');
    const { code, stdout, stderr } = await runWithoutFile('token', 'revoke', id, '--json');
    assert.equal(code, 0, stderr);
    assert.equal(JSON.parse(stdout).revoked, true);
    assert.match(JSON.parse(stdout).warning, /could not be noted in .+revocations\.jsonl/);
    assert.match(stderr, /^warning: this is revoked, but /);
    assert.equal(await login('unnoted'), 401);
  });

  it('revokes everything again after a restore', async () => {
    assert.equal(await server.stop(), 0);
    await rename(join(site.dataDir, 'pgdata'), join(site.dir, 'lost'));
    const { code, stdout, stderr } = await site.run(['restore', backup, '--revocations', file]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^revoked again: 5 token, 1 admin token, 1 key$/m);
    server = await site.serve();
    assert.deepEqual([await login('early'), await login('late'), await login('kept')], [401, 401, 200]);
    const [admin] = JSON.parse(await done(site, 'admin-token', 'list', '--json')).admin_tokens;
    assert.notEqual(admin.revoked_at, null);
    const { keys } = JSON.parse(await done(site, 'keys', 'list', '--json'));
    assert.equal(keys.find((key: { kid: string }) => key.kid === activeKid).state, 'revoked');
  });

  it('may be given without a backup, and a second time', async () => {
    assert.equal(await server.stop(), 0);
    const { code, stderr } = await site.run(['restore', '--revocations', file, '--json']);
    assert.equal(code, 0, stderr);
  });

  it('is refused as a whole, with the number of a line that is none', async () => {
    const wrong = join(site.dir, 'wrong.jsonl');
    await writeFile(wrong, `${await readFile(file, 'utf8')}{"time":"2026`);
    await chmod(wrong, 0o600);
    assertRefused(await site.run(['restore', '--revocations', wrong]), /line 8 of .+ is no revocation/);
    assert.equal((await site.run(['restore'])).code, 2);
  });
});
