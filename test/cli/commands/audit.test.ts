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
} from '../../support/processes/site.ts';

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
    assert.match(head!, /^ISSUED +SUBJECT +CREDENTIAL +FROM +ACCESS +KID +JTI +REQUEST$/);
    assert.match(
      row!,
      /^20\d\d-\d\d-\d\d \d\d:\d\dZ +alice +password +127\.0\.0\.1 +acme\/web:pull,push +\w{4}:\w{4} +[0-9a-f]{8} +[0-9a-f]{8}$/,
    );
    assert.deepEqual(others, []);
  });

  it('says what a key signed, and finds one token by its id', async () => {
    const [latest, first] = (await find()).tokens;
    assert.deepEqual(await find('--kid', latest!.kid, '--subject', 'alice'), {
      tokens: [latest, first],
    });
    assert.deepEqual((await find('--jti', first!.jti)).tokens, [first]);
    assert.deepEqual((await find('--until', '1m')).tokens, []);
  });

  it('takes the beginning of an id as a table shows it, and refuses one of no token or key', async () => {
    const [latest] = (await find()).tokens;
    const [kid, jti, requestId] = [latest!.kid, latest!.jti, latest!.request_id];
    assert.deepEqual((await find('--jti', jti.slice(0, 8))).tokens, [latest]);
    assert.equal((await find('--kid', kid.slice(0, 9))).tokens.length, 2);
    assertRefused(
      await site.run(['audit', '--jti', 'ffffffff-ffff']),
      /begins with ffffffff-ffff/,
      '--since',
    );
    assertRefused(await site.run(['audit', '--jti', jti.slice(0, 7)]), /first 8 characters or more/);
    assertRefused(await site.run(['audit', '--kid', kid.slice(0, 7)]), /8 characters/, 'cellpass keys list');
    assertRefused(await site.run(['audit', '--kid', 'FFFF:FFFF']), 'no key has the id', 'cellpass keys list');
    // Everything that was asked for was granted, so there is no refusal to explain.
    assertRefused(await site.run(['explain', '--request', requestId.slice(0, 8)]), 'no refusal');
  });

  it('says what was done by a credential', async () => {
    const { tokens } = await find('--credential', 'password');
    assert.deepEqual(
      tokens.map(({ credential }) => credential),
      ['password', 'password'],
    );
    assert.deepEqual((await find('--credential', 'access-1')).tokens, []);
    assertRefused(await site.run(['audit', '--credential', 'glpat-x']), /must be the name of a credential/);
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
