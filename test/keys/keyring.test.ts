import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { inspect } from 'node:util';
import { CompactSign, compactVerify, createLocalJWKSet } from 'jose';
import { toX5c } from '../../src/keys/certificate.ts';
import { type KeyStore, listKeys, type StoredKey } from '../../src/keys/key-set.ts';
import type { Keyring } from '../../src/keys/keyring.ts';
import type { MasterKey } from '../../src/keys/master-key.ts';
import {
  type Clock,
  clockAt,
  closeKeyrings,
  HOUR_MS,
  type MemoryKeyStore,
  memoryKeyStore,
  memoryLog,
  openKeyring,
  opensslIsMissing,
  opensslVerify,
  randomMasterKey,
} from './support.ts';

const START = '2026-11-24T10:00:00Z';
const LEAF_HOURS = 48;
const UNAVAILABLE = { code: 'unavailable' };

function leafOf(keyring: Keyring): { pem: string; notBefore: Date; notAfter: Date } {
  const { certificate } = keyring.active();
  assert.ok(certificate);
  return certificate;
}

function kids(keyring: Keyring): readonly string[] {
  return keyring.published().jwks.keys.map(({ kid }) => kid);
}

describe('the keyring', () => {
  let masterKey: MasterKey;
  let store: MemoryKeyStore;
  let clock: Clock;
  /** A store that has been started once, to begin from: making keys is slow. */
  let started: MemoryKeyStore['set'];

  const start = (
    options: { store?: KeyStore; leafHours?: number; now?: () => Date } = {},
  ): Promise<Keyring> => openKeyring({ store, masterKey, now: clock.now, leafHours: LEAF_HOURS, ...options });

  const changeKeys = async (change: (key: StoredKey) => StoredKey): Promise<void> => {
    await store.updateKeySet((set) => ({ ...set, keys: set.keys.map(change) }));
  };

  before(async () => {
    masterKey = await randomMasterKey();
    store = memoryKeyStore();
    clock = clockAt(START);
    await start();
    started = store.set;
    await closeKeyrings();
  });

  beforeEach(() => {
    store = memoryKeyStore();
    store.set = structuredClone(started);
    clock = clockAt(START);
  });

  afterEach(closeKeyrings);

  describe('at its first start', () => {
    it('makes one CA and one active key with a leaf of it, published under both ids', async () => {
      store = memoryKeyStore();
      const keyring = await start();
      const key = keyring.active();
      assert.deepEqual([store.set.authorities.length, store.set.keys.length], [1, 1]);
      assert.deepEqual(kids(keyring), [key.kid, key.thumbprint]);
      assert.equal(key.state, 'active');
      assert.deepEqual([key.createdAt, key.activatedAt], [clock.now(), clock.now()]);
      assert.equal(keyring.caPem(), store.set.authorities[0]!.certificatePem);
      assert.ok(new X509Certificate(leafOf(keyring).pem).checkIssued(new X509Certificate(keyring.caPem())));
    });

    it('has other keys than any other cell', async () => {
      store = memoryKeyStore();
      const fresh = await start();
      const [stored] = started.keys;
      assert.notEqual(fresh.active().kid, stored!.kid);
      assert.notEqual(fresh.active().thumbprint, stored!.thumbprint);
      assert.notEqual(fresh.caPem(), started.authorities[0]!.certificatePem);
    });

    it('uses a CA that is there already', async () => {
      store.set = { ...started, keys: [] };
      const keyring = await start();
      assert.equal(keyring.caPem(), started.authorities[0]!.certificatePem);
      assert.equal(store.set.authorities.length, 1);
    });

    it('takes the keys of another process that was first', async () => {
      store = memoryKeyStore();
      const [one, two] = await Promise.all([start(), start()]);
      assert.equal(store.set.keys.length, 1);
      assert.equal(store.set.authorities.length, 1);
      assert.equal(one.active().kid, two.active().kid);
      assert.equal(one.caPem(), two.caPem());
    });
  });

  describe('at a later start', () => {
    it('has the same key, and signs what its JWK Set verifies', async () => {
      const keyring = await start();
      const key = keyring.active();
      assert.equal(key.kid, started.keys[0]!.kid);
      for (const kid of [key.kid, key.thumbprint]) {
        const jws = await new CompactSign(new TextEncoder().encode('{}'))
          .setProtectedHeader({ alg: 'RS256', kid })
          .sign(key.privateKey);
        await compactVerify(
          jws,
          createLocalJWKSet({ keys: keyring.published().jwks.keys.map((jwk) => ({ ...jwk })) }),
        );
      }
    });

    it('shows a leaf that openssl verifies against the exported CA', async function () {
      if (await opensslIsMissing()) this.skip();
      const keyring = await start();
      const [der] = keyring.active().x5c;
      const pem = `-----BEGIN CERTIFICATE-----\n${der!.replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
      assert.match(await opensslVerify(keyring.caPem(), pem, clock.now()), /: OK/);
    });

    it('refuses another master key', async () => {
      const another = await randomMasterKey();
      await assert.rejects(openKeyring({ store, masterKey: another, now: clock.now }), {
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
    ];
    for (const [title, change] of tampered) {
      it(`refuses a key with ${title}`, async () => {
        const elsewhere = memoryKeyStore();
        elsewhere.set = { ...started, keys: [] };
        await start({ store: elsewhere });
        const other = elsewhere.set.keys[0]!;
        await changeKeys((key) => change(key, other));
        await assert.rejects(start(), { code: 'conflict', message: /database|does not fit/ });
      });
    }

    it('refuses a CA that has expired', async () => {
      clock.advance(11 * 365.25 * 24 * HOUR_MS);
      await assert.rejects(start(), { code: 'conflict', message: /CA certificate expired/ });
    });

    it('warns of a CA that expires soon', async () => {
      const log = memoryLog();
      await openKeyring({ store, masterKey, now: clock.now, log });
      clock.advance(3650 * 24 * HOUR_MS - 80 * 24 * HOUR_MS);
      assert.ok(!log.lines.some((line) => line.includes('expires soon')));
      await openKeyring({ store, masterKey, now: clock.now, log });
      assert.ok(log.lines.some((line) => line.startsWith('warn the CA certificate expires soon')));
    });

    it('refuses leaves too short for its tokens', async () => {
      await assert.rejects(openKeyring({ store, masterKey, leafHours: 1, longestTokenLifeSeconds: 3600 }), {
        code: 'invalid',
        message: /leaf_hours/,
      });
    });
  });

  describe('the active key', () => {
    it('is refused once the set is older than 10 s, and given again after a read', async () => {
      const keyring = await start();
      clock.advance(10_000);
      keyring.active();
      clock.advance(1);
      assert.throws(() => keyring.active(), UNAVAILABLE);
      await keyring.refresh();
      keyring.active();
    });

    it('is refused when the clock was set back: nobody knows how old the set is', async () => {
      const keyring = await start();
      clock.advance(-1);
      assert.throws(() => keyring.active(), UNAVAILABLE);
    });

    it('does not get younger by reads that fail', async () => {
      const keyring = await start();
      store.fail = 'read';
      clock.advance(10_001);
      await assert.rejects(keyring.refresh());
      assert.throws(() => keyring.active(), UNAVAILABLE);
      assert.equal(kids(keyring).length, 2);
    });

    it('is refused where no key is active', async () => {
      const keyring = await start();
      await changeKeys((key) => ({ ...key, state: 'pending' }));
      await keyring.refresh();
      assert.throws(() => keyring.active(), UNAVAILABLE);
    });

    it('stays the same object while nothing changes', async () => {
      const keyring = await start();
      const before = [keyring.active(), keyring.published()];
      await keyring.refresh();
      assert.deepEqual([keyring.active() === before[0], keyring.published() === before[1]], [true, true]);
    });

    it('can’t be exported, and prints what keys list shows', async () => {
      const keyring = await start();
      const key = keyring.active();
      assert.equal(key.privateKey.extractable, false);
      assert.deepEqual(JSON.parse(JSON.stringify(key)), listKeys(started.keys).keys[0]);
      const printed = inspect({ keyring, key }, { depth: 10, showHidden: true });
      assert.ok(!printed.includes(started.keys[0]!.encryptedPrivateKey!));
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
        await changeKeys((key) => ({ ...key, ...change }));
        assert.equal(kids(await start()).length, published ? 2 : 0);
      });
    }

    it('loses a retired key when its time comes, without a change in the database', async () => {
      await changeKeys((key) => ({ ...key, state: 'retired', ...gone, publishedUntil: later }));
      const keyring = await start();
      const { etag } = keyring.published();
      clock.advance(HOUR_MS);
      await keyring.refresh();
      assert.deepEqual(kids(keyring), []);
      assert.notEqual(keyring.published().etag, etag);
    });

    it('does not have to do with leaves: its entity tag outlives them', async () => {
      const keyring = await start();
      const { etag } = keyring.published();
      clock.advance((LEAF_HOURS / 4) * HOUR_MS);
      await keyring.refresh();
      assert.equal(keyring.published().etag, etag);
    });
  });

  describe('a leaf', () => {
    it('is issued anew at a quarter of its life, not before, and the key stays', async () => {
      const keyring = await start();
      const [first, { kid }] = [leafOf(keyring), keyring.active()];
      clock.advance((LEAF_HOURS / 4) * HOUR_MS - 1);
      await keyring.refresh();
      assert.equal(leafOf(keyring).pem, first.pem);
      clock.advance(1);
      await keyring.refresh();
      const second = leafOf(keyring);
      assert.notEqual(second.pem, first.pem);
      assert.equal(second.notAfter.getTime(), clock.now().getTime() + LEAF_HOURS * HOUR_MS);
      assert.deepEqual(keyring.active().x5c, toX5c(second.pem));
      assert.equal(keyring.active().kid, kid);
    });

    it('is issued by whoever comes first, and taken over by the others', async () => {
      const [one, two] = [await start(), await start()];
      clock.advance((LEAF_HOURS / 4) * HOUR_MS);
      await Promise.all([one.refresh(), two.refresh()]);
      assert.equal(leafOf(one).pem, leafOf(two).pem);
      assert.equal(leafOf(one).pem, store.set.keys[0]!.certificate!.pem);
      const { updates } = store;
      await Promise.all([one.refresh(), two.refresh()]);
      assert.equal(store.updates, updates);
    });

    it('is not issued for a key that another process retired meanwhile', async () => {
      const keyring = await start();
      clock.advance((LEAF_HOURS / 4) * HOUR_MS);
      const { updateKeySet } = store;
      store.updateKeySet = (change) => {
        const [key] = store.set.keys;
        store.set = { ...store.set, keys: [{ ...key!, state: 'retired', encryptedPrivateKey: null }] };
        return updateKeySet.call(store, change);
      };
      await keyring.refresh();
      assert.equal(store.set.keys[0]!.certificate!.pem, started.keys[0]!.certificate!.pem);
      assert.throws(() => keyring.active(), UNAVAILABLE);
    });

    it('is issued before it is shown when a process starts after a long rest', async () => {
      clock.advance((LEAF_HOURS - 0.5) * HOUR_MS);
      const keyring = await start();
      assert.equal(leafOf(keyring).notAfter.getTime(), clock.now().getTime() + LEAF_HOURS * HOUR_MS);
    });

    it('is issued anew when it is not valid yet, after the clock was wrong', async () => {
      clock.advance(-2 * HOUR_MS);
      const keyring = await start();
      assert.ok(leafOf(keyring).notBefore <= clock.now());
    });

    it('still shows when it can’t be issued anew, until it would not outlive a token; one line is logged', async () => {
      const log = memoryLog();
      const keyring = await openKeyring({ store, masterKey, now: clock.now, leafHours: LEAF_HOURS, log });
      const { pem, notAfter } = leafOf(keyring);
      store.fail = 'update';
      clock.advance((LEAF_HOURS / 4) * HOUR_MS);
      await keyring.refresh();
      await keyring.refresh();
      assert.equal(leafOf(keyring).pem, pem);
      assert.equal(log.lines.filter((line) => line.startsWith('warn a leaf')).length, 1);
      // The longest token, and the minute that registries allow beyond it.
      clock.advance(notAfter.getTime() - clock.now().getTime() - (3600 + 60) * 1000);
      await keyring.refresh();
      assert.equal(leafOf(keyring).pem, pem);
      clock.advance(1);
      assert.throws(() => keyring.active(), UNAVAILABLE);
      store.fail = undefined;
      await keyring.refresh();
      assert.notEqual(leafOf(keyring).pem, pem);
    });

    it('is not issued again and again where the CA’s end cuts it short', async () => {
      clock.advance(started.authorities[0]!.notAfter.getTime() - clock.now().getTime() - HOUR_MS / 2);
      const keyring = await start();
      const { updates } = store;
      await keyring.refresh();
      await keyring.refresh();
      assert.equal(store.updates, updates);
      assert.throws(() => keyring.active(), UNAVAILABLE);
    });

    it('is never given to an imported key: that shows its own certificate while it is valid, then none', async () => {
      const { notAfter } = started.keys[0]!.certificate!;
      await changeKeys((key) => ({ ...key, certificate: { ...key.certificate!, authorityId: null } }));
      const keyring = await start();
      clock.advance((LEAF_HOURS / 2) * HOUR_MS);
      await keyring.refresh();
      assert.deepEqual(keyring.active().x5c, toX5c(started.keys[0]!.certificate!.pem));
      clock.advance(notAfter.getTime() - clock.now().getTime());
      await keyring.refresh();
      assert.deepEqual(keyring.active().x5c, []);
      assert.equal(keyring.active().kid, started.keys[0]!.kid);
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
      const log = memoryLog();
      const keyring = await openKeyring({ store, masterKey, now: clock.now, log, pollMs: 1 });
      store.fail = 'read';
      await reads(store, 4);
      assert.equal(
        log.lines.filter((line) => line.startsWith('warn the key set could not be read')).length,
        1,
      );
      store.fail = undefined;
      await changeKeys((key) => ({ ...key, state: 'revoked', encryptedPrivateKey: null }));
      await reads(store, 2);
      assert.deepEqual(kids(keyring), []);
      await keyring.close();
      const atClose = store.reads;
      // Another one goes on for a while at the same pace: the closed one would have been read as often.
      const other = { ...memoryKeyStore(), set: started };
      await openKeyring({ store: other, masterKey, now: clock.now, pollMs: 1 });
      await reads(other, 5);
      assert.equal(store.reads, atClose);
    });

    it('reads once more for all who ask during a read, as theirs may have begun too early', async () => {
      const keyring = await start();
      const before = store.reads;
      await Promise.all([keyring.refresh(), keyring.refresh(), keyring.refresh()]);
      assert.equal(store.reads, before + 2);
    });
  });
});
