import assert from 'node:assert/strict';
import { toX5c } from '../../src/keys/certificate.ts';
import {
  type Cell,
  closeKeyrings,
  HOUR_MS,
  LEAF_HOURS,
  leafOf,
  memoryLog,
  startedCell,
  UNAVAILABLE,
} from '../support/keys.ts';

describe('the keyring and its leaves', () => {
  let cell: Cell;

  beforeEach(async () => {
    cell = await startedCell();
  });

  afterEach(closeKeyrings);

  describe('a leaf', () => {
    it('is issued anew at a quarter of its life, not before, and the key stays', async () => {
      const keyring = await cell.start();
      const [first, { kid }] = [leafOf(keyring), keyring.active()];
      cell.clock.advance((LEAF_HOURS / 4) * HOUR_MS - 1);
      await keyring.refresh();
      assert.equal(leafOf(keyring).pem, first.pem);
      cell.clock.advance(1);
      await keyring.refresh();
      const second = leafOf(keyring);
      assert.notEqual(second.pem, first.pem);
      assert.equal(second.notAfter.getTime(), cell.clock.now().getTime() + LEAF_HOURS * HOUR_MS);
      assert.deepEqual(keyring.active().x5c, toX5c(second.pem));
      assert.equal(keyring.active().kid, kid);
    });

    it('is issued by whoever comes first, and taken over by the others', async () => {
      const { store } = cell;
      const [one, two] = [await cell.start(), await cell.start()];
      cell.clock.advance((LEAF_HOURS / 4) * HOUR_MS);
      await Promise.all([one.refresh(), two.refresh()]);
      assert.equal(leafOf(one).pem, leafOf(two).pem);
      assert.equal(leafOf(one).pem, store.set.keys[0]!.certificate!.pem);
      const { updates } = store;
      await Promise.all([one.refresh(), two.refresh()]);
      assert.equal(store.updates, updates);
    });

    it('is not issued for a key that another process retired meanwhile', async () => {
      const { store } = cell;
      const keyring = await cell.start();
      cell.clock.advance((LEAF_HOURS / 4) * HOUR_MS);
      const { updateKeySet } = store;
      store.updateKeySet = (change) => {
        const [key] = store.set.keys;
        store.set = { ...store.set, keys: [{ ...key!, state: 'retired', encryptedPrivateKey: null }] };
        return updateKeySet.call(store, change);
      };
      await keyring.refresh();
      assert.equal(store.set.keys[0]!.certificate!.pem, cell.started.keys[0]!.certificate!.pem);
      assert.throws(() => keyring.active(), UNAVAILABLE);
    });

    it('is issued before it is shown when a process starts after a long rest', async () => {
      cell.clock.advance((LEAF_HOURS - 0.5) * HOUR_MS);
      const keyring = await cell.start();
      assert.equal(leafOf(keyring).notAfter.getTime(), cell.clock.now().getTime() + LEAF_HOURS * HOUR_MS);
    });

    it('is issued anew when it is not valid yet, after the clock was wrong', async () => {
      cell.clock.advance(-2 * HOUR_MS);
      const keyring = await cell.start();
      assert.ok(leafOf(keyring).notBefore <= cell.clock.now());
    });

    it('still shows when it can’t be issued anew, until it would not outlive a token; one line is logged', async () => {
      const { store } = cell;
      const log = memoryLog();
      const keyring = await cell.start({ log });
      const { pem, notAfter } = leafOf(keyring);
      store.fail = 'update';
      cell.clock.advance((LEAF_HOURS / 4) * HOUR_MS);
      await keyring.refresh();
      await keyring.refresh();
      assert.equal(leafOf(keyring).pem, pem);
      assert.equal(log.lines.filter((line) => line.startsWith('warn could not renew a leaf')).length, 1);
      // The longest token, and the minute that registries allow beyond it.
      cell.clock.advance(notAfter.getTime() - cell.clock.now().getTime() - (3600 + 60) * 1000);
      await keyring.refresh();
      assert.equal(leafOf(keyring).pem, pem);
      cell.clock.advance(1);
      assert.throws(() => keyring.active(), UNAVAILABLE);
      store.fail = undefined;
      await keyring.refresh();
      assert.notEqual(leafOf(keyring).pem, pem);
    });

    it('is not issued again and again where the CA’s end cuts it short', async () => {
      const { store } = cell;
      cell.clock.advance(
        cell.started.authorities[0]!.notAfter.getTime() - cell.clock.now().getTime() - HOUR_MS / 2,
      );
      const keyring = await cell.start();
      const { updates } = store;
      await keyring.refresh();
      await keyring.refresh();
      assert.equal(store.updates, updates);
      assert.throws(() => keyring.active(), UNAVAILABLE);
    });

    it('is never given to an imported key: that shows its own certificate while it is valid, then none', async () => {
      const { notAfter } = cell.started.keys[0]!.certificate!;
      await cell.changeKeys((key) => ({ ...key, certificate: { ...key.certificate!, authorityId: null } }));
      const keyring = await cell.start();
      cell.clock.advance((LEAF_HOURS / 2) * HOUR_MS);
      await keyring.refresh();
      assert.deepEqual(keyring.active().x5c, toX5c(cell.started.keys[0]!.certificate!.pem));
      cell.clock.advance(notAfter.getTime() - cell.clock.now().getTime());
      await keyring.refresh();
      assert.deepEqual(keyring.active().x5c, []);
      assert.equal(keyring.active().kid, cell.started.keys[0]!.kid);
    });
  });
});
