import assert from 'node:assert/strict';
import { createPrivateKey, randomBytes } from 'node:crypto';
import { generateFirstKeys } from '../../src/keys/first-start.ts';
import type { KeyEvent, KeySet, KeyStore, StoredAuthority, StoredKey } from '../../src/keys/key-set.ts';
import { createMasterKey, type MasterKey } from '../../src/keys/master-key.ts';
import type { Database } from '../../src/store/database/drivers.ts';
import { migrate } from '../../src/store/database/migrate.ts';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { createKeyStore, KEY_CHANNEL } from '../../src/store/keys.ts';
import { openTestPglite } from '../support/database/pglite.ts';
import { sharedPostgres } from '../support/database/postgres.ts';
import { closeKeyrings, openKeyring, unrecorded } from '../support/keys.ts';

const NOW = new Date('2026-11-24T10:00:00.123Z');
const LATER = new Date('2026-11-24T11:00:00.456Z');
const EMPTY: KeySet = { authorities: [], keys: [] };

const drivers: [name: string, open: () => Promise<Database>][] = [
  ['PGlite', openTestPglite],
  ['PostgreSQL', async () => openPostgres(await (await sharedPostgres()).createMigratedDatabase())],
];

for (const [name, open] of drivers) {
  describe(`the key store on ${name}`, () => {
    let database: Database;
    let store: KeyStore;
    let masterKey: MasterKey;
    const octets = randomBytes(32);
    /** Two sets of their own, made once: making keys is slow. */
    let one: KeySet;
    let two: KeySet;

    before(async () => {
      database = await open();
      await migrate(database);
      store = createKeyStore(database);
      masterKey = await createMasterKey(octets, 'master.key');
      const input = { cellId: 1, masterKey, now: NOW, leafHours: 48, longestTokenSeconds: 3600 };
      const [first, second] = await Promise.all([
        generateFirstKeys(EMPTY, input),
        generateFirstKeys(EMPTY, { ...input, now: LATER }),
      ]);
      one = first;
      // One CA issues at a time.
      const authorities = second.authorities.map(
        (authority): StoredAuthority => ({ ...authority, state: 'pending', activatedAt: null }),
      );
      two = { ...second, authorities };
    });

    beforeEach(() =>
      database.execute(
        'DELETE FROM signing_keys; DELETE FROM certificate_authorities; DELETE FROM audit_events',
      ),
    );
    afterEach(closeKeyrings);
    after(() => database.close());

    const retired = (key: StoredKey): StoredKey => ({
      ...key,
      state: 'retired',
      encryptedPrivateKey: null,
      retiredAt: LATER,
      publishedUntil: LATER,
    });

    it('answers an empty set, and what was put in', async () => {
      assert.deepEqual(await store.readKeySet(), EMPTY);
      assert.deepEqual(await store.updateKeySet(unrecorded(() => one)), one);
      assert.deepEqual(await store.readKeySet(), one);
    });

    it('keeps keys of several CAs and of none, oldest first', async () => {
      const imported = { ...one.keys[0]!, state: 'pending', certificate: null } as const;
      const set: KeySet = {
        authorities: [...one.authorities, ...two.authorities],
        keys: [imported, { ...two.keys[0]!, createdAt: LATER }],
      };
      assert.deepEqual(
        await store.updateKeySet(unrecorded(() => ({ ...set, keys: [...set.keys].reverse() }))),
        set,
      );
    });

    it('keeps a CA without keys', async () => {
      const set = { ...one, keys: [] };
      assert.deepEqual(await store.updateKeySet(unrecorded(() => set)), set);
    });

    it('lets one active key follow another in one change, in whatever order they come', async () => {
      const authorities = [...one.authorities, ...two.authorities];
      await store.updateKeySet(unrecorded(() => ({ authorities, keys: one.keys })));
      const next = await store.updateKeySet(
        unrecorded((set) => ({
          ...set,
          keys: [two.keys[0]!, ...set.keys.map(retired)],
        })),
      );
      assert.deepEqual(next, { authorities, keys: [retired(one.keys[0]!), two.keys[0]!] });
    });

    it('refuses a second active key, and a change that throws, and then nothing has changed', async () => {
      await store.updateKeySet(unrecorded(() => one));
      const authorities = [...one.authorities, ...two.authorities];
      const keys = [...one.keys, ...two.keys];
      await assert.rejects(store.updateKeySet(unrecorded(() => ({ authorities, keys }))), /one_active_key/);
      await assert.rejects(
        store.updateKeySet(
          unrecorded(() => {
            throw new Error('no');
          }),
        ),
        /^Error: no$/,
      );
      assert.deepEqual(await store.readKeySet(), one);
    });

    const pendingOf = (set: KeySet): StoredKey => ({
      ...set.keys[0]!,
      state: 'pending',
      activatedAt: null,
      certificate: null,
    });

    it('refuses a set in which no key is active, though every single change of it is fine', async () => {
      await store.updateKeySet(unrecorded(() => one));
      await assert.rejects(
        store.updateKeySet(unrecorded((set) => ({ ...set, keys: set.keys.map(retired) }))),
        /exactly one signing key must be active/,
      );
      assert.deepEqual(await store.readKeySet(), one);
    });

    it('refuses a second CA that issues', async () => {
      const authorities = [...one.authorities, { ...two.authorities[0]!, state: 'active' as const }];
      await assert.rejects(
        store.updateKeySet(unrecorded(() => ({ authorities, keys: one.keys }))),
        /one_active_authority/,
      );
    });

    it('records a change with the change or not at all, and tells the newest first', async () => {
      const event = (action: KeyEvent['action'], subject: string | null): KeyEvent => ({
        at: NOW,
        actor: 'somebody',
        action,
        subject,
        reason: null,
      });
      const [first, second] = [event('first_start', 'A'), { ...event('rewrap', null), reason: 'why' }];
      await store.updateKeySet(() => ({ set: one, events: [first] }));
      await store.updateKeySet((set) => ({ set, events: [second] }));
      const twice = [...one.keys, ...two.keys];
      await assert.rejects(
        store.updateKeySet((set) => ({ set: { ...set, keys: twice }, events: [event('stage', 'B')] })),
      );
      assert.deepEqual(await store.readKeyEvents(10), [second, first]);
      assert.deepEqual(await store.readKeyEvents(1), [second]);
    });

    it('tells whoever listens of a change, and of nothing else', async () => {
      await store.updateKeySet(unrecorded(() => one));
      const notices: string[] = [];
      let heard = (): void => undefined;
      const stop = await database.listen(KEY_CHANNEL, () => {
        notices.push('changed');
        heard();
      });
      try {
        await store.readKeySet();
        await store.updateKeySet(unrecorded((set) => set));
        assert.deepEqual(notices, []);
        const next = new Promise<void>((resolve) => {
          heard = resolve;
        });
        await store.updateKeySet(unrecorded((set) => ({ ...set, keys: [...set.keys, pendingOf(two)] })));
        await next;
        assert.ok(notices.length > 0);
      } finally {
        await stop();
      }
    });

    it('removes nothing', async () => {
      await store.updateKeySet(unrecorded(() => one));
      assert.deepEqual(await store.updateKeySet(unrecorded(() => EMPTY)), one);
    });

    it('runs changes one after the other, each on what the last one left', async () => {
      await store.updateKeySet(unrecorded(() => one));
      const seconds = Array.from({ length: 8 }, (_, i) => i);
      await Promise.all(
        seconds.map(() =>
          store.updateKeySet(
            unrecorded((set) => ({
              ...set,
              keys: set.keys.map((key) => ({
                ...key,
                activatedAt: new Date((key.activatedAt?.getTime() ?? 0) + 1000),
              })),
            })),
          ),
        ),
      );
      const [key] = (await store.readKeySet()).keys;
      assert.equal(key!.activatedAt!.getTime(), one.keys[0]!.activatedAt!.getTime() + 8000);
    });

    it('gives all keyrings that start at once the same single key and CA', async () => {
      const keyrings = await Promise.all([1, 2, 3].map(() => openKeyring({ store, masterKey })));
      const set = await store.readKeySet();
      assert.deepEqual([set.authorities.length, set.keys.length], [1, 1]);
      for (const keyring of keyrings) {
        assert.equal(keyring.active().kid, set.keys[0]!.kid);
        assert.equal(keyring.caPem(), set.authorities[0]!.certificatePem);
      }
    });

    it('holds no usable key material in any column', async () => {
      await openKeyring({ store, masterKey });
      const { authorities, keys } = await store.readKeySet();
      const tables = [
        ...(await database.query<{ row: string }>('SELECT a::text AS row FROM certificate_authorities a')),
        ...(await database.query<{ row: string }>('SELECT k::text AS row FROM signing_keys k')),
      ];
      const text = tables.map(({ row }) => row).join('\n');
      assert.doesNotMatch(text, /PRIVATE KEY|"(d|p|q|dp|dq|qi)"/);
      const sealed = [...authorities, ...keys].map((entry) => ({
        id: 'kid' in entry ? entry.kid : entry.id,
        jwe: entry.encryptedPrivateKey!,
      }));
      assert.equal(sealed.length, 2);
      for (const { id, jwe } of sealed) {
        assert.ok(text.includes(jwe));
        const der = Buffer.from(await masterKey.decrypt(id, jwe));
        const jwk = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'jwk' });
        const secrets = [
          der.toString('base64'),
          der.toString('hex'),
          jwk.d!,
          Buffer.from(jwk.d!, 'base64url').toString('hex'),
        ];
        for (const secret of secrets) assert.ok(!text.includes(secret));
      }
      assert.ok(!text.includes(octets.toString('base64url')));
    });
  });
}
