import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { printFindings } from '../../../src/cli/commands/doctor.ts';
import { inspect } from '../../../src/cli/doctor/database.ts';
import { examine } from '../../../src/cli/doctor/examine.ts';
import type { Finding } from '../../../src/cli/doctor/finding.ts';
import { createProgram } from '../../../src/cli/program.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { generateFirstKeys } from '../../../src/keys/first-start.ts';
import type { KeySet } from '../../../src/keys/key-set.ts';
import { loadMasterKey } from '../../../src/keys/master-key-file.ts';
import { claimForCell } from '../../../src/store/database/cell-claim.ts';
import type { Database } from '../../../src/store/database/drivers.ts';
import { hearsNotices } from '../../../src/store/database/inspection.ts';
import { migrate } from '../../../src/store/database/migrate.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { createKeyStore } from '../../../src/store/keys.ts';
import { freePort, sharedPostgres } from '../../support/database/postgres.ts';
import { done, makeSite } from '../../support/processes/site.ts';
import { assertVerdict, find, type Outcome } from './support.ts';

const NOW = () => new Date();
const LEAF_HOURS = 48;

/** A registry that takes any token of which `takes` is true. */
function registry(challenge: string, takes: boolean): RequestListener {
  return (request, response) => {
    const isIn = request.headers.authorization !== undefined && takes;
    response.writeHead(isIn ? 200 : 401, isIn ? {} : { 'WWW-Authenticate': challenge }).end();
  };
}

