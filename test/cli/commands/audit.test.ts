import assert from 'node:assert/strict';
import type { IssuedTokenPageView } from '../../../src/http/types.ts';
import {
  ALICE,
  assertRefused,
  done,
  EXAMPLE,
  fetchToken,
  makeSite,
  type Server,
  type Site,
} from '../../support/cli.ts';

const SCOPE = 'repository:acme/web:pull,push';

describe('cellpass audit', () => {
  let site: Site;
  let server: Server;
  before(async function () {
    this.timeout(60_000);
    site = await makeSite('postgresql');
    server = await site.serve();
    await done(site, 'directory', 'apply', '-f', EXAMPLE);
    await fetchToken(server.url, ALICE, SCOPE);
    await fetchToken(server.url, ALICE, 'repository:acme/platform/api:pull');
  });
  after(() => site.remove());

  const find = async (...args: string[]): Promise<IssuedTokenPageView> =>
    JSON.parse(await done(site, 'audit', '--json', ...args));

  it('says who got a token for a repository in the last hour', async () => {
    const table = await done(site, 'audit', '--repository', 'acme/web', '--since', '1h');
    const [head, row, ...others] = table.trim().split('\n');
    assert.match(head!, /^ISSUED +SUBJECT +BY +FROM +ACCESS +KID +JTI +REQUEST$/);
    assert.match(
      row!,
      /^20\S+Z +alice +gitlab_or_ldap +127\.0\.0\.1 +acme\/web:pull,push +\S+ +[0-9a-f-]{36} +[0-9a-f-]{36}$/,
    );
    assert.deepEqual(others, []);
  });

  it('says what a key signed, and finds one token by its id', async () => {
    const [latest, first] = (await find()).tokens;
    assert.deepEqual(await find('--kid', latest!.kid, '--subject', 'alice'), {
      tokens: [latest, first],
      next: null,
    });
    assert.deepEqual((await find('--jti', first!.jti)).tokens, [first]);
    assert.deepEqual((await find('--until', '1m')).tokens, []);
  });

  it('tells where there are more than are shown', async () => {
    const { code, stdout, stderr } = await site.run(['audit', '--limit', '1']);
    assert.deepEqual([code, stdout.trim().split('\n').length], [0, 2]);
    assert.match(stderr, /^these are the latest 1; for the others use --limit/);
  });

  it('refuses what is no moment', async () => {
    assertRefused(await site.run(['audit', '--since', 'yesterday']), /since must be a date and time/);
  });
});
