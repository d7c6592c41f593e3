import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { until } from '../../support/processes/child.ts';
import {
  ALICE,
  assertRefused,
  done,
  EXAMPLE,
  fetchJwks,
  fetchToken,
  makeSite,
  type Site,
  verify,
} from '../../support/processes/site.ts';

const SCOPE = 'repository:acme/platform/api:pull,push';

/** A site whose master.key is that of another site. */
async function withKeyOf(other: Site, kind: 'embedded' | 'postgresql'): Promise<Site> {
  const site = await makeSite(kind);
  return { ...site, env: { ...site.env, CELLPASS_KEYS_DIR: join(other.dir, 'keys') } };
}

/** The site with the settings of its `env`, which `makeSite` has bound to the old ones. */
function settings(site: Site): { readonly env: Readonly<Record<string, string>> } {
  return { env: site.env };
}

/** What an admin sees of the tokens and of the history. */
interface Listed {
  readonly tokens: readonly unknown[];
  readonly changes: readonly unknown[];
}

async function listAll(site: Site): Promise<Listed> {
  const { tokens } = JSON.parse(await done(site, 'token', 'list', '--json'));
  const { changes } = JSON.parse(await done(site, 'history', '--json', '--limit', '1000'));
  return { tokens, changes };
}

/** The files that a process of this machine has open. */
function openFiles(pid: number): readonly string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((fd) => {
    try {
      return [readlinkSync(join(folder, fd))];
    } catch {
      // Closed meanwhile.
      return [];
    }
  });
}