describe('doctor on PostgreSQL', () => {
  const servers: Server[] = [];
  let dir: string;
  let databaseUrl: string;
  let database: Database;
  let keys: KeySet;

  const listen = async (listener: RequestListener): Promise<string> => {
    const server = createServer(listener);
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const environment = (more: Readonly<Record<string, string>> = {}) => ({
    CELLPASS_DATA_DIR: join(dir, 'data'),
    CELLPASS_KEYS_DIR: join(dir, 'keys'),
    CELLPASS_DATABASE_URL: databaseUrl,
    ...more,
  });
  const run = (more: Readonly<Record<string, string>> = {}) =>
    examine({ environment: environment(more), stdout: () => undefined, stderr: () => undefined }, NOW);

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'cellpass-doctor-'));
    databaseUrl = await (await sharedPostgres()).createDatabase();
    database = openPostgres(databaseUrl);
  });
  after(async () => {
    for (const server of servers) server.close();
    await database.close();
    await rm(dir, { recursive: true, force: true });
  });

  it('finds nothing wrong before the first start, and makes nothing', async () => {
    const findings = await run();
    assert.deepEqual(
      findings.filter(({ outcome, name }) => outcome !== 'ok' && name !== 'public URL answer'),
      [],
    );
    assert.match(find(findings, 'migrations').message, /next start applies 0001-/);
    assert.match(find(findings, 'active key').message, /no keys yet/);
    const [table] = await database.query("SELECT to_regclass('schema_migrations') AS name");
    assert.equal(table?.['name'], null);
    assert.deepEqual([existsSync(join(dir, 'keys')), existsSync(join(dir, 'data'))], [false, false]);
  });

  it('says to migrate where no start may', async () => {
    assertVerdict(find(await run({ CELLPASS_MIGRATE: 'false' }), 'migrations'), 'failed', 'cellpass migrate');
  });

  describe('with keys', () => {
    before(async () => {
      await migrate(database);
      const { masterKey } = await loadMasterKey(join(dir, 'keys'), { mayCreate: true });
      const made = { cellId: 1, masterKey, now: NOW(), leafHours: LEAF_HOURS, longestTokenSeconds: 600 };
      keys = await generateFirstKeys({ authorities: [], keys: [] }, made);
      await createKeyStore(database).updateKeySet(() => ({ set: keys, events: [] }));
      await claimForCell(database, 1);
    });

    it('opens them, hears a NOTIFY and compares clocks', async () => {
      const findings = await run();
      for (const name of [
        'notifications',
        'database clock',
        'server clocks',
        'cell',
        'master key',
        'active key',
        'active CA',
      ]) {
        assert.equal(find(findings, name).outcome, 'ok', find(findings, name).message);
      }
      assert.equal(find(findings, 'leaf certificate').outcome, 'ok');
    });

    it('does not open them with another master key, or none', async () => {
      const file = join(dir, 'keys/master.key');
      await rename(file, `${file}.aside`);
      try {
        assertVerdict(find(await run(), 'master key'), 'failed', 'is missing');
        await writeFile(file, `${Buffer.alloc(32, 7).toString('base64url')}\n`, { mode: 0o600 });
        assertVerdict(find(await run(), 'master key'), 'failed', "can't be decrypted with ");
      } finally {
        await rename(`${file}.aside`, file);
      }
    });

    it("names another cell's database, and an unknown setting", async () => {
      const findings = await run({ CELLPASS_CELL: '2', CELLPASS_SERVCES: 'x' });
      assertVerdict(find(findings, 'cell'), 'failed', 'CELLPASS_CELL=1');
      assertVerdict(find(findings, 'configuration'), 'warning', 'CELLPASS_SERVCES');
    });

    it('warns of a database and registries in clear text', async () => {
      const file = join(dir, 'clear-text.yaml');
      const registries = [
        { name: 'plain', url: 'http://0.0.0.0:9' },
        { name: 'known', url: 'http://0.0.0.0:9', insecure: true },
      ];
      await writeFile(file, JSON.stringify({ registries }));
      const remote = databaseUrl.replace(/127\.0\.0\.1|localhost/, '0.0.0.0');
      const findings = await run({ CELLPASS_CONFIG: file, CELLPASS_DATABASE_URL: remote });
      assert.deepEqual(
        findings
          .filter(({ name }) => name === 'encryption')
          .map(({ outcome, message }) => [outcome, message.split(' ').slice(0, 2).join(' ')]),
        [
          ['warning', 'CELLPASS_DATABASE_URL: the'],
          ['warning', 'registries: plain'],
        ],
      );
      assert.ok((await run()).every(({ name }) => name !== 'encryption'));
    });

    it('asks each registry without a token, and with one', async () => {
      // Of another cell: healthy, but without this cell's keys.
      const publicUrl = await listen((_request, response) => response.end('{"status":"ok"}'));
      const challenge = `Bearer realm="${publicUrl}/jwt/auth",service="container_registry"`;
      const registries = [
        { name: 'good', url: await listen(registry(challenge, true)) },
        { name: 'stranger', url: await listen(registry(challenge, false)) },
        { name: 'astray', url: await listen(registry('Bearer realm="http://old/jwt/auth"', true)) },
        { name: 'open', url: await listen((_request, response) => response.end()) },
        { name: 'gone', url: `http://127.0.0.1:${await freePort()}` },
      ];
      const file = join(dir, 'registries.yaml');
      await writeFile(file, JSON.stringify({ registries }));
      const findings = await run({ CELLPASS_CONFIG: file, CELLPASS_PUBLIC_URL: publicUrl });
      const expected: [name: string, outcome: Outcome, says: string][] = [
        ['public URL answer', 'ok', publicUrl],
        ['public URL keys', 'failed', 'another cellpass answers there'],
        ['registry good', 'ok', 'container_registry'],
        ['registry good clock', 'ok', 's'],
        ['registry good, active key', 'ok', 'accepts'],
        ['registry stranger', 'ok', 'container_registry'],
        ['registry stranger, active key', 'failed', 'cellpass keys export-ca'],
        ['registry astray', 'failed', 'http://old/jwt/auth'],
        ['registry open', 'failed', 'asks for no token'],
        ['registry gone', 'failed', "can't be reached"],
      ];
      for (const [name, outcome, says] of expected) assertVerdict(find(findings, name), outcome, says);
    });

    it('one check that throws is its own failure and no other', async () => {
      const broken: Database = {
        ...database,
        listen: () => Promise.reject(new Error('a pooler without LISTEN')),
      };
      const { findings } = await inspect(broken, loadConfig(environment()), NOW);
      assertVerdict(find(findings, 'notifications'), 'failed', 'a pooler without LISTEN');
      assert.equal(find(findings, 'master key').outcome, 'ok');
    });

    it('tells a NOTIFY that comes from one that a pooler swallows', async () => {
      const deaf: Database = { ...database, listen: async () => async () => undefined };
      const mute: Database = { ...database, listen: () => new Promise(() => undefined) };
      assert.equal(await hearsNotices(database, 2000), true);
      assert.deepEqual([await hearsNotices(deaf, 1), await hearsNotices(mute, 1)], [false, false]);
    });

    it('sees a clock that is 40 s off', async () => {
      const late = () => new Date(Date.now() - 40_000);
      const { findings } = await inspect(database, loadConfig(environment()), late);
      assertVerdict(find(findings, 'database clock'), 'failed', /(39|40)\.\d s ahead/);
    });

    it('prints one line for each check, or JSON, and exits with 1 only where one failed', async () => {
      const print = async (args: readonly string[], more: Readonly<Record<string, string>> = {}) => {
        let out = '';
        const stdout = (text: string) => {
          out += text;
        };
        const program = createProgram({ environment: environment(more), stdout, stderr: stdout }, '0');
        const parsed = await program.parseAsync(['doctor', ...args], { from: 'user' }).then(
          () => undefined,
          (error: Error) => error.message,
        );
        return { out, refusal: parsed };
      };
      const listens = { CELLPASS_LISTEN: `127.0.0.1:${await freePort()}` };
      const warned = await print([], listens);
      assert.equal(warned.refusal, undefined);
      for (const line of warned.out.trimEnd().split('\n'))
        assert.match(line, /^(ok {2}|warn|FAIL) {2}\S.*: \S/);
      assert.match(warned.out, /^warn {2}public URL answer: /m);
      const refused = await print(['--json'], { ...listens, CELLPASS_CELL: '2' });
      assert.match(refused.refusal ?? '', /^1 check failed \(cell\)/);
      const { checks } = JSON.parse(refused.out);
      assert.deepEqual(Object.keys(checks[0]), ['name', 'outcome', 'message']);
    });
  });

  it('reports a wrong configuration as one failed check with every problem', async () => {
    const findings = await run({ CELLPASS_LISTEN: 'nowhere', CELLPASS_TOKEN_TTL_SECONDS: '1' });
    assert.equal(findings.length, 1);
    assertVerdict(findings[0]!, 'failed', 'CELLPASS_LISTEN');
    assertVerdict(findings[0]!, 'failed', 'CELLPASS_TOKEN_TTL_SECONDS');
  });

  it('cuts no problem of a configuration, and gives each a line', async () => {
    const wrong = { CELLPASS_LISTEN: 'nowhere', CELLPASS_PUBLIC_URL: 'here', CELLPASS_LOG_LEVEL: 'loud' };
    const names = [...Object.keys(wrong), 'CELLPASS_WORKERS', 'CELLPASS_ADMIN_LISTEN', 'CELLPASS_CELL'];
    const findings = await run({
      ...wrong,
      CELLPASS_WORKERS: 'two',
      CELLPASS_ADMIN_LISTEN: 'nowhere',
      CELLPASS_CELL: 'first',
    });
    const lines = printFindings(findings).trimEnd().split('\n');
    assert.equal(lines[0], 'FAIL  configuration:');
    for (const name of names) {
      assertVerdict(findings[0]!, 'failed', `${name}: must`);
      assert.equal(lines.filter((line) => line.startsWith(`        ${name}: must`)).length, 1, name);
    }
    assert.equal(lines.length, names.length + 1);
  });

  it('goes on where PostgreSQL is away', async () => {
    const away = `postgresql://postgres@127.0.0.1:${await freePort()}/none`;
    const findings = await run({ CELLPASS_DATABASE_URL: away });
    assertVerdict(find(findings, 'database'), 'failed', 'CELLPASS_DATABASE_URL');
    find(findings, 'public URL');
  });
});

