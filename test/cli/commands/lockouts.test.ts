import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { Agent, get } from 'node:http';
import { join } from 'node:path';
import { until } from '../../support/processes/child.ts';
import {
  ALICE,
  assertRefused,
  done,
  EXAMPLE,
  makeSite,
  type Server,
  type Site,
} from '../../support/processes/site.ts';

const ADDRESS = '127.0.0.1';
const FAILURES = 3;

describe('cellpass lockouts, with two workers', function () {
  this.timeout(60_000);
  let site: Site;
  let server: Server;
  before(async () => {
    site = await makeSite('postgresql');
    const config = join(site.dir, 'cellpass.yaml');
    await writeFile(config, `limits: {failed_attempts: ${FAILURES}, failed_attempts_per_address: 100}\n`);
    server = await site.serve({ CELLPASS_WORKERS: '2', CELLPASS_CONFIG: config });
    await done(site, 'directory', 'apply', '-f', EXAMPLE);
  });
  after(() => site.remove());

  /** By a connection of its own, which the primary gives to either worker. */
  const logIn = (password: string): Promise<number | undefined> => {
    const agent = new Agent();
    return new Promise<number | undefined>((resolve, reject) => {
      const url = `${server.url}/jwt/auth?service=container_registry`;
      get(url, { agent, auth: `${ALICE[0]}:${password}` }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      }).on('error', reject);
    }).finally(() => agent.destroy());
  };
  const logInOften = async (): Promise<ReadonlySet<number | undefined>> => {
    const statuses = new Set<number | undefined>();
    for (let n = 0; n < 8; n++) statuses.add(await logIn(ALICE[1]));
    return statuses;
  };
  const lockOut = async (): Promise<void> => {
    for (let n = 0; n < FAILURES; n++) assert.equal(await logIn(`wrong ${n}`), 401);
    assert.deepEqual([...(await logInOften())], [429]);
  };
  const list = async () => JSON.parse(await done(site, 'lockouts', 'list', '--json')).lockouts;

  it('list says that there are none, and clear changes nothing', async () => {
    assert.equal(await done(site, 'lockouts', 'list'), 'no address and no account is locked out\n');
    assert.match(await done(site, 'lockouts', 'clear', 'alice'), /^alice is not locked out by name: nothing/);
    assert.match(await done(site, 'lockouts', 'clear', ADDRESS), /^127.0.0.1 is not locked out: nothing/);
  });

  for (const target of ['alice', ADDRESS]) {
    it(`clear ${target} lets alice in at each worker`, async () => {
      await lockOut();
      const [{ until: end, ...facts }, ...others] = await list();
      assert.deepEqual(
        [facts, others],
        [{ by: 'account', address: ADDRESS, account: 'alice', failed: FAILURES }, []],
      );
      assert.ok(Date.parse(end) > Date.now());
      assert.match(await done(site, 'lockouts', 'list'), /^ADDRESS .*\n127\.0\.0\.1 +alice +3 +\d{4}-/);
      assert.equal(
        await done(site, 'lockouts', 'clear', target),
        `${target} can log in again: 1 lockout was cleared\n`,
      );
      // The other worker hears of it a moment later, from the database; alone it would take ten seconds.
      await until(
        async () => ([...(await logInOften())].join() === '200' ? true : undefined),
        () => 'alice stays locked out',
        5_000,
      );
      assert.deepEqual(await list(), []);
    });
  }

  it('clear refuses a name that no user has, and what is no address', async () => {
    assertRefused(await site.run(['lockouts', 'clear', 'nobody']), /no user "nobody"/);
    assertRefused(await site.run(['lockouts', 'clear', '10.0.0.0/8']), /address must be an IP address/);
    assert.equal((await site.run(['lockouts', 'clear'])).code, 2);
  });
});