/** One story: each test goes on where the last one ended. */
describe('cellpass backup and restore', function () {
  this.timeout(120_000);
  let embedded: Site;
  let file: string;
  let token: string;
  let admin: string;
  let jwksBefore: unknown;
  let pid: number;
  let caBefore: string;
  let listedBefore: Listed;
  const sites: Site[] = [];

  before(async () => {
    embedded = await makeSite('embedded');
    sites.push(embedded);
    file = join(embedded.dir, 'first.backup');
    const server = await embedded.serve();
    pid = server.child.pid ?? 0;
    await done(embedded, 'directory', 'apply', '-f', EXAMPLE);
    const minted = JSON.parse(
      await done(
        embedded,
        ...'token create --kind personal --user alice --scopes read_registry --name kept --json'.split(' '),
      ),
    );
    token = minted.token;
    admin = (await done(embedded, ...'admin-token create --name ops --role read'.split(' '))).trim();
    jwksBefore = await fetchJwks(server.url);
    caBefore = await done(embedded, 'keys', 'export-ca');
    await done(embedded, 'user', 'block', 'bob');
    listedBefore = await listAll(embedded);
  });
  after(async () => {
    for (const site of sites) await site.remove();
  });

  it('writes one file that only its owner can read, and nothing of master.key', async () => {
    const answer = JSON.parse(await done(embedded, 'backup', file, '--json'));
    assert.equal(answer.rows.users > 0 && answer.rows.signing_keys, 1);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const text = gunzipSync(await readFile(file)).toString();
    const master = (await readFile(embedded.masterKey, 'utf8')).trim();
    assert.ok(!text.includes(master) && !text.includes(token) && !text.includes(ALICE[1]));
    const [header = '', ...lines] = text.trimEnd().split('\n');
    assert.match(header, /^\{"format":"cellpass-backup","version":1,"schema":"\d{4}-/);
    assert.ok(JSON.parse(header).settings.includes('CELLPASS_DATA_DIR'));
    assert.equal(JSON.parse(lines.at(-1) ?? '').rows.users, answer.rows.users);
  });

  it('follows no link that others could have put beside its file', async () => {
    const shared = join(embedded.dir, 'shared.backup');
    const elsewhere = join(embedded.dir, 'elsewhere');
    await symlink(elsewhere, `${shared}.partial`);
    await done(embedded, 'backup', shared);
    assert.equal((await stat(shared)).mode & 0o777, 0o600);
    await assert.rejects(stat(elsewhere), { code: 'ENOENT' });
    const names = await readdir(embedded.dir);
    assert.deepEqual(names.filter((name) => name.startsWith('shared.')).sort(), [
      'shared.backup',
      'shared.backup.partial',
    ]);
  });

  it('writes the same to standard output', async () => {
    const { stdout, code } = await embedded.run(['backup', '-']);
    assert.equal(code, 0);
    assert.ok(stdout.length > 1000);
  });

  it('leaves no file open in the server, also where a client goes away or asks for the headers alone', async () => {
    for (const method of ['HEAD', 'GET']) {
      const asked = request({ socketPath: embedded.socket, path: '/admin/v1/backup', method }).end();
      const [answer] = await once(asked, 'response');
      assert.equal(answer.statusCode, 200);
      answer.destroy();
    }
    await until(
      () => (openFiles(pid).some((name) => name.includes('/backup-')) ? undefined : true),
      () => 'the file of a backup stays open',
    );
  });

  it('refuses to write over a database that is in use, or while the server runs', async () => {
    assertRefused(await embedded.run(['restore', file]), /another/);
  });

  it('restores into PostgreSQL: keys, CA, passwords, tokens and admin tokens work on', async () => {
    const site = await withKeyOf(embedded, 'postgresql');
    sites.push(site);
    const { code, stderr, stdout } = await site.run(['restore', file], settings(site));
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^restored \d+ rows, as of .+\nstart the server now\n$/);
    assert.equal(stderr, '');
    const server = await site.serve({ ...site.env });
    assert.deepEqual(await fetchJwks(server.url), jwksBefore);
    assert.equal(await done(site, 'keys', 'export-ca'), caBefore);
    const { tokens: listed, changes } = await listAll(site);
    assert.deepEqual({ tokens: listed, changes }, listedBefore);
    const jwt = await fetchToken(server.url, ALICE, SCOPE);
    assert.deepEqual((await verify(jwt, await fetchJwks(server.url))).access[0]?.actions, ['pull', 'push']);
    await fetchToken(server.url, ['alice', token], SCOPE);
    const tokens = JSON.parse(await done(site, 'admin-token', 'list', '--json')).admin_tokens;
    assert.equal(tokens.length, 1);
    assert.ok(admin.startsWith('cpat-'));
    await done(site, 'backup', join(embedded.dir, 'second.backup'));
    assert.equal(await server.stop(), 0);
    assertRefused(await site.run(['restore', file], settings(site)), /the database is not empty/);
  });

  it('and back into the embedded database, where new entries get new ids', async () => {
    const site = await withKeyOf(embedded, 'embedded');
    sites.push(site);
    const { code, stderr } = await site.run(['restore', join(embedded.dir, 'second.backup')], settings(site));
    assert.equal(code, 0, stderr);
    const server = await site.serve({ ...site.env });
    await fetchToken(server.url, ['alice', token], SCOPE);
    const before = JSON.parse(await done(site, 'token', 'list', '--json')).tokens;
    const order = 'token create --kind personal --user alice --scopes read_registry --name more --json';
    const { id } = JSON.parse(await done(site, ...order.split(' ')));
    assert.ok(!before.some((one: { id: string }) => one.id === id));
    const second = await done(site, ...'admin-token create --name next --json'.split(' '));
    assert.equal(JSON.parse(second).id, 2);
    assert.equal(await server.stop(), 0);
  });

  it('warns where master.key does not open the keys', async () => {
    const site = await makeSite('embedded');
    sites.push(site);
    const { code, stdout, stderr } = await site.run(['restore', file]);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^warning: the master key .+ is missing.+\n$/);
    assert.doesNotMatch(stdout, /start the server/);
  });

  describe('refuses, in one sentence and without a change, a backup that', () => {
    let site: Site;
    before(async () => {
      site = await makeSite('embedded');
      sites.push(site);
    });
    const text = async (): Promise<string> => gunzipSync(await readFile(file)).toString();
    const lines = async (): Promise<string[]> => (await text()).trimEnd().split('\n');
    const packed = (parts: readonly string[]): Buffer => gzipSync(`${parts.join('\n')}\n`);
    const cases: readonly [what: string, content: () => Promise<Buffer>, message: RegExp][] = [
      ['is cut off', async () => (await readFile(file)).subarray(0, 3000), /ends before its last line/],
      ['lacks its last line', async () => packed((await lines()).slice(0, -1)), /ends before its last line/],
      ['lacks a row', async () => packed((await lines()).toSpliced(4, 1)), /changed or damaged/],
      [
        'has another row',
        async () => packed((await lines()).map((line) => line.replace('"alice"', '"mallory"'))),
        /changed or damaged/,
      ],
      [
        'has bytes behind its end',
        async () => Buffer.concat([await readFile(file), Buffer.from('more')]),
        /changed or damaged/,
      ],
      [
        'has a later format',
        async () => packed((await lines()).map((line) => line.replace('"version":1,', '"version":2,'))),
        /has format 2/,
      ],
      [
        'has a later schema',
        async () => empty({ ...HEADER, schema: '9999-later' }),
        /taken by a newer cellpass/,
      ],
      [
        'is of another cell',
        async () => packed((await lines()).map((line) => line.replace('"cell":1,', '"cell":2,'))),
        /changed or damaged|is of cell 2/,
      ],
      ['is another gzip file', async () => gzipSync('hello\n'), /not a backup of cellpass/],
      ['is no gzip file', async () => Buffer.from('hello\n'), /not a gzip file/],
    ];
    for (const [what, content, message] of cases) {
      it(what, async () => {
        const wrong = join(site.dir, 'wrong.backup');
        await writeFile(wrong, await content());
        assertRefused(await site.run(['restore', wrong]), message);
      });
    }
    it('does not exist', async () => {
      await rm(join(site.dir, 'wrong.backup'));
      assertRefused(await site.run(['restore', join(site.dir, 'wrong.backup')]), /can't read|ENOENT/);
    });
    it('and takes a right one afterwards', async () => {
      assert.equal((await site.run(['restore', file])).code, 0);
    });
  });
});

const HEADER = {
  format: 'cellpass-backup',
  version: 1,
  schema: '0018-admin-roles',
  cellpass: '1.0.0',
  created_at: '2026-01-01T00:00:00Z',
  cell: 1,
  settings: [],
};

/** A whole backup without rows. */
function empty(header: typeof HEADER): Buffer {
  const first = `${JSON.stringify(header)}\n`;
  const sha256 = createHash('sha256').update(first).digest('hex');
  return gzipSync(`${first}${JSON.stringify({ end: true, rows: {}, sequences: 0, sha256 })}\n`);
}