async function withRegistry<T>(listener: RequestListener, work: (url: string) => Promise<T>): Promise<T> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.close();
  }
}

describe('doctor on the embedded database', () => {
  it('makes none, asks the server that has it, and opens it without one', async function () {
    this.timeout(60_000);
    const site = await makeSite('embedded');
    const outcomes = async (env: Readonly<Record<string, string>> = {}) => {
      const { stdout } = await site.run(['doctor', '--json'], { env });
      const { checks }: { checks: readonly Finding[] } = JSON.parse(stdout);
      assert.deepEqual(
        checks.filter(({ outcome, name }) => outcome !== 'ok' && name !== 'public URL answer'),
        [],
      );
      return checks;
    };
    try {
      assert.match(find(await outcomes(), 'database').message, /no embedded database yet/);
      assert.equal(existsSync(site.dataDir), false);
      const server = await site.serve();
      const challenge = `Bearer realm="${server.url}/jwt/auth",service="container_registry"`;
      const asked = await withRegistry(registry(challenge, true), async (url) => {
        const file = join(site.dir, 'registries.yaml');
        await writeFile(file, JSON.stringify({ registries: [{ name: 'good', url }] }));
        return outcomes({ CELLPASS_PUBLIC_URL: server.url, CELLPASS_CONFIG: file });
      });
      assert.match(find(asked, 'registry trust').message, /cellpass keys probe/);
      find(asked, 'registry good');
      assert.match(find(asked, 'database').message, /running server/);
      assert.match(find(asked, 'public URL answer').message, /cellpass answers/);
      assert.match(find(asked, 'public URL keys').message, /publishes the active key/);
      find(asked, 'leaf certificate');
      const elsewhere = await site.run(['doctor'], { env: { CELLPASS_KEYS_DIR: join(site.dir, 'none') } });
      assert.match(
        elsewhere.stdout,
        /^FAIL {2}master key: the running server has the keys open.*CELLPASS_KEYS_DIR/m,
      );
      assert.doesNotMatch(elsewhere.stdout, /keys reset/);
      assert.equal(await server.stop(), 0);
      const opened = await outcomes();
      assert.match(find(opened, 'database').message, /opens/);
      assert.match(find(opened, 'master key').message, /opens the stored keys/);
      assert.equal(existsSync(site.socket), false);
      await done(site, 'doctor');
    } finally {
      await site.remove();
    }
  });
});
