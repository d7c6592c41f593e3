import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { AUDIENCE } from '../../support/federation/issuer.ts';
import { type Provider, startProvider } from '../../support/federation/provider.ts';
import {
  assertRefused,
  done,
  fetchToken,
  makeSite,
  type Server,
  type Site,
} from '../../support/processes/site.ts';

const SCOPE = 'repository:acme/api:pull';

describe('cellpass federation', function () {
  this.timeout(60_000);
  let provider: Provider;
  let site: Site;
  let server: Server;
  let env: Record<string, string>;
  const write = (name: string, content: string): string => {
    const path = join(site.dir, name);
    writeFileSync(path, content);
    return path;
  };
  const document = (...identities: readonly object[]): string =>
    write(
      'directory.yaml',
      stringify({
        version: 1,
        users: [{ username: 'release-bot', kind: 'service_account' }],
        groups: [{ path: 'acme' }],
        projects: [{ path: 'acme/api', members: [{ user: 'release-bot', role: 'developer' }] }],
        federated_identities: identities,
      }),
    );
  const identity = (name: string, claims: object) => ({
    name,
    issuer: 'ci',
    account: 'release-bot',
    scopes: ['read_registry'],
    claims,
  });
  before(async () => {
    provider = await startProvider();
    site = await makeSite('postgresql');
    const entry = { issuer: provider.url, ca_file: provider.caFile, must_pin: ['sub'] };
    const config = write(
      'cellpass.yaml',
      stringify({ federation: { audience: AUDIENCE, issuers: { ci: entry } } }),
    );
    env = { CELLPASS_CONFIG: config };
    server = await site.serve({ ...env, CELLPASS_WORKERS: '2' });
    await done(site, 'directory', 'apply', '-f', document(identity('release', { sub: 'job-1' })));
  });
  after(async () => {
    await site.remove();
    await provider.close();
  });
  const login = async (claims: Record<string, unknown> = {}): Promise<boolean> => {
    const text = await provider.sign(claims);
    return fetchToken(server.url, ['oidc', text], SCOPE).then(
      () => true,
      () => false,
    );
  };

  it('lets a job log in by its ID token, through the keys that the issuer publishes', async () => {
    assert.equal(await login(), true);
    assert.equal(await login({ sub: 'other' }), false);
    assert.ok(provider.asked > 0);
  });

  it('list shows issuers with the state of their keys, and identities with what they pin', async () => {
    const text = await done(site, 'federation', 'list');
    assert.match(text, /^ISSUER +ISS +AUDIENCE +KEYS +FETCHED +PROBLEM\nci +https:\/\/127/);
    assert.match(
      text,
      /\nIDENTITY +ISSUER .*\nrelease +ci +release-bot +read_registry +sub=job-1 +never +active\n/,
    );
    const page = JSON.parse(await done(site, 'federation', 'list', '--json'));
    assert.deepEqual(Object.keys(page), ['issuers', 'identities']);
    assert.deepEqual([page.issuers.length, page.identities[0].name], [1, 'release']);
    const rest = JSON.parse(await done(site, 'federation', 'list', '--after', 'release', '--json'));
    assert.deepEqual(rest.identities, []);
  });

  it('revoke and restore take an identity out and back', async () => {
    assert.match(
      await done(site, 'federation', 'revoke', 'release'),
      /release is revoked.* 0 exchanged access tokens ended/,
    );
    assert.equal(await login(), false);
    assert.match(await done(site, 'federation', 'list'), / revoked \d{4}-/);
    await done(site, 'federation', 'restore', 'release');
    assert.equal(await login(), true);
  });

  it('revoke takes one ID token by its issuer and id', async () => {
    const text = await done(site, 'federation', 'revoke', '--issuer', 'ci', '--jti', 'j-1');
    assert.match(text, /^the ID token j-1 of ci is refused from now on/);
    assert.equal(await login({ jti: 'j-1' }), false);
  });

  it('revoke says what is missing, and what does not exist', async () => {
    for (const args of [
      [],
      ['release', '--jti', 'x'],
      ['--issuer', 'ci'],
      ['release', '--issuer', 'ci', '--jti', 'x'],
    ]) {
      const { code, stderr } = await site.run(['federation', 'revoke', ...args]);
      assert.equal(code, 2, stderr);
    }
    assertRefused(await site.run(['federation', 'revoke', 'nobody']), /there is no identity nobody/);
    assertRefused(await site.run(['federation', 'restore', 'release']), /is not revoked/);
    assertRefused(
      await site.run(['federation', 'revoke', '--issuer', 'x', '--jti', 'y']),
      /the settings name ci/,
    );
  });

  it('explain tells how an ID token was read', async () => {
    const good = write('good.jwt', `${await provider.sign({ ref: 'main' })}\n`);
    const text = await done(site, 'explain', '--id-token-file', good, '--scope', SCOPE);
    assert.match(text, /ID token: of ci \(RS256, verified\)\n/);
    assert.match(text, /\n {2}sub: job-1\n/);
    assert.match(text, /\nidentity: release, by sub\n/);
    const { stdout } = await site.run(['explain', '--id-token-file', '-', '--scope', SCOPE], {
      input: await provider.sign({ sub: 'job-2' }),
    });
    assert.match(
      stdout,
      /identity: none; the nearest is release, which pins sub to job-1, but the token has job-2\n/,
    );
    const named = await done(site, 'explain', '--as', 'identity:release', '--scope', SCOPE);
    assert.match(named, /user release-bot by personal_access_token/);
  });

  it('directory apply and check know what an issuer demands', async () => {
    const file = document(identity('release', { sub: 'job-1' }), identity('bad', { ref: 'main' }));
    const applied = await site.run(['directory', 'apply', '-f', file]);
    const checked = await site.run(['directory', 'check', '-f', file], { env });
    for (const { code, stderr } of [applied, checked]) {
      assert.equal(code, 1);
      assert.match(stderr, /\.claims: must pin sub, because ci signs tokens of others, too\n/);
    }
    const without = await site.run(['directory', 'check', '-f', file]);
    assert.equal(without.code, 0);
    assert.match(
      without.stderr,
      /directory\.yaml:\d+: federated_identities: warning: CELLPASS_CONFIG names no file/,
    );
  });

  it('directory apply and check warn of an overlap, and name both', async () => {
    const file = document(
      identity('release', { sub: 'job-1' }),
      identity('twin', { sub: ['job-1', 'job-2'] }),
    );
    const checked = await site.run(['directory', 'check', '-f', file, '--json'], { env });
    assert.equal(checked.code, 0);
    const { problems, warnings } = JSON.parse(checked.stdout);
    assert.deepEqual(problems, []);
    assert.match(warnings[0].message, /^release and twin overlap/);
    const applied = await site.run(['directory', 'apply', '-f', file]);
    assert.match(applied.stderr, /warning: release and twin overlap/);
    assert.equal(await login(), false);
    const explained = await site.run(['explain', '--id-token-file', '-', '--scope', SCOPE], {
      input: await provider.sign({}),
    });
    assert.match(
      explained.stdout,
      /\nidentity: (\w+), by sub\nalso matched, so that it is refused: (?!\1)\w+\n/,
    );
    await done(site, 'directory', 'apply', '--prune', '-f', document(identity('release', { sub: 'job-1' })));
    assert.equal(await login(), true);
  });

  it('doctor looks at each issuer, its clock, and the keys in use', async () => {
    const { stdout } = await site.run(['doctor', '--json'], { env });
    const { checks } = JSON.parse(stdout);
    const found = checks.filter(({ name }: { name: string }) => name.startsWith('issuer ci'));
    assert.deepEqual(
      found.map(({ name, outcome }: { name: string; outcome: string }) => [name, outcome]),
      [
        ['issuer ci', 'ok'],
        ['issuer ci clock', 'ok'],
        ['issuer ci in use', 'ok'],
      ],
    );
    provider.isUp = false;
    const away = JSON.parse((await site.run(['doctor', '--json'], { env })).stdout).checks;
    const [first] = away.filter(({ name }: { name: string }) => name === 'issuer ci');
    assert.deepEqual([first.outcome, /answered 503/.test(first.message)], ['failed', true]);
    provider.isUp = true;
  });
});
