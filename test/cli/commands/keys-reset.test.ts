import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { KeyHistory, KeyList, KeyOutcome } from '../../../src/http/types.ts';
import { until } from '../../support/processes/child.ts';
import {
  ALICE,
  assertRefused,
  type DatabaseKind,
  done,
  EXAMPLE,
  fetchJwks,
  fetchToken,
  makeSite,
  type Server,
  type Site,
  startHere,
  verify,
} from '../../support/processes/site.ts';

const SCOPE = 'repository:acme/platform/api:pull';

/** Each is a story: each test goes on where the last one ended. */
for (const kind of ['embedded', 'postgresql'] satisfies DatabaseKind[]) {
  describe(`cellpass keys reset, ${kind}`, function () {
    this.timeout(60_000);
    let site: Site;
    let server: Server;
    let oldCa: string;
    let env: Record<string, string>;

    before(async () => {
      site = await makeSite(kind);
      const config = join(site.dir, 'cellpass.yaml');
      await writeFile(
        config,
        stringify({
          registries: [
            { name: 'north', url: 'http://127.0.0.1:9', trusts: 'ca' },
            { name: 'south', url: 'http://127.0.0.1:9', trusts: 'jwks' },
          ],
        }),
      );
      env = { CELLPASS_CONFIG: config };
      server = await site.serve();
      await done(site, 'directory', 'apply', '-f', EXAMPLE);
      oldCa = await done(site, 'keys', 'export-ca');
    });
    after(() => site.remove());

    it('is refused while the server runs, and without a terminal or --yes', async () => {
      assertRefused(await site.run(['keys', 'reset', '--yes']), /another|running/);
      const elsewhere = { CELLPASS_DATA_DIR: join(site.dir, 'elsewhere') };
      if (kind === 'postgresql')
        assertRefused(
          await site.run(['keys', 'reset', '--yes'], { env: elsewhere }),
          /1 running servers use/,
        );
      assert.equal(await server.stop(), 0);
      assertRefused(await site.run(['keys', 'reset']), /use --yes/);
    });

    it('makes a new key and CA when master.key is lost, and says what each registry must be given', async () => {
      await rm(site.masterKey);
      assertRefused(await site.run(['serve']), /run "cellpass keys reset"/);
      const { code, stdout, stderr } = await site.run(['keys', 'reset', '--yes'], { env });
      assert.equal(code, 0, stderr);
      assert.match(stdout, /north: cellpass keys export-ca /);
      assert.match(stdout, /south: cellpass keys export-jwks /);
    });

    it('leaves everything else: passwords and tokens work with the new key', async () => {
      server = await site.serve();
      assert.notEqual(await done(site, 'keys', 'export-ca'), oldCa);
      const token = await fetchToken(server.url, ALICE, SCOPE);
      const jwks = await fetchJwks(server.url);
      assert.equal(jwks.keys.length, 2, 'one key under two ids');
      await verify(token, jwks);
      const history: KeyHistory = JSON.parse(await done(site, 'keys', 'history', '--json'));
      assert.equal(history.events[0]?.action, 'reset');
      assert.equal(await server.stop(), 0);
    });

    it('names a master.key that is none', async () => {
      await writeFile(site.masterKey, 'broken');
      assertRefused(await site.run(['keys', 'reset', '--yes']), /move it away/);
    });
  });
}

describe('cellpass keys rotate --wait', function () {
  this.timeout(60_000);
  let site: Site;
  let previous: string;

  before(async () => {
    site = await makeSite('postgresql');
    const config = join(site.dir, 'cellpass.yaml');
    await writeFile(config, stringify({ keys: { propagation_seconds: 3 } }));
    await site.serve({ CELLPASS_CONFIG: config });
  });
  after(() => site.remove());

  const activeKid = async (): Promise<string> => {
    const { keys }: KeyList = JSON.parse(await done(site, 'keys', 'list', '--json'));
    return keys.find(({ state }) => state === 'active')?.kid ?? '';
  };

  it('stages a key, says what it waits for, and activates it', async () => {
    previous = await activeKid();
    const { code, stdout, stderr } = await site.run(['keys', 'rotate', '--wait', '--json']);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^\S+ waits: registries must fetch it; it may sign at about \d{4}-/);
    const { activated, staged }: KeyOutcome = JSON.parse(stdout);
    assert.equal(await activeKid(), activated);
    assert.notEqual(activated, previous);
    assert.notEqual(staged, null);
  });

  it('ends when somebody else activates the key that it waits for, without another rotation', async () => {
    const { ended, printed } = startHere(['keys', 'rotate', '--wait', '--json'], site.env);
    await until(
      () => printed.stderr.includes(' waits: ') || undefined,
      () => `it does not wait: ${printed.stderr}`,
    );
    const forced: KeyOutcome = JSON.parse(await done(site, 'keys', 'activate', '--force', '--json'));
    assert.equal(await ended, 0, printed.stderr);
    const outcome: KeyOutcome = JSON.parse(printed.stdout);
    assert.ok(outcome.activated !== null);
    assert.ok(forced.activated !== null);
  });

  it('can not be joined with --force', async () => {
    assert.equal((await site.run(['keys', 'rotate', '--wait', '--force'])).code, 2);
  });
});
