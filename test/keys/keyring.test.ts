import assert from 'node:assert/strict';
import { KeyObject, X509Certificate } from 'node:crypto';
import { inspect } from 'node:util';
import { compactVerify, createLocalJWKSet } from 'jose';
import type { StoredKey } from '../../src/keys/key-set.ts';
import {
  type Cell,
  closeKeyrings,
  HOUR_MS,
  LEAF_HOURS,
  leafOf,
  type MemoryKeyStore,
  memoryKeyStore,
  memoryLog,
  opensslIsMissing,
  opensslVerify,
  publishedIds,
  randomMasterKey,
  START,
  startedCell,
  UNAVAILABLE,
} from '../support/keys.ts';

describe('the keyring', () => {
  let cell: Cell;

  beforeEach(async () => {
    cell = await startedCell();
  });

  afterEach(closeKeyrings);

  describe('at its first start', () => {
    it('makes one CA and one active key with a leaf of it, published under both ids', async () => {
      const store = memoryKeyStore();
      const keyring = await cell.start({ store });
      const key = keyring.active();
      assert.deepEqual([store.set.authorities.length, store.set.keys.length], [1, 1]);
      assert.deepEqual(publishedIds(keyring), [key.kid, key.thumbprint]);
      assert.equal(key.state, 'active');
      assert.deepEqual([key.createdAt, key.activatedAt], [cell.clock.now(), cell.clock.now()]);
      assert.equal(keyring.caPem(), store.set.authorities[0]!.certificatePem);
      assert.ok(new X509Certificate(leafOf(keyring).pem).checkIssued(new X509Certificate(keyring.caPem())));
    });

    it('has other keys than any other cell', async () => {
      const store = memoryKeyStore();
      const fresh = await cell.start({ store });
      const [stored] = cell.started.keys;
      assert.notEqual(fresh.active().kid, stored!.kid);
      assert.notEqual(fresh.active().thumbprint, stored!.thumbprint);
      assert.notEqual(fresh.caPem(), cell.started.authorities[0]!.certificatePem);
    });

    it('uses a CA that is there already', async () => {
      const { store } = cell;
      store.set = { ...cell.started, keys: [] };
      const keyring = await cell.start();
      assert.equal(keyring.caPem(), cell.started.authorities[0]!.certificatePem);
      assert.equal(store.set.authorities.length, 1);
    });

    it('takes the keys of another process that was first', async () => {
      const store = memoryKeyStore();
      const [one, two] = await Promise.all([cell.start({ store }), cell.start({ store })]);
      assert.equal(store.set.keys.length, 1);
      assert.equal(store.set.authorities.length, 1);
      assert.equal(one.active().kid, two.active().kid);
      assert.equal(one.caPem(), two.caPem());
    });
  });

  describe('at a later start', () => {
    it('has the same key, and signs what its JWK Set verifies', async () => {
      const keyring = await cell.start();
      const key = keyring.active();
      assert.equal(key.kid, cell.started.keys[0]!.kid);
      for (const kid of [key.kid, key.thumbprint]) {
        const input = [{ alg: 'RS256', kid }, {}]
          .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
          .join('.');
        const jws = `${input}.${key.sign(input).toString('base64url')}`;
        await compactVerify(
          jws,
          createLocalJWKSet({ keys: keyring.published().jwks.keys.map((jwk) => ({ ...jwk })) }),
        );
      }
    });

    it('shows a leaf that openssl verifies against the exported CA', async function () {
      if (await opensslIsMissing()) this.skip();
      const keyring = await cell.start();
      const [der] = keyring.active().x5c;
      const pem = `-----BEGIN CERTIFICATE-----\n${der!.replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
      assert.match(await opensslVerify(keyring.caPem(), pem, cell.clock.now()), /: OK/);
    });

    it('refuses another master key', async () => {
      await assert.rejects(cell.start({ masterKey: await randomMasterKey() }), {
        code: 'conflict',
        message: /master\.key/,
      });
    });

    const tampered: [title: string, change: (key: StoredKey, other: StoredKey) => StoredKey][] = [
      [
        'the private half of another key',
        (key, other) => ({ ...key, encryptedPrivateKey: other.encryptedPrivateKey }),
      ],
      ['the certificate of another key', (key, other) => ({ ...key, certificate: other.certificate })],
      ['the public key of another key', (key, other) => ({ ...key, publicJwk: other.publicJwk })],
      ['the thumbprint of another key', (key, other) => ({ ...key, thumbprint: other.thumbprint })],
      ['the id of another key', (key, other) => ({ ...key, kid: other.kid })],
      [
        'the public key of another key, where no certificate shows it',
        (key, other) => ({ ...key, certificate: null, publicJwk: other.publicJwk }),
      ],
    ];
    for (const [title, change] of tampered) {
      it(`refuses a key with ${title}`, async () => {
        const elsewhere = memoryKeyStore();
        elsewhere.set = { ...cell.started, keys: [] };
        await cell.start({ store: elsewhere });
        const other = elsewhere.set.keys[0]!;
        await cell.changeKeys((key) => change(key, other));
        await assert.rejects(cell.start(), { code: 'conflict', message: /database/ });
      });
    }

    it('refuses a CA that has expired', async () => {
      cell.clock.advance(11 * 365.25 * 24 * HOUR_MS);
      await assert.rejects(cell.start(), { code: 'conflict', message: /certificate of the CA \w+ expired/ });
    });

    it('warns of a CA that expires soon, at the start and once a day', async () => {
      const log = memoryLog();
      await cell.start({ log });
      cell.clock.advance(3650 * 24 * HOUR_MS - 80 * 24 * HOUR_MS);
      assert.ok(!log.lines.some((line) => line.includes('expires soon')));
      const keyring = await cell.start({ log });
      const warnings = (): number =>
        log.lines.filter((line) => line.startsWith('warn the CA certificate expires soon')).length;
      assert.equal(warnings(), 1);
      await keyring.refresh();
      assert.equal(warnings(), 1);
      cell.clock.advance(24 * HOUR_MS);
      await keyring.refresh();
      assert.equal(warnings(), 2);
    });

    it('refuses leaves too short for its tokens', async () => {
      await assert.rejects(cell.start({ leafHours: 1, longestTokenLifeSeconds: 3600 }), {
        code: 'invalid',
        message: /leaf_hours/,
      });
    });
  });

  describe('the active key', () => {
    it('is refused once the set is older than 10 s, and given again after a read', async () => {
      const keyring = await cell.start();
      cell.clock.advance(10_000);
      keyring.active();
      cell.clock.advance(1);
      assert.throws(() => keyring.active(), UNAVAILABLE);
      await keyring.refresh();
      keyring.active();
    });

    it('is refused by the time that passed, wherever the clock was set', async () => {
      const keyring = await cell.start();
      cell.clock.set(-3000);
      cell.clock.advance(10_000);
      assert.ok(keyring.active());
      cell.clock.advance(1);
      assert.throws(() => keyring.active(), UNAVAILABLE);
    });

    it('does not get younger by reads that fail', async () => {
      const { store } = cell;
      const keyring = await cell.start();
      store.fail = 'read';
      cell.clock.advance(10_001);
      await assert.rejects(keyring.refresh());
      assert.throws(() => keyring.active(), UNAVAILABLE);
      assert.equal(publishedIds(keyring).length, 2);
    });

    it('is refused where no key is active', async () => {
      const keyring = await cell.start();
      await cell.changeKeys((key) => ({ ...key, state: 'pending' }));
      await keyring.refresh();
      assert.throws(() => keyring.active(), UNAVAILABLE);
    });

    it('stays the same object while nothing changes', async () => {
      const keyring = await cell.start();
      const before = [keyring.active(), keyring.published()];
      await keyring.refresh();
      assert.deepEqual([keyring.active() === before[0], keyring.published() === before[1]], [true, true]);
    });

    it('can’t be exported, and prints what keys list shows', async () => {
      const keyring = await cell.start();
      const key = keyring.active();
      assert.ok(Object.values(key).every((value) => !(value instanceof KeyObject)));
      const { kid, thumbprint, state } = cell.started.keys[0]!;
      assert.deepEqual(JSON.parse(JSON.stringify(key)), { kid, thumbprint, state });
      const printed = inspect({ keyring, key }, { depth: 10, showHidden: true });
      assert.ok(!printed.includes(cell.started.keys[0]!.encryptedPrivateKey!));
    });
  });

  describe('the published set', () => {
    const now = new Date(START);
    const later = new Date(now.getTime() + HOUR_MS);
    const gone = { encryptedPrivateKey: null };
    const rows: [title: string, change: Partial<StoredKey>, published: boolean][] = [
      ['pending', { state: 'pending' }, true],
      ['active', { state: 'active' }, true],
      ['retired, its last token alive', { state: 'retired', ...gone, publishedUntil: later }, true],
      ['retired, its last token dead', { state: 'retired', ...gone, publishedUntil: now }, false],
      ['revoked', { state: 'revoked', ...gone, publishedUntil: later }, false],
    ];
    for (const [title, change, published] of rows) {
      it(`${published ? 'has' : 'does not have'} a key that is ${title}`, async () => {
        await cell.changeKeys((key) => ({ ...key, ...change }));
        assert.equal(publishedIds(await cell.start()).length, published ? 2 : 0);
      });
    }

    it('loses a retired key when its time comes, without a change in the database', async () => {
      await cell.changeKeys((key) => ({ ...key, state: 'retired', ...gone, publishedUntil: later }));
      const keyring = await cell.start();
      const { etag } = keyring.published();
      cell.clock.advance(HOUR_MS);
      await keyring.refresh();
      assert.deepEqual(publishedIds(keyring), []);
      assert.notEqual(keyring.published().etag, etag);
    });

    it('does not have to do with leaves: its entity tag outlives them', async () => {
      const keyring = await cell.start();
      const { etag } = keyring.published();
      cell.clock.advance((LEAF_HOURS / 4) * HOUR_MS);
      await keyring.refresh();
      assert.equal(keyring.published().etag, etag);
    });
  });

  describe('following the database', () => {
    /** Resolves when the store has been read so many times more. */
    const reads = (watched: MemoryKeyStore, times: number): Promise<void> =>
      new Promise((resolve) => {
        const { readKeySet } = watched;
        const until = watched.reads + times;
        watched.readKeySet = () => {
          if (watched.reads + 1 >= until) resolve();
          return readKeySet.call(watched);
        };
      });

    it('reads again and again, through failures, until it is closed', async () => {
      const { store } = cell;
      const log = memoryLog();
      const keyring = await cell.start({ log, pollMs: 1 });
      const complaints = (): number =>
        log.lines.filter((line) => line.startsWith('warn could not read the key set')).length;
      store.fail = 'read';
      await reads(store, 4);
      assert.equal(complaints(), 1);
      store.fail = undefined;
      await reads(store, 2);
      store.fail = 'read';
      await reads(store, 2);
      assert.equal(complaints(), 2);
      store.fail = undefined;
      await cell.changeKeys((key) => ({ ...key, state: 'revoked', encryptedPrivateKey: null }));
      await reads(store, 2);
      assert.deepEqual(publishedIds(keyring), []);
      await keyring.close();
      const atClose = store.reads;
      // Another one goes on for a while at the same pace: the closed one would have been read as
      // often.
      const other = { ...memoryKeyStore(), set: cell.started };
      await cell.start({ store: other, pollMs: 1 });
      await reads(other, 5);
      assert.equal(store.reads, atClose);
    });

    it('reads once more for all who ask during a read, as theirs may have begun too early', async () => {
      const { store } = cell;
      const keyring = await cell.start();
      const before = store.reads;
      await Promise.all([keyring.refresh(), keyring.refresh(), keyring.refresh()]);
      assert.equal(store.reads, before + 2);
    });
  });
});
