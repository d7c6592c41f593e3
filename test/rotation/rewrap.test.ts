import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Keyring } from '../../src/keys/keyring.ts';
import type { RotatableMasterKey } from '../../src/keys/master-key.ts';
import { loadMasterKey } from '../../src/keys/master-key-file.ts';
import { KeyOperations } from '../../src/rotation/keys.ts';
import {
  closeKeyrings,
  LEAF_HOURS,
  LONGEST_TOKEN_SECONDS,
  type MemoryKeyStore,
  memoryKeyStore,
  memoryLog,
  openKeyring,
} from '../support/keys.ts';

const PERIODS = { propagationSeconds: 300, rotateEverySeconds: 0 };
const ACTOR = { actor: 'an admin' };

describe('changing the master key', () => {
  let folder: string;
  let store: MemoryKeyStore;
  let masterKey: RotatableMasterKey;
  let keyring: Keyring;
  let administration: KeyOperations;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cellpass-rewrap-'));
    store = memoryKeyStore();
    masterKey = (await loadMasterKey(folder, { mayCreate: true })).masterKey;
    keyring = await openKeyring({ store, masterKey });
    administration = administer(keyring, masterKey);
  });
  afterEach(async () => {
    await closeKeyrings();
    await rm(folder, { recursive: true });
  });

  function administer(ring: Keyring, key: RotatableMasterKey): KeyOperations {
    return new KeyOperations({
      store,
      keyring: ring,
      masterKey: key,
      probe: async () => [],
      now: () => new Date(),
      cellId: 1,
      leafHours: LEAF_HOURS,
      longestTokenLifeSeconds: LONGEST_TOKEN_SECONDS,
      periods: PERIODS,
    });
  }

  const reload = async (dir = folder): Promise<RotatableMasterKey> =>
    (await loadMasterKey(dir, { mayCreate: false })).masterKey;
  const text = (name: string): Promise<string> => readFile(join(folder, name), 'utf8');

  it('encrypts everything anew: the new file opens it, the old one opens nothing', async () => {
    const before = await text('master.key');
    const { kid } = keyring.active();
    assert.match((await administration.rewrap(ACTOR)).message, /copy it to every other host/);
    assert.deepEqual((await readdir(folder)).sort(), ['master.key', 'master.key.old']);
    assert.equal(await text('master.key.old'), before);
    assert.notEqual(await text('master.key'), before);
    assert.equal((await openKeyring({ store, masterKey: await reload() })).active().kid, kid);
    const old = await mkdtemp(join(tmpdir(), 'cellpass-rewrap-old-'));
    try {
      await writeFile(join(old, 'master.key'), before, { mode: 0o600 });
      const stale = await reload(old);
      await assert.rejects(openKeyring({ store, masterKey: stale }), { code: 'conflict' });
    } finally {
      await rm(old, { recursive: true });
    }
  });

  it('is recorded, and new keys are encrypted under the new one', async () => {
    await administration.rewrap(ACTOR);
    await administration.stage(ACTOR);
    assert.deepEqual(
      store.events.map(({ action }) => action),
      ['first_start', 'rewrap', 'stage'],
    );
    await openKeyring({ store, masterKey: await reload() });
  });

  it('uses the one that was laid ready', async () => {
    const other = await mkdtemp(join(tmpdir(), 'cellpass-rewrap-next-'));
    try {
      await loadMasterKey(other, { mayCreate: true });
      const ready = await readFile(join(other, 'master.key'), 'utf8');
      await rename(join(other, 'master.key'), join(folder, 'master.key.next'));
      await administration.rewrap(ACTOR);
      assert.equal(await text('master.key'), ready);
    } finally {
      await rm(other, { recursive: true });
    }
  });

  it('leaves another server signing with what it has open; it warns, and takes the file when it comes', async () => {
    const other = await mkdtemp(join(tmpdir(), 'cellpass-rewrap-other-'));
    try {
      await copyFile(join(folder, 'master.key'), join(other, 'master.key'));
      const log = memoryLog();
      const elsewhere = await openKeyring({ store, masterKey: await reload(other), log });
      const { kid } = elsewhere.active();
      await administration.rewrap(ACTOR);
      await elsewhere.refresh();
      assert.equal(elsewhere.active().kid, kid);
      assert.ok(log.lines.some((line) => line.startsWith('warn another server changed the master key')));
      await assert.rejects(openKeyring({ store, masterKey: await reload(other) }), { code: 'conflict' });
      await administration.stage(ACTOR);
      await assert.rejects(elsewhere.refresh(), { code: 'conflict' });
      await copyFile(join(folder, 'master.key'), join(other, 'master.key'));
      await elsewhere.refresh();
      assert.equal(elsewhere.published().etag, keyring.published().etag);
    } finally {
      await rm(other, { recursive: true });
    }
  });

  it('survives the end of the process between the database and the file', async () => {
    const next = await masterKey.prepareNext();
    const stopped: RotatableMasterKey = {
      ...masterKey,
      prepareNext: async () => next,
      adoptNext: async () => {
        throw new Error('killed');
      },
    };
    await assert.rejects(administer(keyring, stopped).rewrap(ACTOR), /killed/);
    assert.deepEqual((await readdir(folder)).sort(), ['master.key', 'master.key.next']);
    const { kid } = keyring.active();
    const restarted = await openKeyring({ store, masterKey: await reload() });
    assert.equal(restarted.active().kid, kid);
  });

  it('says what to do where the file can not be put in its place, and goes on', async () => {
    await mkdir(join(folder, 'master.key.old', 'in the way'), { recursive: true });
    await writeFile(join(folder, 'master.key.old', 'in the way', 'file'), '');
    const { message } = await administration.rewrap(ACTOR);
    assert.match(message, /master\.key\.next, but it could not be renamed to .*on every host/);
    await administration.stage(ACTOR);
    await openKeyring({ store, masterKey: await reload() });
  });

  it('changes nothing when a key came in between', async () => {
    const { updateKeySet } = store;
    store.updateKeySet = async (change) => {
      store.updateKeySet = updateKeySet;
      await administration.stage(ACTOR);
      return store.updateKeySet(change);
    };
    const before = await text('master.key');
    await assert.rejects(administration.rewrap(ACTOR), { code: 'conflict', message: /try again/ });
    assert.equal(await text('master.key'), before);
    await openKeyring({ store, masterKey: await reload() });
    await administration.rewrap(ACTOR);
  });
});
