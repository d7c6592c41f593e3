import assert from 'node:assert/strict';
import type { RefusalPageView } from '../../../src/http/types.ts';
import {
  ALICE,
  assertRefused,
  done,
  EXAMPLE,
  makeSite,
  type Server,
  type Site,
} from '../../support/processes/site.ts';

describe('cellpass refusals', () => {
  let site: Site;
  let server: Server;
  before(async function () {
    this.timeout(60_000);
    site = await makeSite('postgresql');
    server = await site.serve();
    await done(site, 'directory', 'apply', '-f', EXAMPLE);
    await ask('acme/web:pull', 'alice', 'guessed');
    await ask('acme/web:pull', 'no-such-person', 'guessed');
    await ask('acme/nothing:pull', ...ALICE);
  });
  after(() => site.remove());

  async function ask(resource: string, ...[username, password]: readonly [string, string]): Promise<void> {
    const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    const url = `${server.url}/jwt/auth?service=container_registry&scope=repository:${resource}`;
    await fetch(url, { headers: { authorization } });
  }
  const find = async (...args: string[]): Promise<RefusalPageView> =>
    JSON.parse(await done(site, 'refusals', 'list', '--json', ...args));

  it('list says who was refused what, and why', async () => {
    const [head, ...rows] = (await done(site, 'refusals', 'list')).trim().split('\n');
    assert.match(head!, /^TIME +STATUS +SUBJECT +FROM +REASON +ASKED +REQUEST$/);
    const expected = [
      /^20\S+ \S+Z +200 +alice +127\.0\.0\.1 +project_unknown +repository:acme\/nothing:pull +[0-9a-f]{8}$/,
      /^20\S+ \S+Z +401 +\? +127\.0\.0\.1 +unknown +repository:acme\/web:pull +[0-9a-f]{8}$/,
      /^20\S+ \S+Z +401 +\(alice\) +127\.0\.0\.1 +wrong_password +repository:acme\/web:pull +[0-9a-f]{8}$/,
    ];
    assert.equal(rows.length, expected.length);
    for (const [n, row] of expected.entries()) assert.match(rows[n]!, row);
  });

  const counts: [args: string[], count: number][] = [
    [[], 3],
    [['--subject', 'alice'], 2],
    [['--subject', 'no-such-person'], 0],
    [['--repository', 'acme/web'], 2],
    [['--reason', 'wrong_password', '--since', '1h'], 1],
    [['--address', '127.0.0.0/8'], 3],
    [['--address', '10.0.0.1'], 0],
  ];
  for (const [args, count] of counts) {
    it(`list ${args.join(' ')} finds ${count}`, async () => {
      assert.equal((await find(...args)).refusals.length, count);
    });
  }

  it('list goes on where a page ended, and says where that is', async () => {
    const { code, stdout, stderr } = await site.run(['refusals', 'list', '--limit', '2', '--json']);
    const first: RefusalPageView = JSON.parse(stdout);
    assert.deepEqual([code, first.refusals.length], [0, 2]);
    assert.match(stderr, new RegExp(`^these are the latest 2; for the others .*--after ${first.next}`));
    const rest = await find('--after', first.next!);
    assert.deepEqual([rest.refusals.length, rest.next], [1, undefined]);
    const [row] = rest.refusals;
    assert.match(await done(site, 'explain', '--request', row!.request_id), /the password is wrong/);
  });

  it('list refuses what is no address, and no moment', async () => {
    assertRefused(await site.run(['refusals', 'list', '--address', 'home']), /must be an IP address/);
    assertRefused(
      await site.run(['refusals', 'list', '--since', 'yesterday']),
      /since must be a date and time/,
    );
  });
});
