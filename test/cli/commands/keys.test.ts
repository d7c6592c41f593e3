import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeyHistory, KeyList, KeyOutcome } from '../../../src/http/types.ts';
import { assertRefused, done, makeSite, type Site } from '../../support/processes/site.ts';

/** One story on one server: each test goes on where the last one ended. */
describe('cellpass keys', () => {
  let site: Site;

  before(async () => {
    site = await makeSite('postgresql');
    await site.serve();
  });
  after(() => site.remove());

  const run = (...args: string[]): Promise<string> => done(site, 'keys', ...args);
  const json = async <T>(...args: string[]): Promise<T> => JSON.parse(await run(...args, '--json'));
  const kidOf = async (state: string): Promise<string> => {
    const { keys } = await json<KeyList>('list');
    return keys.find((key) => key.state === state)!.kid;
  };

  it('rotate without a pending key stages one and says when it may go on', async () => {
    assert.match(
      await run('rotate', '--dry-run'),
      /^would stage a key, which may sign after 300 s or when every registry accepts it/,
    );
    const { staged, activated } = await json<KeyOutcome>('rotate');
    assert.deepEqual([staged, activated], [await kidOf('pending'), null]);
  });

  it('activate says how long to wait, in one line, and exits with 1; --force activates', async () => {
    const kid = await kidOf('pending');
    assertRefused(await site.run(['keys', 'activate']), /may sign in \d+ s.*--force/);
    const { activated } = await json<KeyOutcome>('activate', kid, '--force');
    assert.equal(activated, kid);
    assert.equal(await kidOf('active'), kid);
  });

  it('list shows states, both ids, age and what happens next and when', async () => {
    const text = await run('list');
    assert.match(text, /^STATE +KID \(LIBTRUST\) +THUMBPRINT +AGE +NEXT\n/);
    const minute = String.raw`\d{4}-\d\d-\d\d \d\d:\d\dZ`;
    const active = String.raw`^active +\w{4}:\w{4} +[\w-]{8} +0 min +rotates automatically on ${minute}$`;
    assert.match(text, new RegExp(active, 'm'));
    assert.match(text, new RegExp(`^retired .* leaves the JWK Set on ${minute}$`, 'm'));
    assert.match(text, new RegExp(`^CA +ID +AGE +VALID UNTIL\nactive +[0-9a-f]{8} +0 min +${minute}$`, 'm'));
    const { keys } = await json<KeyList>('list');
    for (const key of keys) {
      for (const name of ['created_at', 'activated_at', 'retired_at', 'published_until'] as const) {
        assert.ok(name in key);
      }
    }
  });

  it('revoke wants a reason; the next list says until when its tokens live', async () => {
    const kid = await kidOf('active');
    const { code, stderr } = await site.run(['keys', 'revoke', kid]);
    assert.deepEqual([code, /--reason/.test(stderr)], [2, true]);
    const shown = kid.slice(0, 9);
    assert.match(await run('revoke', shown, '--reason', 'a test'), /is active now/);
    const text = await run('list');
    assert.match(
      text,
      new RegExp(
        `^revoked +${kid.slice(0, 9)} .*registries that trust its certificate accept it until `,
        'm',
      ),
    );
    assert.match(
      text,
      /was revoked \(a test\): it signed from .* to .*, and the last of those tokens ends at /,
    );
  });

  it('retire drops a pending key, and export-cert prints a certificate until then and after', async () => {
    const { staged } = await json<KeyOutcome>('stage');
    const pem = await run('export-cert', staged!);
    assert.match(pem, /^-----BEGIN CERTIFICATE-----/);
    assert.equal(await run('export-cert', staged!.slice(0, 9)), pem);
    assertRefused(
      await site.run(['keys', 'retire', staged!.slice(0, 7)]),
      '8 characters',
      'cellpass keys list',
    );
    assertRefused(
      await site.run(['keys', 'retire', await kidOf('active')]),
      /use "cellpass keys rotate" to replace it/,
    );
    assert.match(await run('retire', staged!), /^dropped the pending key /);
    assertRefused(await site.run(['keys', 'export-cert', 'none']), /no key has the id none/);
  });

  it('probe fails where no registry is configured', async () => {
    assertRefused(await site.run(['keys', 'probe']), /no registry is configured/);
  });

  it('import takes a key file, and names one that it can not read', async () => {
    const pem = join(site.dir, 'imported.pem');
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    await writeFile(pem, privateKey.export({ type: 'pkcs1', format: 'pem' }));
    const { staged } = await json<KeyOutcome>('import', '--pem', pem);
    assert.equal(staged, await kidOf('pending'));
    assertRefused(
      await site.run(['keys', 'export-cert', staged!]),
      /has no certificate: it was imported without one/,
    );
    assertRefused(
      await site.run(['keys', 'import', '--pem', `${pem}.not`]),
      /can't read .*imported\.pem\.not/,
    );
    await run('retire', staged!);
  });

  it('import takes DER, and standard input, and says what it can not read', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const file = join(site.dir, 'imported.der');
    for (const type of ['pkcs1', 'pkcs8'] as const) {
      await writeFile(file, privateKey.export({ type, format: 'der' }));
      const { staged } = await json<KeyOutcome>('import', '--pem', file);
      assert.equal(staged, await kidOf('pending'));
      await run('retire', staged!);
    }
    const input = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const outcome = await site.run(['keys', 'import', '--pem', '-', '--json'], { input });
    assert.equal(outcome.code, 0, outcome.stderr);
    const { staged }: KeyOutcome = JSON.parse(outcome.stdout);
    await run('retire', staged!);
    assertRefused(
      await site.run(['keys', 'import', '--pem', '-', '--cert', '-'], { input }),
      /is not an X\.509 certificate/,
    );
    await writeFile(file, Buffer.from([0x30, 0x03, 0x02, 0x01, 0x00]));
    assertRefused(
      await site.run(['keys', 'import', '--pem', file]),
      /imported\.der holds no unencrypted private key.*PEM or DER/,
    );
  });

  it('rewrap changes the master key, and the next start opens everything with it', async () => {
    const before = await readFile(site.masterKey, 'utf8');
    assert.match(await run('rewrap'), /copy it to every other host/);
    assert.notEqual(await readFile(site.masterKey, 'utf8'), before);
    const kid = await kidOf('active');
    const second = await site.serve({ CELLPASS_DATA_DIR: join(site.dir, 'second') });
    const jwks = await (await fetch(`${second.url}/.well-known/jwks.json`)).text();
    assert.ok(jwks.includes(kid));
    await second.stop();
  });

  it('stage-ca puts both CAs into the bundle, activate-ca wants every registry to accept', async () => {
    await run('stage-ca');
    assert.equal((await run('export-ca')).match(/BEGIN/g)?.length, 2);
    assertRefused(await site.run(['keys', 'activate-ca']), /list all of them under "registries"/);
    await run('activate-ca', '--force');
    const { authorities } = await json<KeyList>('list');
    assert.deepEqual(
      authorities.map(({ state }) => state),
      ['retired', 'active'],
    );
    await run('stage-ca');
    assert.match(await run('discard-ca'), /dropped/);
  });

  it('history has who did what, the newest first', async () => {
    const { events } = await json<KeyHistory>('history');
    assert.deepEqual([events[0]?.action, events.at(-1)?.action], ['discard_ca', 'first_start']);
    assert.ok(events.slice(0, -1).every(({ actor }) => actor.startsWith('admin socket (')));
    assert.match(await run('history'), /^WHEN +WHO +WHAT +KEY OR CA +WHY\n/);
  });
});
